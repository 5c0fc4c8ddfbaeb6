"""The command that names images: label."""

from __future__ import annotations

from pathlib import Path

from dtbh.cli.commands import Arguments, Parser, command, show
from dtbh.cli.options import FOLDER, add_engine, engine_of
from dtbh.errors import ConfigError
from dtbh.index.engines.archive import ArchiveEngine

SHOWN = 12  # words that are printed


def _add_label(parser: Parser) -> None:
    """What ``dtbh label`` takes."""
    parser.add_argument("archive", type=Path, nargs="?")
    parser.add_argument("--words", type=Path, metavar="FILE", help="a word a line (default: a list of land use)")
    parser.add_argument(
        "--model", help="the run that made the archive, if it moved: its folder, https://... or hf://..."
    )
    parser.add_argument("--top", type=int, default=3, metavar="N", help="words that each image gets (default 3)")
    add_engine(parser)


@command(_add_label)
def label(args: Arguments) -> int:
    """Name the images of an archive: their nearest words, with probabilities."""
    engine = engine_of(args)
    if not isinstance(engine, ArchiveEngine):
        raise ConfigError(
            f"--engine {args.engine}: only an archive in a folder can be named, as its items are written anew; index "
            f"into a folder, name that, and search it with --engine {FOLDER}"
        )
    from dtbh.stages.label import label as run

    done = run(engine.path, words=args.words, model=args.model, top=args.top)
    lines = [f"{done.path}: {done.images:,} images have words, {done.new:,} of them new, of a list of {done.words:,}"]
    lines += [f"{count:>12,}  {word}" for word, count in [*done.counts.items()][:SHOWN]]
    lines += [f"{'...':>12}"] if len(done.counts) > SHOWN else []
    values = {"path": done.path, "images": done.images, "new": done.new, "words": done.words, "counts": done.counts}
    show(args, "\n".join(lines), values)
    return 0
