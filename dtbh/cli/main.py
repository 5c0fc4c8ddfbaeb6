"""The command line: a thin face over the stages.

Comes in: arguments. Heavy imports stand inside the commands, so that ``dtbh --help`` is instant. A user's
mistake is one line on stderr and exit code 2; files that could not be read and were left out give 1; Ctrl-C 130.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from dtbh.cli import archives, experiments
from dtbh.cli.options import add_engine, add_where, opened, pairs
from dtbh.errors import ConfigError, DtbhError
from dtbh.utils import progress
from dtbh.utils.version import __version__

if TYPE_CHECKING:
    from dtbh.data.manifest import Manifest

Arguments = argparse.Namespace
MISTAKE, INTERRUPTED = 2, 130


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit code."""
    parser = _parser()
    args = parser.parse_args(arguments)
    if args.quiet:
        progress.quiet()
    run: Callable[[Arguments], int] = args.run
    try:
        return run(args)
    except KeyboardInterrupt:
        print("dtbh: interrupted", file=sys.stderr)
        return INTERRUPTED
    except (DtbhError, OSError, MemoryError) as error:
        if args.debug:
            raise
        print(f"dtbh: {_line(error)}", file=sys.stderr)
        return MISTAKE
    except ModuleNotFoundError as error:
        if args.debug or (error.name or "dtbh").partition(".")[0] == "dtbh":
            raise
        print(f"dtbh: this needs {error.name}, which is not installed (dtbh doctor says more)", file=sys.stderr)
        return MISTAKE


def _line(error: BaseException) -> str:
    if isinstance(error, OSError) and error.filename is not None:
        return f"{error.filename}: {error.strerror}"
    return str(error) or type(error).__name__


def prepare(args: Arguments) -> int:
    """Check a data set and write its manifest."""
    if args.source == "synthetic":
        from dtbh.data.synthetic.generate import draw

        manifest = draw(args.out, classes=args.classes, per_class=args.per_class, size=args.size, seed=args.seed)
        warnings: Sequence[str] = ()
    else:
        from dtbh.stages.prepare import prepare as run

        given = {name: getattr(args, name, None) for name in ("images", "captions", "sounds", "classes", "path")}
        done = run(args.source, args.out, strict=args.strict, **{k: v for k, v in given.items() if v is not None})
        manifest, warnings = done.manifest, done.warnings
        if not done.changed:
            progress.say(f"{args.out}: prepared already from the same files; nothing to do")
    for warning in warnings:
        progress.say(f"warning: {warning}")
    print(f"{args.out}: {len(manifest.images)} images, {len(manifest.sounds)} sounds, {len(manifest.labels)} classes")
    _print_protocols(manifest)
    return 0


def _print_protocols(manifest: Manifest) -> None:
    """For each protocol that this data allows: sizes, and what of test stands in training."""
    from dtbh.data.splits import PROTOCOLS, assign, leakage

    for protocol in PROTOCOLS:
        try:
            split = assign(manifest, protocol)
        except DtbhError as error:
            print(f"  {protocol}: not possible ({str(error).splitlines()[0]})")
            continue
        sizes = ", ".join(
            f"{name} {sum(i.split == name for i in split.images)}/{sum(i.split == name for i in split.sounds)}"
            for name in ("train", "val", "test")
        )
        print(f"  {protocol}: {sizes} images/sounds; {leakage(split).describe()}")


def speak(args: Arguments) -> int:
    """Speak the captions of a data folder."""
    from dtbh.stages.speak import speak as run

    manifest = run(args.data, engine=args.engine, voices=args.voices, seed=args.seed, suffix=args.suffix,
                   paraphrases=args.paraphrases, workers=args.workers)  # fmt: skip
    speakers = {sound.speaker for sound in manifest.sounds if sound.speaker}
    print(f"{args.data}: {len(manifest.sounds)} sounds, {len(speakers)} speakers")
    _print_protocols(manifest)
    return 0


def train(args: Arguments) -> int:
    """Train a run."""
    from dtbh.config import read_config
    from dtbh.stages.train import train as run

    config = read_config(args.config, [*args.set, *([f"training.devices={args.devices}"] if args.devices else [])])
    path = run(config, args.data, args.out)
    details = json.loads((path / "run.json").read_text())
    print(f"{path}: kept epoch {details['kept_epoch']} of {details['epochs']}, validation mAP "
          f"{details['kept_val_map']:.4f}, {details['seconds']:.0f} s")  # fmt: skip
    return 0


def evaluate(args: Arguments) -> int:
    """Evaluate a run, codes, or the folds of a cross-validation."""
    from dtbh.evaluation.describe import describe
    from dtbh.evaluation.results.folds import describe_folds
    from dtbh.stages.evaluate import evaluate as run
    from dtbh.stages.evaluate import evaluate_folds

    names = ("data", "split", "gallery", "voices", "noise_db", "within", "real_values", "without")
    settings = {name: getattr(args, name) for name in names}
    if len(args.runs) == 1:
        done = [run(args.runs[0], out=args.out, **settings)]
        print(describe(done[0][0], classes=args.classes))
    elif args.out is not None:
        raise ConfigError("--out: each fold has its report in its own run folder; leave --out away")
    else:
        done = evaluate_folds(args.runs, **settings)
        print(describe_folds([report for report, _ in done]))
    for _, folder in done:
        print(f"report: {folder / 'index.html'}")
    return 0


