"""Options of the command line that are the parameters of a function: what it takes is written down once."""

from __future__ import annotations

import argparse
import inspect
import re
from collections.abc import Callable, Collection, Mapping
from types import NoneType
from typing import Any, Literal, get_args, get_origin

ALONE = "path"  # a parameter of this name stands without a flag


def summary(function: Callable[..., object]) -> str:
    """The first line of a docstring, as plain text."""
    return _plain((inspect.getdoc(function) or "").partition("\n")[0])


def add_parameters(
    parser: argparse.ArgumentParser, function: Callable[..., object], *, leave_out: Collection[str] = ()
) -> None:
    """Add an option for each parameter of a function, with its type, its default, and its help out of ``Args``.

    Raises:
        TypeError: A parameter whose annotation is not one of str, int, float, bool, Path, or these ``| None``, or a
            Literal of strings.
    """
    helps = described(function)
    for name, parameter in _parameters(function, leave_out).items():
        kind, needed = kind_of(name, parameter), parameter.default is inspect.Parameter.empty
        settings: dict[str, Any] = {"help": _with_default(helps.get(name, ""), parameter.default)}
        if choices := choices_of(parameter):
            settings["choices"] = choices
        if kind is bool:
            action = argparse.BooleanOptionalAction if parameter.default else "store_true"
            parser.add_argument(f"--{name.replace('_', '-')}", action=action, **settings)
        elif name == ALONE:
            parser.add_argument(name, type=kind, **settings)
        else:
            flag = f"--{name.replace('_', '-')}"
            parser.add_argument(flag, type=kind, required=needed, default=None if needed else parameter.default,
                                metavar=None if choices else name.upper(), **settings)  # fmt: skip


def parameters_given(
    args: argparse.Namespace, function: Callable[..., object], *, leave_out: Collection[str] = ()
) -> dict[str, Any]:
    """What was given on the command line for each parameter of a function."""
    return {name: getattr(args, name) for name in _parameters(function, leave_out)}


def choices_of(parameter: inspect.Parameter) -> tuple[str, ...]:
    """What a parameter annotated with a Literal may be; nothing for others."""
    return get_args(parameter.annotation) if get_origin(parameter.annotation) is Literal else ()


def _parameters(function: Callable[..., object], leave_out: Collection[str]) -> Mapping[str, inspect.Parameter]:
    found = inspect.signature(function, eval_str=True).parameters
    return {name: parameter for name, parameter in found.items() if name not in leave_out}


def kind_of(name: str, parameter: inspect.Parameter) -> type:
    """What the text of an option becomes; raises TypeError where it can't be an option."""
    from pathlib import Path

    if choices_of(parameter):
        return str
    kinds = [kind for kind in get_args(parameter.annotation) or (parameter.annotation,) if kind is not NoneType]
    if len(kinds) != 1 or kinds[0] not in (str, int, float, bool, Path):
        raise TypeError(f"parameter {name}: {parameter.annotation} can't be an option; wanted str, int, float or Path")
    return kinds[0]  # type: ignore[no-any-return]


def described(function: Callable[..., object]) -> dict[str, str]:
    """What ``Args`` says of each parameter, as one line of plain text without its full stop."""
    section = re.search(r"^Args:\n(.*?)(?=^\S|\Z)", inspect.getdoc(function) or "", re.DOTALL | re.MULTILINE)
    if section is None:
        return {}
    entries = re.findall(r"^ {4}(\w+): (.*?)(?=^ {4}\w|\Z)", section[1], re.DOTALL | re.MULTILINE)
    return {name: _plain(text).rstrip(".") for name, text in entries}


def _plain(text: str) -> str:
    return " ".join(text.split()).replace("`", "")


def _with_default(text: str, default: object) -> str:
    said = text.replace("%", "%%")
    return f"{said} (default {default})" if isinstance(default, int | float) and not isinstance(default, bool) else said
