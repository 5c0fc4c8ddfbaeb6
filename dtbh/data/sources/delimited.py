"""Tables as spreadsheets write them: which encoding, which separator, which column is meant."""

from __future__ import annotations

import codecs
import csv
import io
import re
from collections.abc import Collection, Iterator
from dataclasses import dataclass

SEPARATORS = {",": "comma", ";": "semicolon", "\t": "tab", "|": "bar"}
OTHERS = {
    b"PK\x03\x04": "an Excel workbook, or another zip: save its sheet as CSV, or unpack it",
    b"\xd0\xcf\x11\xe0": "an old Excel workbook: save its sheet as CSV",
    b"\x1f\x8b": "compressed with gzip: unpack it",
    b"SQLite": "a database: write its table as CSV",
}
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
        ValueError: It is no text; says what it is.
    """
    if other := next((name for mark, name in OTHERS.items() if data.startswith(mark)), None):
        raise ValueError(f"it is {other}")
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
    if told := re.match(r"sep=([,;\t|])\r?\n", text, re.IGNORECASE):  # Excel's own line
        return Written(text[told.end() - 1 :], encoding, told[1])
    head = next((line for line in text.splitlines() if line.strip()), "")

    def known(separator: str) -> tuple[int, int]:
        names = [column_name(name, columns) for name in head.split(separator)]
        return sum(name in columns for name in names), len(names)

    return Written(text, encoding, max(SEPARATORS, key=known))


def column_name(name: str, columns: Collection[str]) -> str:
    """A column's name without blanks, marks and quotes; in lower case where that is one of ``columns``."""
    plain = name.strip(" \t\r\n\xa0\ufeff").strip('"').strip()
    return plain.lower() if plain.lower() in columns else plain


def delimited_rows(table: Written, columns: Collection[str]) -> Iterator[tuple[int, dict[str, str]]]:
    """The number of each line and its fields by column; what stands beyond the columns goes by the name ``""``.

    Raises:
        csv.Error: It is no table, or has a column twice.
    """
    reader = csv.reader(
        io.StringIO(table.text, newline=""), delimiter=table.separator, skipinitialspace=True, strict=True
    )
    names: list[str] | None = None
    for fields in reader:
        if not any(map(str.strip, fields)):
            continue
        if names is None:
            names = [column_name(name, columns) for name in fields]
            if twice := [name for name in names if name and names.count(name) > 1]:
                raise csv.Error(f"column {twice[0]!r} stands twice")
            continue
        beyond = "".join(fields[len(names) :])
        named = [(name, value) for name, value in zip(names, fields, strict=False) if name]
        unnamed = [value for name, value in zip(names, fields, strict=False) if not name]
        yield reader.line_num, {**dict(named), "": "".join([*unnamed, beyond]).strip()}
