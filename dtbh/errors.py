"""The exceptions of dtbh. Each message names the path, what was found, what was wanted and what to do.

A user's mistake raises one of these; ``assert`` is for our own.
"""

from __future__ import annotations

from collections.abc import Sequence


class DtbhError(Exception):
    """Any mistake a user can mend. The command line prints it in one line and exits with 2."""


class ConfigError(DtbhError):
    """A setting that is unknown, of the wrong type or out of range."""


class DataError(DtbhError):
    """Files, manifests or labels that can't be used as they are.

    Args:
        message: One line.
        problems: Where many things are wrong at once, all of them, one line each.
    """

    def __init__(self, message: str, problems: Sequence[str] = ()) -> None:
        self.problems = tuple(problems)
        super().__init__("\n".join([message, *(f"  - {problem}" for problem in self.problems)]))


class MediaError(DataError):
    """One image or sound file that can't be read, or holds nothing to learn from."""


class WordlessError(MediaError):
    """A sound in which nobody says a word, for a model that knows sounds by their words alone."""


class RunError(DtbhError):
    """A run folder or checkpoint that is missing, incomplete or of another configuration."""


class CodesError(DtbhError):
    """Codes of another length, another encoder or a damaged file."""


class MissingExtraError(DtbhError):
    """A package that is not installed, most often one that an extra of dtbh brings.

    Args:
        package: What could not be imported.
        extra: The extra of dtbh that brings it; None where dtbh itself asks for it.
        purpose: What it is wanted for.
        command: What installs it, where the extra does not.
    """

    def __init__(self, package: str, extra: str | None, purpose: str, *, command: str | None = None) -> None:
        how = command or ("pip install dtbh" if extra is None else f"pip install 'dtbh[{extra}]'")
        super().__init__(f"{purpose} needs {package}, which is not installed: {how}")