def export(args: Arguments) -> int:
    """Make a model that searches and indexes without torch."""
    from dtbh.stages.export import export as run

    model = run(args.run_folder, out=args.out, data=args.data, int8=args.int8)
    size = sum(file.stat().st_size for file in args.out.glob("*.onnx"))
    print(f"{args.out}: {size / 1e6:.1f} MB, encoder {model.fingerprint}")
    for modality, agreement in model.self_test().items():
        print(f"  {modality}s: {agreement.describe()}")
    print(f"without torch: pip install -r {args.out / 'requirements.txt'} && pip install --no-deps dtbh")
    return 0


def search(args: Arguments) -> int:
    """Search an archive with a sound or an image."""
    from dtbh.search.query import encode_query, query_file
    from dtbh.search.table import render_table

    index, where = opened(args), pairs(args.where)
    where |= {"bbox": args.bbox} if args.bbox else {}
    run = args.model or index.model
    if run is None:
        raise ConfigError(f"{args.archive or index.name}: does not say which run made it; give --model RUN")
    from dtbh.models.load import load

    model, files = load(run), {"sound": args.sound, "image": args.image}
    result = query_file(index, model, **files, k=args.k, find=args.find, where=where)
    print(json.dumps(result.to_dict(), indent=2, ensure_ascii=False) if args.json else render_table(result))
    if args.geojson:
        from dtbh.search.geojson import write_geojson

        count = write_geojson(result, args.geojson)
        progress.say(f"{args.geojson}: {count} footprints")
    if args.open:
        import tempfile
        import webbrowser

        from dtbh.search.contact_sheet import write_sheet

        page = Path(tempfile.mkdtemp(prefix="dtbh-")) / "results.html"
        hit_words = index.at(result.rows.ravel()).words.reshape(*result.rows.shape, -1)
        write_sheet(result, encode_query(model, **files), page, hit_words=hit_words)
        progress.say(f"page: {page}")
        webbrowser.open(page.as_uri())
    return 0


def serve(args: Arguments) -> int:
    """Serve archives as a page and a service."""
    from dtbh.config import make_service
    from dtbh.web.serve import serve as run

    run(args.archives, model=args.model, host=args.host, port=args.port, token=args.token,
        limits=make_service(args.set), browser=args.open)  # fmt: skip
    return 0


def report(args: Arguments) -> int:
    """Make the page of a report again, or one across all reports below a folder."""
    from dtbh.evaluation.report import rewrite_page

    print(f"report: {rewrite_page(args.folder)}")
    return 0


def schema(args: Arguments) -> int:
    """Write the JSON schema of configs, or of reports."""
    from dtbh.config import write_schema
    from dtbh.evaluation.schema import write_report_schema

    print((write_report_schema if args.report else write_schema)(args.out))
    return 0


