"""The commands that look after archives: info, remove, compact, merge.

Comes in: arguments, from ``dtbh.cli``. Heavy imports stand inside the commands.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Sequence
from pathlib import Path

from dtbh.errors import ConfigError

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
    from dtbh.index.archive import open_archive

    if bool(args.ids) == bool(args.where):
        raise ConfigError("say what to remove: ids, or --where field=value, not both")
    archive = open_archive(args.archive)
    chosen = args.ids or [item.id for item in archive.items(archive.rows(pairs(args.where)))]
    count = archive.remove(chosen)
    print(f"{args.archive}: {count} items removed, {len(archive)} left")
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
    sub.add_argument("archive", type=Path)
    sub.add_argument("ids", nargs="*", metavar="ID")
    add_where(sub)

    command("compact", compact).add_argument("archive", type=Path)

    sub = command("merge", merge)
    sub.add_argument("out", type=Path, metavar="OUT")
    sub.add_argument("parts", type=Path, nargs="+", metavar="PART")


def add_where(parser: argparse.ArgumentParser) -> None:
    """The option ``--where``."""
    parser.add_argument("--where", action="append", default=[], metavar="FIELD=VALUE",
                        help="only items with this value in a field, one of an item's or of one's own")  # fmt: skip
