"""The commands that make archives and look after them: encode, index, merge, info, remove, compact.

Comes in: arguments, from ``dtbh.cli.main``. Heavy imports stand inside the commands.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from dtbh.cli.options import Arguments, add_cutting, add_engine, add_where, cutting, on_milvus, opened, pairs
from dtbh.errors import ConfigError

if TYPE_CHECKING:
    from dtbh.stages.resumable import StageResult

SKIPPED = 1  # the exit code where files were left out
Command = Callable[[str, Callable[[Arguments], int]], argparse.ArgumentParser]


def encode(args: Arguments) -> int:
    """Write the codes of media as files."""
    done = _made("encode", args, args.out)
    return _left_out(f"{done.path}: {done.count} codes", done.failures)


def index(args: Arguments) -> int:
    """Make an archive of media, or add to one."""
    milvus = on_milvus(args)
    if args.index_type and not milvus:
        raise ConfigError(f"--index-type {args.index_type}: goes with --engine milvus")
    if not (args.add or milvus):
        done = _made("index", args, args.archive)
        return _left_out(f"{done.path}: {done.count} items", done.failures)
    if args.shard or args.ray is not None:
        raise ConfigError("--shard and --ray go with neither --add nor --engine; index the shards, and merge them")
    from dtbh.stages.index import grow, index_on_milvus

    what: dict[str, Any] = {"split": args.split, "strict": args.strict, "cutting": cutting(args)}
    if milvus:
        done = index_on_milvus(args.run_folder, args.source, **milvus, index_type=args.index_type or "BIN_FLAT", **what)
    else:
        done = grow(args.run_folder, args.source, out=args.archive, **what)
    return _left_out(f"{done.path}: {done.new} items added, {done.count} in all", done.failures)


def info(args: Arguments) -> int:
    """Say what an archive holds."""
    from dtbh.index.archive.archive import open_archive

    archive = open_archive(args.archive)
    if args.verify:
        archive.verify()
    found = archive.info()
    print(json.dumps(found.to_dict(), indent=2, ensure_ascii=False) if args.json else found.describe())
    if args.verify and not args.json:
        print("verified  all codes, items and filters are as they were written")
    return 0


def remove(args: Arguments) -> int:
    """Remove items from an archive, by id or by a filter."""
    if args.engine == "milvus" and args.archive is not None:
        args.archive, args.ids = None, [args.archive, *args.ids]  # without an archive all words are ids
    if bool(args.ids) == bool(args.where):
        raise ConfigError("say what to remove: ids, or --where field=value, not both")
    index = opened(args)
    chosen = args.ids or [item.id for item in index.items(index.rows(pairs(args.where)))]
    count = index.remove(chosen)
    print(f"{args.archive or index.name}: {count} items removed, {len(index)} left")
    return 0


def compact(args: Arguments) -> int:
    """Write an archive anew without what was removed."""
    from dtbh.index.archive.archive import open_archive

    archive = open_archive(args.archive)
    before = archive.info()
    archive.compact()
    after = archive.info()
    freed = before.code_bytes + before.item_bytes - after.code_bytes - after.item_bytes
    print(f"{args.archive}: {after.items} items, {before.removed} removed rows dropped, "
          f"{max(freed, 0)} bytes given back")  # fmt: skip
    return 0


def merge(args: Arguments) -> int:
    """Join archives, or codes, that were made in parts."""
    from dtbh.stages.merge import merge as run

    done = run(args.out, args.parts)
    print(f"{done.path}: {done.count} items of {len(args.parts)} parts")
    return 0


def _made(stage: Literal["encode", "index"], args: Arguments, out: Path) -> StageResult:
    """Encode or index here, or over a cluster."""
    from dtbh.data.shards import Shard
    from dtbh.stages.encode import encode
    from dtbh.stages.index import index

    if args.shard and args.ray is not None:
        raise ConfigError("--ray makes the shards itself; leave --shard away")
    what: dict[str, Any] = {"out": out, "split": args.split, "strict": args.strict, "cutting": cutting(args)}
    if args.ray is not None:
        from dtbh.stages.distributed import over_cluster

        return over_cluster(stage, args.run_folder, args.source, shards=args.ray, **what)
    shard = Shard.parse(args.shard) if args.shard else None
    make = encode if stage == "encode" else index
    return make(args.run_folder, args.source, shard=shard, **what)


def _left_out(done: str, failures: Sequence[str]) -> int:
    print(done)
    for failure in failures:
        print(f"left out: {failure}", file=sys.stderr)
    return SKIPPED if failures else 0


def add_makers(command: Command) -> None:
    """The parsers of ``encode`` and ``index``."""
    for name, run in (("encode", encode), ("index", index)):
        sub = command(name, run)
        sub.add_argument("run_folder", type=Path, metavar="RUN")
        sub.add_argument(
            "source", type=Path, metavar="SOURCE", help="a prepared data folder, a folder of media, or a file"
        )
        sub.add_argument("--out", dest="out" if run is encode else "archive", type=Path, required=run is encode)
        sub.add_argument("--split", default="all", choices=("train", "val", "test", "all"))
        sub.add_argument("--strict", action="store_true", help="stop at the first file that can't be read")
        add_cutting(sub)
        sub.add_argument("--shard", metavar="K/N", help="only the k-th of n parts; dtbh merge joins them")
        sub.add_argument(
            "--ray", type=int, metavar="N", help="as n shards on the cluster of RAY_ADDRESS, or on this machine"
        )
    sub.add_argument("--add", action="store_true", help="add to the archive what it does not have")
    add_engine(sub)
    sub.add_argument(
        "--index-type",
        choices=("BIN_FLAT", "BIN_IVF_FLAT"),
        help="of Milvus: BIN_FLAT (default) is exact, BIN_IVF_FLAT quicker and may miss items",
    )


def add_commands(command: Command) -> None:
    """The parsers of these commands."""
    sub = command("info", info)
    sub.add_argument("archive", type=Path)
    sub.add_argument("--json", action="store_true")
    sub.add_argument("--verify", action="store_true", help="read everything and compare it with its checksums")

    sub = command("remove", remove)
    sub.add_argument("archive", nargs="?")
    add_engine(sub)
    sub.add_argument("ids", nargs="*", metavar="ID")
    add_where(sub)

    command("compact", compact).add_argument("archive", type=Path)

    sub = command("merge", merge)
    sub.add_argument("out", type=Path, metavar="OUT")
    sub.add_argument("parts", type=Path, nargs="+", metavar="PART")