def doctor(args: Arguments) -> int:
    """Say what is installed and what is missing."""
    from dtbh.cli.doctor import examine

    print(examine())
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser("dtbh", description="Cross-modal image-sound hashing for aerial archives.")
    parser.add_argument("--version", action="version", version=f"dtbh {__version__}")
    common = argparse.ArgumentParser(add_help=False)
    common.add_argument("--quiet", action="store_true", help="no progress and no remarks")
    common.add_argument("--debug", action="store_true", help="show the traceback of an error")
    commands = parser.add_subparsers(metavar="COMMAND", required=True)

    def command(name: str, run: Callable[[Arguments], int]) -> argparse.ArgumentParser:
        sub = commands.add_parser(name, help=str(run.__doc__), description=run.__doc__, parents=[common])
        sub.set_defaults(run=run)
        return sub

    _add_prepare(command("prepare", prepare), common)
    sub = command("speak", speak)
    sub.add_argument("data", type=Path, help="a prepared data folder")
    sub.add_argument("--engine", default="espeak", choices=("espeak", "espeak-ng", "flite"))
    sub.add_argument("--voices", type=int, default=40, help="how many (default 40)")
    sub.add_argument("--seed", type=int, default=0)
    sub.add_argument("--suffix", choices=("flac", "opus"), default="flac")
    sub.add_argument("--paraphrases", type=int, default=0, metavar="N",
                     help="speak N other ways to say each caption too, for training alone")  # fmt: skip
    sub.add_argument("--workers", type=int, help="processes (default: one a core)")

    sub = command("train", train)
    sub.add_argument("config", type=Path)
    sub.add_argument("--data", type=Path, required=True, help="a prepared data folder")
    sub.add_argument("--out", type=Path, required=True, help="the run folder")
    sub.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="as in learning.margin=0.3")
    sub.add_argument("--devices", type=int, help="how many devices share each batch")

    sub = command("evaluate", evaluate)
    sub.add_argument("runs", type=Path, metavar="RUN", nargs="+",
                     help="a run, an exported model or a folder of codes; or the runs of all folds")  # fmt: skip
    sub.add_argument("--data", type=Path, help="another prepared data folder (default: the run's own)")
    sub.add_argument("--split", default="test", choices=("train", "val", "test", "all"))
    sub.add_argument("--gallery", choices=("train", "val", "test", "all"), help="what is searched (default: the split)")
    sub.add_argument("--within", action="store_true", help="image->image and sound->sound too")
    sub.add_argument("--real-values", action="store_true", help="rank the values before the signs too")
    sub.add_argument("--without", default="drop", choices=("drop", "zero", "error"),
                     help="what becomes of queries with nothing relevant in the gallery")  # fmt: skip
    sub.add_argument("--classes", action="store_true", help="print the figures of each class")
    sub.add_argument("--out", type=Path, help="the report's folder (default: in the run folder)")
    sub.add_argument("--voices", type=Path, metavar="DATA", help="a data folder with the same captions in other voices")
    sub.add_argument("--noise-db", type=float, metavar="DB", help="add noise at this signal-to-noise ratio")

    sub = command("export", export)
    sub.add_argument("run_folder", type=Path, metavar="RUN")
    sub.add_argument("--out", type=Path, required=True, help="the model's folder")
    sub.add_argument("--data", type=Path, help="a prepared data folder to test on (default: the run's own)")
    sub.add_argument("--int8", action="store_true", help="8-bit integers: a quarter of the size, other codes")

    command("report", report).add_argument("folder", type=Path, help="with report.json, or with several below")

    archives.add_makers(command)

    sub = command("search", search)
    sub.add_argument("archive", type=Path, nargs="?")
    add_engine(sub)
    query = sub.add_mutually_exclusive_group(required=True)
    query.add_argument("--sound", type=Path)
    query.add_argument("--image", type=Path)
    sub.add_argument("-k", type=int, default=10, help="how many hits (default 10)")
    sub.add_argument("--find", choices=("image", "sound", "any"), help="default: the other modality")
    add_where(sub)
    sub.add_argument("--bbox", metavar="W,S,E,N", help="only footprints that meet this box, in degrees")
    sub.add_argument("--geojson", type=Path, metavar="OUT", help="write the hits' footprints")
    sub.add_argument("--model", type=Path, help="the run that made the archive, if it moved")
    sub.add_argument("--json", action="store_true")
    sub.add_argument("--open", action="store_true", help="show the hits as a page with pictures and players")

    sub = command("serve", serve)
    sub.add_argument("archives", type=Path, nargs="+", metavar="ARCHIVE")
    sub.add_argument("--model", type=Path, help="the model that made the archives, if it moved")
    sub.add_argument("--host", default="127.0.0.1", help="default 127.0.0.1: this machine alone")
    sub.add_argument("--port", type=int, default=8000, help="default 8000; 0 takes a free one")
    sub.add_argument("--token", default=os.environ.get("DTBH_TOKEN"), help="what clients must know, wanted where "
                     "others can reach the host (default: $DTBH_TOKEN)")  # fmt: skip
    sub.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="as in upload_mb=50")
    sub.add_argument("--open", action="store_true", help="open the page in the browser")

    archives.add_commands(command)
    experiments.add_commands(command)

    sub = command("schema", schema)
    sub.add_argument("out", type=Path)
    sub.add_argument("--report", action="store_true", help="of report.json")
    command("doctor", doctor)
    return parser


def _add_prepare(parser: argparse.ArgumentParser, common: argparse.ArgumentParser) -> None:
    """The sources of ``dtbh prepare``, each with what it takes."""
    sources = parser.add_subparsers(dest="source", metavar="SOURCE", required=True)
    takes = {
        "ucm": ("images!", "captions!", "sounds"), "sydney": ("images!", "captions!", "sounds"),
        "rsicd": ("images!", "captions!", "sounds", "classes"), "folders": ("images!", "sounds"), "table": ("path",),
        "synthetic": (),
    }  # fmt: skip
    helps = {
        "images": "the folder of images", "captions": "the caption file (JSON)", "sounds": "the folder of sounds",
        "classes": "the folder of class lists (txtclasses_rsicd)",
        "path": "CSV or JSON Lines: image,sound,label[,transcript,speaker,split][,fields of your own]",
    }  # fmt: skip
    for source, arguments in takes.items():
        sub = sources.add_parser(source, parents=[common])
        for argument in arguments:
            name = argument.rstrip("!")
            if name == "path":
                sub.add_argument(name, type=Path, help=helps[name])
            else:
                sub.add_argument(f"--{name}", type=Path, required="!" in argument, help=helps[name])
        if source == "synthetic":
            sub.add_argument("--classes", type=int, default=10)
            sub.add_argument("--per-class", type=int, default=40)
            sub.add_argument("--size", type=int, default=128, help="pixels")
            sub.add_argument("--seed", type=int, default=0)
        else:
            sub.add_argument("--strict", action="store_true", help="warnings stop it too")
        sub.add_argument("--out", type=Path, required=True, help="the data folder")


if __name__ == "__main__":
    sys.exit(main())
