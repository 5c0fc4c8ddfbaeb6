"""What a field of a table means as a file of this machine."""

from __future__ import annotations

import re
from pathlib import Path, PureWindowsPath

from dtbh.errors import DataError


def local_path(folder: Path, text: str) -> tuple[str, Path]:
    """The path that a field names, as it is written here, and the file, with links followed.

    Backslashes and drives are taken as Windows means them, unless there is a file with just this name.

    Args:
        folder: The table's; relative paths start there.
        text: The field.

    Raises:
        DataError: An address, a path of another machine, or a link to nothing.
    """
    if re.match(r"[A-Za-z][A-Za-z0-9+.-]+:/", text):
        raise DataError(f"{text} is an address; download it (nothing is fetched here), and name the file")
    if "\0" in text:
        raise DataError(f"{text!r} holds a zero byte, which no path has")
    try:
        if ("\\" in text or re.match("[A-Za-z]:", text)) and not (folder / text).exists():
            text = _from_windows(text)
        path = folder / text
        file = path.resolve()
        if path.is_symlink() and not file.exists():
            raise DataError(f"{text} is a link to {path.readlink()}, where nothing is; mend the link")
    except (OSError, RuntimeError) as error:  # a circle of links is a RuntimeError up to Python 3.12
        said = error.strerror if isinstance(error, OSError) else "a link that leads to itself"
        raise DataError(f"{text} can't be looked at ({said}); mend it, or connect its drive") from None
    return text, file


def _from_windows(text: str) -> str:
    """A relative path of Windows as it is written here."""
    other = PureWindowsPath(text)
    if other.drive.startswith("\\\\"):
        raise DataError(f"{text} is on a share of another machine; mount it, and name the file by its path here")
    if other.anchor:
        raise DataError(f"{text} is a path of a Windows machine; name it relative to the table")
    return other.as_posix()
