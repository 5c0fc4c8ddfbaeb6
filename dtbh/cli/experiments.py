"""Commands of whoever trains and compares methods: train, evaluate, report, sweep, compare, schema."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from dtbh.cli.commands import Arguments, command, show
from dtbh.errors import ConfigError
from dtbh.utils.progress import complain

FAILED = 1


def _numbers(text: str) -> list[int]:
    return [int(part) for part in text.split(",")]


_numbers.__name__ = "list of numbers"  # argparse says it of a wrong one


def _add_train(parser: argparse.ArgumentParser) -> None:
    """What ``dtbh train`` takes."""
    start = parser.add_mutually_exclusive_group(required=True)
    start.add_argument("config", type=Path, nargs="?", metavar="CONFIG", help="the settings")
    start.add_argument(
        "--from", dest="start", metavar="MODEL", help="go on from a model that knows words, as ready or a folder: on a "
        "few tiles of each class, with captions or without",
    )  # fmt: skip
    parser.add_argument(
        "--keep", action="store_true", help="keep what the model of --from knows beside the new classes (codes are for "
        "these alone else)",
    )  # fmt: skip
    parser.add_argument(
        "--data", type=Path, action="append", required=True, help="a prepared data folder; or several, one --data each"
    )
    parser.add_argument("--out", type=Path, required=True, help="the run folder")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="as in learning.margin=0.3")
    parser.add_argument("--devices", type=int, help="how many devices share each batch")


@command(_add_train)
def train(args: Arguments) -> int:
    """Train a run."""
    from dtbh.config import read_config
    from dtbh.utils.packages import check_installed

    check_installed("torch", "lightning", extra="train", purpose="dtbh train")
    if args.start:
        from dtbh.stages.tune import train_from

        if args.devices:
            raise ConfigError("--devices: --from fits heads at once, on one device; leave it away")
        path = train_from(args.start, args.data, args.out, keep=args.keep, overrides=args.set)
        details = json.loads((path / "run.json").read_text())
        validated = f"validation mAP {details['kept_val_map']:.4f}" if "kept_val_map" in details else "no validation"
        show(args, f"{path}: {details['checkpoint_rule']}, {validated}, {details['seconds']:.0f} s",
             {"path": path, **details})  # fmt: skip
        return 0
    from dtbh.stages.train import train as run

    if args.keep:
        raise ConfigError("--keep: only with --from is there a model whose knowledge could be kept; leave it away")
    config = read_config(args.config, [*args.set, *([f"training.devices={args.devices}"] if args.devices else [])])
    path = run(config, args.data, args.out)
    details = json.loads((path / "run.json").read_text())
    text = (
        f"{path}: kept epoch {details['kept_epoch']} of {details['epochs']}, validation mAP "
        f"{details['kept_val_map']:.4f}, {details['seconds']:.0f} s"
    )
    show(args, text, {"path": path, **details})
    return 0


def _add_evaluate(parser: argparse.ArgumentParser) -> None:
    """What ``dtbh evaluate`` takes."""
    parser.add_argument("runs", metavar="RUN", nargs="+",
                     help="a run, an exported model or a folder of codes; or the runs of all folds")  # fmt: skip
    parser.add_argument("--data", type=Path, help="another prepared data folder (default: the run's own)")
    parser.add_argument("--split", default="test", choices=("train", "val", "test", "all"))
    parser.add_argument(
        "--gallery", choices=("train", "val", "test", "all"), help="what is searched (default: the split)"
    )
    parser.add_argument("--within", action="store_true", help="image->image and sound->sound too")
    parser.add_argument("--real-values", action="store_true", help="rank the values before the signs too")
    parser.add_argument("--without", default="drop", choices=("drop", "zero", "error"),
                     help="what becomes of queries with nothing relevant in the gallery")  # fmt: skip
    parser.add_argument("--classes", action="store_true", help="print the figures of each class")
    parser.add_argument("--out", type=Path, help="the report's folder (default: in the run folder)")
    parser.add_argument(
        "--voices", type=Path, metavar="DATA", help="a data folder with the same captions in other voices"
    )
    parser.add_argument("--noise-db", type=float, metavar="DB", help="add noise at this signal-to-noise ratio")


@command(_add_evaluate)
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
        text = describe(done[0][0], classes=args.classes)
    elif args.out is not None:
        raise ConfigError("--out: each fold has its report in its own run folder; leave --out away")
    else:
        done = evaluate_folds(args.runs, **settings)
        text = describe_folds([report for report, _ in done])
    pages = [folder / "index.html" for _, folder in done]
    text = "\n".join([text, *(f"report: {page}" for page in pages)])
    show(
        args,
        text,
        {"reports": [{"page": page, **report.to_dict()} for (report, _), page in zip(done, pages, strict=True)]},
    )
    return 0


def _add_report(parser: argparse.ArgumentParser) -> None:
    """What ``dtbh report`` takes."""
    parser.add_argument("folder", type=Path, help="with report.json, or with several below")


@command(_add_report)
def report(args: Arguments) -> int:
    """Make the page of a report again, or one across all reports below a folder."""
    from dtbh.evaluation.report import rewrite_page

    page = rewrite_page(args.folder)
    show(args, f"report: {page}", {"page": page})
    return 0


def _add_sweep(parser: argparse.ArgumentParser) -> None:
    """What ``dtbh sweep`` takes."""
    parser.add_argument("config", nargs="+", metavar="CONFIG", help="or NAME=CONFIG; the name of its row and folder")
    parser.add_argument("--data", type=Path, required=True, help="a prepared data folder")
    parser.add_argument("--out", type=Path, required=True, help="the sweep's folder")
    parser.add_argument("--bits", type=_numbers, default=[16, 24, 32, 48, 64], help="default 16,24,32,48,64")
    parser.add_argument("--seeds", type=_numbers, default=[0, 1, 2], help="default 0,1,2")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="as in training.epochs=5")
    parser.add_argument("--jobs", type=int, default=1, metavar="N", help="runs at a time (default 1)")
    parser.add_argument("--threads", type=int, metavar="N", help="of each run (default: $OMP_NUM_THREADS, or a share "
                     "of the cores)")  # fmt: skip


@command(_add_sweep)
def sweep(args: Arguments) -> int:
    """Train and evaluate methods at several lengths with several seeds."""
    from dtbh.stages.sweep import sweep as run

    found = run(_configs(args.config), args.data, args.out, bits=args.bits, seeds=args.seeds, overrides=args.set,
                jobs=args.jobs, threads=args.threads)  # fmt: skip
    if args.json:
        show(args, "", json.loads((args.out / "sweep.json").read_text(encoding="utf-8")))
    elif found.table is not None:
        print(found.table.text())
        print(f"{args.out}: sweep.json, table.txt|md|csv|tex, map.png|svg, reports.html")
    for cell, why in found.failures.items():
        complain(f"failed: {cell}: {why}")
    return FAILED if found.failures else 0


def _add_compare(parser: argparse.ArgumentParser) -> None:
    """What ``dtbh compare`` takes."""
    parser.add_argument("runs", type=Path, nargs="+", metavar="RUN",
                        help="evaluated runs, or folders of several seeds; the first is what the others are "
                        "compared with")  # fmt: skip


@command(_add_compare)
def compare(args: Arguments) -> int:
    """Put runs side by side, and say whether their difference means anything."""
    from dtbh.evaluation.comparison_text import describe
    from dtbh.stages.compare import compare as run

    found = run(args.runs)
    show(args, describe(found), found.to_dict())
    return 0


def _add_schema(parser: argparse.ArgumentParser) -> None:
    """What ``dtbh schema`` takes."""
    parser.add_argument("out", type=Path)
    parser.add_argument("--report", action="store_true", help="of report.json")


@command(_add_schema)
def schema(args: Arguments) -> int:
    """Write the JSON schema of configs, or of reports."""
    from dtbh.config import write_schema
    from dtbh.evaluation.schema import write_report_schema

    path = (write_report_schema if args.report else write_schema)(args.out)
    show(args, str(path), {"path": path})
    return 0


def _configs(texts: list[str]) -> dict[str, Path]:
    """The config files by the names of their rows, each as ``CONFIG`` or ``NAME=CONFIG``."""
    configs: dict[str, Path] = {}
    for text in texts:
        name, equals, path = text.partition("=")
        file = Path(path if equals else text)
        name = name if equals else "-".join(part for part in (file.parent.name, file.stem) if part)
        if not name or "/" in name or name.startswith("."):
            raise ConfigError(f"{text}: a method's name makes a folder; wanted NAME=CONFIG, as in DTBH=dtbh.yaml")
        if name in configs:
            raise ConfigError(f"{text}: a method of the name {name} was given already; use NAME=CONFIG")
        configs[name] = file
    return configs
