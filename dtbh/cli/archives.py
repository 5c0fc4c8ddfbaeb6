"""Commands that make archives and look after them: encode, index, merge, info, remove, compact."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from dtbh.cli.commands import Arguments, Parser, command, show
from dtbh.cli.options import FOLDER, add_cutting, add_engine, add_where, cutting, engine_of, opened, pairs
from dtbh.errors import ConfigError
from dtbh.models.run_files import READY
from dtbh.utils.progress import complain, echo

if TYPE_CHECKING:
    from dtbh.index.archive.archive import Archive
    from dtbh.stages.resumable import StageResult

SKIPPED = 1  # the exit code where files were left out


def _add_made(parser: argparse.ArgumentParser) -> None:
    """What ``dtbh encode`` and ``dtbh index`` both take."""
    parser.add_argument(
        "run_folder", metavar="MODEL", nargs="?", default=READY,
        help="a run or a model: its folder, https://... or hf://owner/name (default: the ready one)",
    )  # fmt: skip
    parser.add_argument(
        "source", type=Path, metavar="SOURCE", help="a prepared data folder, a folder of media, or a file"
    )
    parser.add_argument("--split", default="all", choices=("train", "val", "test", "all"))
    parser.add_argument("--strict", action="store_true", help="stop at the first file that can't be read")
    add_cutting(parser)
    parser.add_argument("--passages", action="store_true", help="cut sounds longer than the model hears into passages, "
                        "each an item; silence is left out")  # fmt: skip
    parser.add_argument("--shard", metavar="K/N", help="only the k-th of n parts; dtbh merge joins them")
    parser.add_argument(
        "--ray", type=int, metavar="N", help="as n shards on the cluster of RAY_ADDRESS, or on this machine"
    )


def _add_encode(parser: argparse.ArgumentParser) -> None:
    """What ``dtbh encode`` takes."""
    _add_made(parser)
    parser.add_argument("--out", type=Path, required=True)


@command(_add_encode)
def encode(args: Arguments) -> int:
    """Write the codes of media as files."""
    done = _made("encode", args, args.out)
    return _left_out(args, f"{done.path}: {done.count} codes", done)


def _add_index(parser: Parser) -> None:
    """What ``dtbh index`` takes."""
    _add_made(parser)
    parser.add_argument("--out", dest="archive", type=Path)
    parser.add_argument("--add", action="store_true", help="add to the archive what it does not have")
    parser.add_argument("--vectors", action=argparse.BooleanOptionalAction, help="keep the model's vectors too, by "
                        "which search orders what is near (default: where the model takes any words; an archive that "
                        "stands there goes on as it is)")  # fmt: skip
    add_engine(parser, making=True)


@command(_add_index)
def index(args: Arguments) -> int:
    """Make an archive of media, or add to one."""
    engine = engine_of(args)
    if args.engine == FOLDER and not args.add:
        done = _made("index", args, args.archive)
        return _left_out(args, f"{done.path}: {done.count} items", done)
    if args.shard or args.ray is not None:
        raise ConfigError("--shard and --ray go with neither --add nor --engine; index the shards, and merge them")
    from dtbh.stages.index import grow

    what: dict[str, Any] = {"split": args.split, "strict": args.strict, "cutting": cutting(args)}
    what |= {"passages": args.passages, "vectors": args.vectors}
    done = grow(args.run_folder, args.source, out=engine, make=not args.add, **what)
    return _left_out(args, f"{done.path}: {done.new} items added, {done.count} in all", done)


def _add_merge(parser: argparse.ArgumentParser) -> None:
    """What ``dtbh merge`` takes."""
    parser.add_argument("out", type=Path, metavar="OUT")
    parser.add_argument("parts", type=Path, nargs="+", metavar="PART")


@command(_add_merge)
def merge(args: Arguments) -> int:
    """Join archives, or codes, that were made in parts."""
    from dtbh.stages.merge import merge as run

    done = run(args.out, args.parts)
    text = f"{done.path}: {done.count} items of {len(args.parts)} parts"
    show(args, text, {"path": done.path, "items": done.count, "parts": len(args.parts)})
    return 0


def _add_info(parser: argparse.ArgumentParser) -> None:
    """What ``dtbh info`` takes."""
    parser.add_argument("archive", type=Path)
    parser.add_argument("--verify", action="store_true", help="read everything and compare it with its checksums")
    parser.add_argument("--words", action="store_true", help="count images by the words that dtbh label gave them")
    parser.add_argument("--out", type=Path, metavar="FILE", help="with --words: draw counts, examples and a map, as "
                        ".html, or as .png (extra plots)")  # fmt: skip


@command(_add_info)
def info(args: Arguments) -> int:
    """Say what an archive holds."""
    from dtbh.index.archive.archive import open_archive

    if args.out and not args.words:
        raise ConfigError(f"--out {args.out}: goes with --words")
    archive = open_archive(args.archive)
    if args.verify:
        archive.verify()
    if args.words:
        return _info_words(args, archive)
    found = archive.info()
    verified = ["verified  all codes, items and filters are as they were written"] if args.verify else []
    show(args, "\n".join([found.describe(), *verified]), found.to_dict())
    return 0


def _info_words(args: Arguments, archive: Archive) -> int:
    """What an archive holds by its words."""
    from dtbh.search.holdings import holdings
    from dtbh.search.holdings_page import check_suffix, write_holdings

    if args.out:
        check_suffix(args.out)
    found = holdings(archive, pictures=args.out is not None)
    show(args, found.describe(), found.to_dict())
    if args.out:
        echo(f"drawn: {write_holdings(found, args.out)}")
    return 0


def _add_remove(parser: Parser) -> None:
    """What ``dtbh remove`` takes."""
    parser.add_argument("archive", nargs="?")
    parser.add_argument("ids", nargs="*", metavar="ID")
    add_where(parser)
    add_engine(parser)


@command(_add_remove)
def remove(args: Arguments) -> int:
    """Remove items from an archive, by id or by a filter."""
    if args.engine != FOLDER and args.archive is not None:
        args.archive, args.ids = None, [args.archive, *args.ids]  # without an archive all words are ids
    if bool(args.ids) == bool(args.where):
        raise ConfigError("say what to remove: ids, or --where field=value, not both")
    index = opened(args)
    where = pairs(args.where)
    chosen = args.ids or [item.id for item in index.items(index.rows(where))]
    count = index.remove(chosen)
    name = args.archive or index.name
    show(
        args, f"{name}: {count} items removed, {len(index)} left", {"path": name, "removed": count, "items": len(index)}
    )
    if not chosen:
        from dtbh.search.query import why_nothing

        echo(why_nothing(index, where))
    return 0


def _add_compact(parser: argparse.ArgumentParser) -> None:
    """What ``dtbh compact`` takes."""
    parser.add_argument("archive", type=Path)


@command(_add_compact)
def compact(args: Arguments) -> int:
    """Write an archive anew without what was removed."""
    from dtbh.index.archive.archive import open_archive

    archive = open_archive(args.archive)
    before = archive.info()
    archive.compact()
    after = archive.info()
    sizes = [info.code_bytes + info.vector_bytes + info.item_bytes for info in (before, after)]
    freed = sizes[0] - sizes[1]
    text = (
        f"{args.archive}: {after.items} items, {before.removed} removed rows dropped, {max(freed, 0)} bytes given back"
    )
    values = {"path": args.archive, "items": after.items, "dropped": before.removed, "bytes_given_back": max(freed, 0)}
    show(args, text, values)
    return 0


def _made(stage: Literal["encode", "index"], args: Arguments, out: Path) -> StageResult:
    """Encode or index here, or over a cluster."""
    from dtbh.data.shards import Shard
    from dtbh.stages.encode import encode
    from dtbh.stages.index import index

    if args.shard and args.ray is not None:
        raise ConfigError("--ray makes the shards itself; leave --shard away")
    what: dict[str, Any] = {"out": out, "split": args.split, "strict": args.strict, "cutting": cutting(args)}
    what["passages"] = args.passages
    what |= {"vectors": args.vectors} if stage == "index" else {}
    if args.ray is not None:
        from dtbh.stages.distributed import over_cluster

        return over_cluster(stage, args.run_folder, args.source, shards=args.ray, **what)
    shard = Shard.parse(args.shard) if args.shard else None
    make = encode if stage == "encode" else index
    return make(args.run_folder, args.source, shard=shard, **what)


def _left_out(args: Arguments, text: str, done: StageResult) -> int:
    """Print what a stage left, and which files it left out; returns the exit code."""
    values = {"path": done.path, "items": done.count, "new": done.new, "left_out": [*done.failures]}
    show(args, text, values)
    for failure in done.failures:
        complain(f"left out: {failure}")
    return SKIPPED if done.failures else 0
