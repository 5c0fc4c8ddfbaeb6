"""What a command is: a function of the arguments, with a decorator that says which options it takes.

One file a family, as ``archives.py``; a command of a new file in this folder is found.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from dtbh.utils.registry import register

Arguments = argparse.Namespace
Run = Callable[[Arguments], int]


class Parser(argparse.ArgumentParser):
    """What reads the options of a command.

    Attributes:
        words: The only line that it will read; None where it may read any.
    """

    words: Sequence[str] | None = None

    def suffices(self) -> bool:
        """Whether the line has no option but those that were added so far, and does not ask for all (``--help``)."""
        if self.words is None:
            return False
        given = {word.partition("=")[0] for word in self.words if word.startswith("-")}
        return given <= {*self._option_string_actions} - {"-h", "--help"}


Options = Callable[[Parser], None]


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


def common_options() -> Parser:
    """What every command takes."""
    common = Parser(add_help=False)
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
