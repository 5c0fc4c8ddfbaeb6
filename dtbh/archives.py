"""The commands that look after archives: info, remove, compact, merge; and where an index is.

Comes in: arguments, from ``dtbh.cli``. Heavy imports stand inside the commands.
"""

from __future__ import annotations

import argparse
import json
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dtbh.errors import ConfigError

if TYPE_CHECKING:
    from dtbh.index.engine import Index

Arguments = argparse.Namespace
Command = Callable[[str, Callable[[Arguments], int]], argparse.ArgumentParser]


def info(args: Arguments) -> int:
    """Say what an archive holds."""
    from dtbh.index.archive import open_archive

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
    from dtbh.index.archive import open_archive

    archive = open_archive(args.archive)
    before = archive.info()
    archive.compact()
    after = archive.info()
    freed = before.code_bytes + before.item_bytes - after.code_bytes - after.item_bytes
    print(f"{args.archive}: {after.items} items in {after.segments} parts, {before.removed} removed rows dropped, "
          f"{max(freed, 0)} bytes given back")  # fmt: skip
    return 0


def merge(args: Arguments) -> int:
    """Join archives, or codes, that were made in parts."""
    from dtbh.indexing import merge as run

    done = run(args.out, args.parts)
    print(f"{done.path}: {done.count} items of {len(args.parts)} parts")
    return 0


def opened(args: Arguments) -> Index:
    """The index that the arguments of `add_engine` name.

    Raises:
        ConfigError: As in `on_milvus`.
    """
    if where := on_milvus(args):
        from dtbh.index.milvus import open_milvus

        return open_milvus(**where)
    from dtbh.index.archive import open_archive

    return open_archive(args.archive)


def on_milvus(args: Arguments) -> dict[str, Any]:
    """Address, collection and token, where the arguments name Milvus; empty where they name an archive.

    Raises:
        ConfigError: They name neither, or both.
    """
    path = args.archive
    if args.engine == "milvus":
        if args.uri is None:
            raise ConfigError("--engine milvus wants --uri: http://host:19530, or a file that ends in .db")
        if path is not None:
            raise ConfigError(f"{path}: the engine milvus takes --uri alone; leave the archive away")
        return {"uri": args.uri, "collection": args.collection, "token": os.environ.get("MILVUS_TOKEN")}
    if args.uri is not None:
        raise ConfigError(f"--uri {args.uri}: goes with --engine milvus")
    if path is None:
        raise ConfigError("say which archive, or --engine milvus --uri URI")
    return {}


def pairs(texts: Sequence[str]) -> dict[str, str]:
    """The filters of ``--where``, each as ``field=value``.

    Raises:
        ConfigError: No ``=``, or a field twice.
    """
    where: dict[str, str] = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if not equals:
            raise ConfigError(f"--where {text}: wanted field=value, as in --where label=harbor")
        if name in where:
            raise ConfigError(f"--where {text}: {name} was given already, as {where[name]}; an item has one value")
        where[name] = value
    return where


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


def add_engine(parser: argparse.ArgumentParser) -> None:
    """The options that name an index on another engine, in place of an archive."""
    parser.add_argument("--engine", default="archive", choices=("archive", "milvus"), help="default: a folder")
    parser.add_argument("--uri", help="of Milvus: http://host:19530, or a file that ends in .db")
    parser.add_argument(
        "--collection", default="dtbh", help="of Milvus (default dtbh); $MILVUS_TOKEN, where it wants a token"
    )


def add_where(parser: argparse.ArgumentParser) -> None:
    """The option ``--where``."""
    parser.add_argument("--where", action="append", default=[], metavar="FIELD=VALUE",
                        help="only items with this value in a field, one of an item's or of one's own")  # fmt: skip
