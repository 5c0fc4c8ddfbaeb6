"""The command line: finds the commands, and runs the one that is asked for.

Heavy imports stand inside the commands, so that ``dtbh --help`` is instant. A user's mistake is one line on stderr and
exit code 2; files that could not be read and were left out give 1; Ctrl-C 130, SIGTERM 143 and SIGHUP 129; a reader
that went away (``| head``) 141, silently.
"""

from __future__ import annotations

import argparse
import gc
import os
import sys
from collections.abc import Sequence
from contextlib import suppress
from importlib import import_module

from dtbh.cli.commands import COMMANDS, Parser, common_options
from dtbh.errors import DtbhError
from dtbh.utils import progress
from dtbh.utils.interrupts import end_workers, heeded
from dtbh.utils.registry import load_modules
from dtbh.utils.version import __version__

MISTAKE, READER_GONE = 2, 141
FAMILIES = (
    "data",
    "experiments",
    "archives",
    "naming",
    "search",
    "export",
    "doctor",
    "completion",
)  # the order of help; others come behind


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit code."""
    if "_ARGCOMPLETE" in os.environ:  # a shell asks how the line in COMP_LINE goes on
        from dtbh.cli.completion import complete

        complete(make_parser())
    words = sys.argv[1:] if arguments is None else list(arguments)
    with heeded() as stop:
        try:
            code = _run(words)
            if arguments is None:
                gc.freeze()  # the process ends: to look through all that is left would take a tenth of a cold search
            return code
        except BaseException as error:
            if stop.number is None and not isinstance(error, KeyboardInterrupt):
                raise
            end_workers()
            with suppress(OSError):  # the terminal may have gone
                progress.complain("; ".join([f"dtbh: {stop}", *getattr(error, "__notes__", ())]))
            return stop.code


def _run(words: Sequence[str]) -> int:
    """Run one command; returns the exit code, also of a mistake."""
    debug = "--debug" in words
    try:
        args = make_parser(words).parse_args(words)
        debug = args.debug
        progress.quiet(args.quiet)
        progress.log_as(args.log, args.command)
        code = COMMANDS[args.command].run(args)
        sys.stdout.flush()
        return code
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # what is still unsaid goes nowhere
        return READER_GONE
    except (DtbhError, OSError, MemoryError) as error:
        if debug:
            raise
        progress.complain(f"dtbh: {_line(error)}")
        return MISTAKE
    except ModuleNotFoundError as error:
        if debug or (error.name or "dtbh").partition(".")[0] == "dtbh":
            raise
        progress.complain(f"dtbh: this needs {error.name}, which is not installed (dtbh doctor says more)")
        return MISTAKE


def _line(error: BaseException) -> str:
    if isinstance(error, OSError) and error.filename is not None:
        return f"{error.filename}: {error.strerror}"
    return str(error) or type(error).__name__


def make_parser(words: Sequence[str] | None = None) -> argparse.ArgumentParser:
    """The parser of all commands.

    Args:
        words: The line that is read: only the commands in it get their options, and those of other packages' engines
            only where it may have one, as these are not known in an instant. All do without.
    """
    parser = Parser("dtbh", description="Cross-modal image-sound hashing for aerial archives.")
    parser.add_argument("--version", action="version", version=f"dtbh {__version__}")
    for family in FAMILIES:
        import_module(f"dtbh.cli.{family}")
    load_modules("dtbh.cli")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    for one in COMMANDS.values():
        sub = commands.add_parser(
            one.name, help=str(one.run.__doc__), description=one.run.__doc__, parents=[common_options()]
        )
        if words is None or one.name in words:
            sub.words = words
            one.options(sub)
    return parser
