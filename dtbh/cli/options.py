"""Options that several commands share: how scenes are cut, which index is meant, which items pass."""

from __future__ import annotations

import argparse
import inspect
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from dtbh.cli.commands import Arguments, Parser
from dtbh.cli.signature import choices_of, described, kind_of
from dtbh.errors import ConfigError
from dtbh.index.engines.archive import ArchiveEngine
from dtbh.index.engines.base import Engine, known_engines

if TYPE_CHECKING:
    from dtbh.data.tiling import Tiling
    from dtbh.index.base import Index

FOLDER = "archive"  # the engine whose place is named without a flag


def add_cutting(parser: argparse.ArgumentParser) -> None:
    """The options that cut scenes into tiles."""
    parser.add_argument("--tile", type=int, metavar="PIXELS", help="cut TIFF scenes into tiles of this side")
    parser.add_argument("--stride", type=int, metavar="PIXELS", help="from a tile to the next (default: the side)")
    parser.add_argument("--bands", metavar="R,G,B", help="band numbers to show, or one (default 1,2,3)")
    parser.add_argument("--range", metavar="LOW,HIGH", help="values shown black and white (default: 2 to 98 percent)")


def cutting(args: Arguments) -> Tiling | None:
    """How to cut; None where ``--tile`` was not given.

    Raises:
        ConfigError: Values that can't be, or options without ``--tile``.
    """
    if args.tile is None:
        for name in ("stride", "bands", "range"):
            if getattr(args, name) is not None:
                raise ConfigError(f"--{name} goes with --tile PIXELS, which cuts scenes")
        return None
    from dtbh.data.tiling import Tiling

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
    return Tiling(args.tile, args.stride, bands, None if ends is None else (ends[0], ends[1]))


def opened(args: Arguments) -> Index:
    """The index that the arguments of `add_engine` name.

    Raises:
        ConfigError: As in `engine_of`.
    """
    return engine_of(args).open()


def engine_of(args: Arguments) -> Engine:
    """The engine that the arguments of `add_engine` name, with its options.

    Raises:
        ConfigError: They name no place, two, or an option of another engine.
    """
    engines, name, path = known_engines(packages=False), args.engine, args.archive
    options = {of: {} if of == FOLDER else inspect.signature(kind).parameters for of, kind in engines.items()}
    kind, own = engines[name], options[name]
    for other, theirs in options.items():
        for option in theirs:
            if option not in own and getattr(args, option, None) is not None:
                raise ConfigError(f"--{_flag(option)} {getattr(args, option)}: goes with --engine {other}")
    given = {option: value for option in own if (value := getattr(args, option, None)) is not None}
    if name == FOLDER:
        if path is None:
            raise ConfigError("say which archive, or --engine milvus --uri URI")
        return ArchiveEngine(Path(path))
    wanted = [option for option, parameter in own.items() if parameter.default is inspect.Parameter.empty]
    if missing := [option for option in wanted if option not in given]:
        raise ConfigError(f"--engine {name} wants --{_flag(missing[0])}: {described(kind).get(missing[0], '')}")
    if path is not None:
        flags = " and ".join(f"--{_flag(option)}" for option in wanted)
        raise ConfigError(f"{path}: the engine {name} takes {flags} alone; leave the archive away")
    return kind(**given)


def _flag(option: str) -> str:
    return option.replace("_", "-")


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


def add_engine(parser: Parser, *, making: bool = False) -> None:
    """The option ``--engine``, and the options of every engine but the archive, which is named by its folder.

    Args:
        parser: Of the command, with all of its own options. Where these suffice, no other package is asked for engines.
        making: Whether an index may be made: then with what matters only then.

    Raises:
        ConfigError: An engine has a field that is an option of the command, or another kind of one of another engine.
    """
    engines = known_engines(packages=not parser.suffices())
    parser.add_argument("--engine", default=FOLDER, choices=tuple(engines), help="default: a folder")
    taken = {"archive", "command", *(action.dest for action in parser._actions)}
    taken |= {flag.lstrip("-").replace("-", "_") for action in parser._actions for flag in action.option_strings}
    fields: dict[str, dict[str, inspect.Parameter]] = {}
    for name, kind in engines.items():
        for option, parameter in inspect.signature(kind, eval_str=True).parameters.items():
            if name != FOLDER and (making or option not in kind.making):
                fields.setdefault(option, {})[name] = parameter
    for option, of in fields.items():
        owners = " and ".join(of)
        if option in taken:
            raise ConfigError(f"engine {owners}: the command has --{_flag(option)} already; rename the field {option}")
        kinds = {(kind_of(option, parameter), choices_of(parameter)) for parameter in of.values()}
        if len(kinds) > 1:
            raise ConfigError(f"--{_flag(option)}: differs between the engines {owners}; rename the field in one")
        value, choices = kinds.pop()
        said = "; ".join(f"of {name}: {described(engines[name]).get(option, '')}" for name in of).replace("%", "%%")
        if value is bool:
            action = argparse.BooleanOptionalAction
            parser.add_argument(f"--{_flag(option)}", action=action, default=None, help=said)
        else:
            parser.add_argument(f"--{_flag(option)}", choices=choices or None, type=value, help=said)


def add_where(parser: argparse.ArgumentParser) -> None:
    """The option ``--where``."""
    parser.add_argument("--where", action="append", default=[], metavar="FIELD=VALUE",
                        help="only items with this value in a field, one of an item's or of one's own")  # fmt: skip
