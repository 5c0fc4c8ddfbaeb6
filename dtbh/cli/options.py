"""Options that several commands share: how scenes are cut, which index is meant, which items pass."""

from __future__ import annotations

import argparse
import os
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from dtbh.cli.commands import Arguments
from dtbh.errors import ConfigError

if TYPE_CHECKING:
    from dtbh.data.tiling import Cutting
    from dtbh.index.base import Index


def add_cutting(parser: argparse.ArgumentParser) -> None:
    """The options that cut scenes into tiles."""
    parser.add_argument("--tile", type=int, metavar="PIXELS", help="cut TIFF scenes into tiles of this side")
    parser.add_argument("--stride", type=int, metavar="PIXELS", help="from a tile to the next (default: the side)")
    parser.add_argument("--bands", metavar="R,G,B", help="band numbers to show, or one (default 1,2,3)")
    parser.add_argument("--range", metavar="LOW,HIGH", help="values shown black and white (default: 2 to 98 percent)")


def cutting(args: Arguments) -> Cutting | None:
    """How to cut; None where ``--tile`` was not given.

    Raises:
        ConfigError: Values that can't be, or options without ``--tile``.
    """
    if args.tile is None:
        for name in ("stride", "bands", "range"):
            if getattr(args, name) is not None:
                raise ConfigError(f"--{name} goes with --tile PIXELS, which cuts scenes")
        return None
    from dtbh.data.tiling import Cutting

    try:
        bands = None if args.bands is None else tuple(int(band) for band in args.bands.split(","))
    except ValueError:
        raise ConfigError(f"--bands {args.bands}: wanted band numbers, as in --bands 4,3,2") from None
    try:
        ends = None if args.range is None else tuple(float(end) for end in args.range.split(","))
    except ValueError:
        ends = ()
    if ends is not None and len(ends) != 2:
        raise ConfigError(f"--range {args.range}: wanted lowest,highest, as in --range 0,3000")
    return Cutting(args.tile, args.stride, bands, None if ends is None else (ends[0], ends[1]))


def opened(args: Arguments) -> Index:
    """The index that the arguments of `add_engine` name.

    Raises:
        ConfigError: As in `on_milvus`.
    """
    if where := on_milvus(args):
        from dtbh.index.milvus.engine import open_milvus

        return open_milvus(**where)
    from dtbh.index.archive.archive import open_archive

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
