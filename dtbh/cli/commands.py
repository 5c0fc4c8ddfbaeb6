"""What a command is: a function of the arguments, with a decorator that says which options it takes.

One file a family, as ``archives.py``; a command of a new file in this folder is found.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from dtbh.utils.registry import register

Arguments = argparse.Namespace
Run = Callable[[Arguments], int]
Options = Callable[[argparse.ArgumentParser], None]


@dataclass(frozen=True)
class Command:
    """One command.

    Attributes:
        name: As it is typed.
        run: What it does; the first line of its docstring is its help. It returns the exit code.
        options: Adds what it takes to its parser.
    """

    name: str
    run: Run
    options: Options


COMMANDS: dict[str, Command] = {}
"""Every command by its name, in the order of help."""


def common_options() -> argparse.ArgumentParser:
    """What every command takes."""
    common = argparse.ArgumentParser(add_help=False)
    common.add_argument("--quiet", action="store_true", help="no progress and no remarks")
    common.add_argument("--log", default="text", choices=("text", "json"),
                        help="how progress and remarks stand on stderr: json is one object a line")  # fmt: skip
    common.add_argument("--json", action="store_true", help="print what was found as JSON")
    common.add_argument("--debug", action="store_true", help="show the traceback of an error")
    return common


def no_options(parser: argparse.ArgumentParser) -> None:
    """A command that takes nothing."""


def command(options: Options = no_options) -> Callable[[Run], Run]:
    """A decorator that makes a function a command of its own name."""

    def put(run: Run) -> Run:
        register(COMMANDS, run.__name__)(Command(run.__name__, run, options))
        return run

    return put


def show(args: Arguments, text: str, values: dict[str, Any]) -> None:
    """Print what a command found: as text, or with ``--json`` as an object."""
    print(json.dumps(values, indent=2, ensure_ascii=False, default=str) if args.json else text)
