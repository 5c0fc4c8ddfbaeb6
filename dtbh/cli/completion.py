"""The command that makes a shell complete commands, options, presets and archives."""

from __future__ import annotations

import argparse

from dtbh.cli.commands import Arguments, command, show

FOLDERS = {"archive", "data", "folder", "out", "part", "parts", "run", "run_folder", "runs", "source", "model"}
PRESETS = {"config"}


def _add_completion(parser: argparse.ArgumentParser) -> None:
    """What ``dtbh completion`` takes."""
    parser.add_argument("shell", choices=("bash", "zsh", "fish", "powershell"))


@command(_add_completion)
def completion(args: Arguments) -> int:
    """Print what completes dtbh in a shell, for instance for eval "$(dtbh completion bash)" in ~/.bashrc."""
    from argcomplete.shell_integration import shellcode

    code = shellcode(["dtbh"], shell=args.shell)
    show(args, code, {"shell": args.shell, "code": code})
    return 0


def complete(parser: argparse.ArgumentParser) -> None:
    """Answer a shell that asks how a line goes on, and exit; `main` calls it where one asks."""
    import argcomplete
    from argcomplete.completers import DirectoriesCompleter, FilesCompleter

    _give(parser, {**dict.fromkeys(FOLDERS, DirectoriesCompleter()), **dict.fromkeys(PRESETS, FilesCompleter("yaml"))})
    argcomplete.autocomplete(parser)


def _give(parser: argparse.ArgumentParser, completers: dict[str, object]) -> None:
    """Give each argument the completer of its name, in the parsers below too."""
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for below in action.choices.values():
                _give(below, completers)
        elif action.dest in completers:
            action.completer = completers[action.dest]  # type: ignore[attr-defined]
