"""Tables as spreadsheets write them: which encoding, which separator, which column is meant."""

from __future__ import annotations

import codecs
import csv
import io
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path, PureWindowsPath

from dtbh.errors import DataError

SEPARATORS = {",": "comma", ";": "semicolon", "\t": "tab", "|": "bar"}
MARKS = {codecs.BOM_UTF8: "utf-8-sig", codecs.BOM_UTF16_LE: "utf-16", codecs.BOM_UTF16_BE: "utf-16"}


@dataclass(frozen=True)
class Written:
    """A table's text, and how it was written.

    Attributes:
        text: All of it.
        encoding: By its name in Python.
        separator: Between the fields of a line.
    """

    text: str
    encoding: str
    separator: str

    def describe(self) -> str:
        """How it was read, for messages."""
        return f"read as {self.encoding}, separator {SEPARATORS[self.separator]}"


def decoded(data: bytes) -> tuple[str, str]:
    """The text and its encoding: as its mark says, else UTF-8, else what Windows writes in Western Europe.

    Raises:
        ValueError: It is no text.
    """
    encoding = next((name for mark, name in MARKS.items() if data.startswith(mark)), None)
    if encoding is None and b"\0" in data[:4096]:
        encoding = "utf-16-le" if data[1:2] == b"\0" else "utf-16-be" if data[:1] == b"\0" else None
        if encoding is None:
            raise ValueError("it holds zero bytes")
    if encoding is not None:
        return data.decode(encoding), encoding
    try:
        return data.decode("utf-8"), "utf-8"
    except UnicodeDecodeError:
        text = data.decode("cp1252")
        if any(char < " " and char not in "\t\r\n" for char in text):
            raise ValueError("it holds control characters") from None
        return text, "cp1252"


def written(data: bytes, columns: Collection[str]) -> Written:
    """How a table is written; the separator is the one that finds most of ``columns`` in the first line.

    Raises:
        ValueError: It is no text.
    """
    text, encoding = decoded(data)
    head = next((line for line in text.splitlines() if line.strip()), "")

    def known(separator: str) -> tuple[int, int]:
        names = [column_name(name, columns) for name in head.split(separator)]
        return sum(name in columns for name in names), len(names)

    return Written(text, encoding, max(SEPARATORS, key=known))


def column_name(name: str, columns: Collection[str]) -> str:
    """A column's name without blanks and quotes; in lower case where that is one of ``columns``."""
    plain = name.strip().strip('"').strip()
    return plain.lower() if plain.lower() in columns else plain


def delimited_rows(table: Written, columns: Collection[str]) -> Iterator[tuple[int, dict[str, str]]]:
    """The number of each line and its fields by column; what stands beyond the columns goes by the name ``""``.

    Raises:
        csv.Error: It is no table.
    """
    reader = csv.reader(
        io.StringIO(table.text, newline=""), delimiter=table.separator, skipinitialspace=True, strict=True
    )
    names: list[str] | None = None
    for fields in reader:
        if not any(fields):
            continue
        if names is None:
            names = [column_name(name, columns) for name in fields]
            continue
        beyond = "".join(fields[len(names) :])
        named = [(name, value) for name, value in zip(names, fields, strict=False) if name]
        unnamed = [value for name, value in zip(names, fields, strict=False) if not name]
        yield reader.line_num, {**dict(named), "": "".join([*unnamed, beyond])}


def local_path(folder: Path, text: str) -> str:
    """The path that a field names, as it is written here: backslashes are taken as Windows means them.

    Args:
        folder: The table's.
        text: The field.

    Raises:
        DataError: An address, or a path of another machine.
    """
    if "://" in text:
        raise DataError(f"{text} is an address; download it, and name the file")
    if "\\" not in text or _stands(folder / text):
        return text
    other = PureWindowsPath(text)
    if other.drive:
        raise DataError(f"{text} is a path of a Windows machine; name it relative to the table")
    return other.as_posix()


def _stands(path: Path) -> bool:
    """Whether there is such a file; none has a name that no file can have."""
    try:
        return path.exists()
    except OSError:
        return False
