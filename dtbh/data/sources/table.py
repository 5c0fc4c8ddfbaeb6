"""Tables of one's own: CSV, JSON Lines, Parquet or Arrow, a pair of an image and a sound or caption a line."""

from __future__ import annotations

import csv
import difflib
import json
from collections.abc import Iterable, Iterator
from pathlib import Path

from dtbh.data.manifest import Item
from dtbh.data.sources.arrow import is_arrow
from dtbh.data.sources.arrow_rows import arrow_rows
from dtbh.data.sources.base import source
from dtbh.data.sources.delimited import Written, column_name, decoded, delimited_rows, written
from dtbh.data.sources.extracted import Extracted
from dtbh.data.sources.readers import items_or_problems
from dtbh.data.sources.rows import COLUMNS, Row, is_free, items_of
from dtbh.utils.files import check_regular, parse_json

ALMOST = 0.75  # a column this like one of them is taken for a slip
WANTED = "wanted a first line with columns and a line for each pair"


@source("table")
def table(path: Path, media: Extracted | None = None) -> list[Item]:
    """A CSV, JSON Lines or Parquet table: ``image``, ``sound``, ``label``, ``transcript``, ``speaker``, ``split``.

    Paths are relative to the table. A row is a pair; it may lack the sound or the image. An image on several rows is
    one item with several sounds, a sound on several rows one with several images, and what is so connected is one
    pair. A row with a transcript and no sound is a caption still to be spoken. Further columns are fields of the row's
    items, as far as the rows of an item agree on them.

    Args:
        path: ``.jsonl``, ``.ndjson`` or ``.json`` is read as JSON Lines, Parquet and Arrow files as such, anything
            else as CSV with a header, whose separator may be a comma, semicolon, tab or bar. Text is UTF-8, UTF-16 or
            what Windows writes.
        media: Takes the images and sounds that stand in a Parquet or Arrow table itself.

    Returns:
        Images, then sounds; ids are the paths as written; a pair is named by its first image.

    Raises:
        DataError: Columns that are nearly one of these, rows that contradict each other, all at once.
    """
    problems: list[str] = []
    empty = True

    def rows() -> Iterator[Row]:
        nonlocal empty
        for row in _checked(path, _rows(path, media, problems), problems):
            empty = False
            yield row

    items = items_of(rows(), path.parent, problems)
    if empty and not problems:
        problems.append(f"{path}: no rows; {WANTED}")
    return items_or_problems("table", items, problems)


def _rows(path: Path, media: Extracted | None, problems: list[str]) -> Iterator[Row]:
    """All rows, with their columns as they are called there."""
    try:
        check_regular(path, "a table")
    except OSError as error:
        problems.append(f"{path}: {error}")
        return
    if is_arrow(path):
        yield from arrow_rows(path, media)
        return
    try:
        data = path.read_bytes()
        if path.suffix.lower() in {".jsonl", ".ndjson", ".json"}:
            rows = _json_rows(path, decoded(data)[0], problems)
        else:
            rows = _csv_rows(path, written(data, COLUMNS), problems)
    except FileNotFoundError:
        problems.append(f"{path}: no such table")
        return
    except (OSError, ValueError) as error:
        problems.append(f"{path}: can't be read as text ({error})")
        return
    for number, row in rows:
        yield Row(f"{path}: line {number}", row)


def _checked(path: Path, rows: Iterable[Row], problems: list[str]) -> Iterator[Row]:
    """The rows with what is filled in; columns that can't be meant are told once."""
    seen: set[str] = set()
    for row in rows:
        for name in row.values.keys() - set(COLUMNS) - seen:
            if nearest := _nearest(name):
                problems.append(
                    f"{path}: unknown column {name!r}, the nearest is {nearest[0]!r}; columns are {', '.join(COLUMNS)}"
                )
            elif not is_free(name):
                problems.append(f"{path}: column {name!r} can't be a field of one's own; give it another name")
        seen |= row.values.keys()
        filled = {name: value.strip() for name, value in row.values.items() if value and value.strip()}
        yield Row(row.where, filled, row.files)


def _nearest(name: str) -> list[str]:
    """The column that an unknown name is a slip of, if it is."""
    return difflib.get_close_matches(name.lower(), COLUMNS, 1, ALMOST)


def _csv_rows(path: Path, table: Written, problems: list[str]) -> Iterator[tuple[int, dict[str, str]]]:
    number = 1
    try:
        for number, row in delimited_rows(table, COLUMNS):
            if beyond := row.pop(""):
                problems.append(
                    f"{path}: line {number} has more fields than the first line has columns, with {beyond!r} in them "
                    f"({table.describe()}); what holds a separator itself stands between quotes"
                )
            if not {"image", "sound"} & {*row} and not any(_nearest(name) for name in row):
                found = ", ".join(row) or "none"
                problems.append(f"{path}: no column image or sound; found {found} ({table.describe()}); {WANTED}")
                return
            yield number, row
    except csv.Error as error:
        problems.append(f"{path}: no CSV after line {number} ({error}); {table.describe()}")


def _json_rows(path: Path, text: str, problems: list[str]) -> Iterator[tuple[int, dict[str, str]]]:
    for number, line in enumerate(text.split("\n"), start=1):
        if not line.strip():
            continue
        try:
            row = parse_json(line)
            json.dumps(row, ensure_ascii=False).encode()  # half a character can't be written to a manifest
        except ValueError as error:
            problems.append(f"{path}: line {number} is no JSON ({error}); wanted one object a line")
            continue
        if not isinstance(row, dict) or not all(value is None or isinstance(value, str) for value in row.values()):
            problems.append(f"{path}: line {number}: wanted an object whose values are strings or null")
            continue
        yield number, {column_name(name, COLUMNS): value for name, value in row.items()}
