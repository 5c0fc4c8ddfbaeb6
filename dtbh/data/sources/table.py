"""Tables of one's own: CSV or JSON Lines, one image, sound or caption a line."""

from __future__ import annotations

import csv
import difflib
from collections import Counter
from collections.abc import Collection, Iterator
from dataclasses import replace
from pathlib import Path
from typing import cast

from dtbh.data.manifest import Item, Modality, Split
from dtbh.data.sources.base import source
from dtbh.data.sources.delimited import Written, decoded, delimited_rows, local_path, written
from dtbh.data.sources.readers import items_or_problems
from dtbh.errors import DataError
from dtbh.utils.files import parse_json

COLUMNS = ("image", "sound", "label", "transcript", "speaker", "split")


ALMOST = 0.75  # a column this like one of them is taken for a slip


@source("table")
def table(path: Path) -> list[Item]:
    """A CSV or JSON Lines table: ``image``, ``sound``, ``label``, ``transcript``, ``speaker``, ``split``.

    Paths are relative to the table. A row may lack the sound or the image. An image on several rows is one
    item with several sounds. A row with a transcript and no sound is a caption still to be spoken. Further
    columns are fields of the row's items, as far as the rows of an image agree on them.

    Args:
        path: ``.jsonl``, ``.ndjson`` or ``.json`` is read as JSON Lines, anything else as CSV with a header, whose
            separator may be a comma, semicolon, tab or bar. Text is UTF-8, UTF-16 or what Windows writes.

    Returns:
        Images, then sounds; ids are the paths as written; a pair is named by its image.

    Raises:
        DataError: Columns that are nearly one of these, rows that contradict each other, all at once.
    """
    problems: list[str] = []
    images: dict[Path, Item] = {}
    sounds: dict[Path, Item] = {}
    spoken: Counter[str] = Counter()
    further: dict[str, dict[str, set[str]]] = {}
    empty = True
    for number, row in _table_rows(path, problems):
        empty = False
        where = f"{path}: line {number}"
        if not ("sound" in row or "image" in row):
            problems.append(f"{where} has neither image nor sound")
            continue
        try:
            row |= {name: local_path(path.parent, row[name]) for name in ("image", "sound") if name in row}
            image = _row_image(path, row, where, images, problems)
            pair = image.id if image else None
            spoken[pair or ""] += 1
            for name, value in _further(row).items():
                further.setdefault(pair or "", {}).setdefault(name, set()).add(value)
            if "sound" in row:
                _row_sound(path, row, where, pair, sounds, problems)
            elif "transcript" in row and pair:
                key = Path(f"{pair}S{spoken[pair]}")
                sounds[key] = _row_item(key.as_posix(), "sound", None, row, pair)
        except (DataError, ValueError) as error:  # of a path with zero bytes, too
            problems.append(f"{where}: {error}")
    if empty and not problems:
        problems.append(f"{path}: no rows; wanted a first line with columns and a line for each pair")
    for file in images.keys() & sounds.keys():
        problems.append(f"{path}: {file} stands both as an image and as a sound")
    agreed = {
        id_: {name: min(said) for name, said in fields.items() if len(said) == 1} for id_, fields in further.items()
    }
    described = [replace(image, fields=agreed.get(image.id, {})) for image in images.values()]
    return items_or_problems("table", _joined(described, sounds.values()), problems)


def _table_rows(path: Path, problems: list[str]) -> Iterator[tuple[int, dict[str, str]]]:
    """Line number and what is filled in of each row of a CSV, or JSON Lines (.jsonl, .ndjson, .json), table."""
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
    seen: set[str] = set()
    for number, row in rows:
        for name in row.keys() - set(COLUMNS) - seen:
            columns = ", ".join(COLUMNS)
            if nearest := _nearest(name):
                problems.append(
                    f"{path}: unknown column {name!r}, the nearest is {nearest[0]!r}; columns are {columns}"
                )
            elif not _free(name):
                problems.append(f"{path}: column {name!r} can't be a field of one's own; give it another name")
        seen |= row.keys()
        yield number, {name: value.strip() for name, value in row.items() if value and value.strip()}


def _nearest(name: str) -> list[str]:
    """The column that an unknown name is a slip of, if it is."""
    return difflib.get_close_matches(name.lower(), COLUMNS, 1, ALMOST)


def _csv_rows(path: Path, table: Written, problems: list[str]) -> Iterator[tuple[int, dict[str, str]]]:
    number = 1
    try:
        for number, row in delimited_rows(table, COLUMNS):
            if row.pop(""):
                problems.append(f"{path}: line {number} has more fields than the first line has columns")
            if not {"image", "sound"} & {*row} and not any(_nearest(name) for name in row):
                found = ", ".join(row) or "none"
                problems.append(f"{path}: no column image or sound; found {found} ({table.describe()})")
                return
            yield number, row
    except csv.Error as error:
        problems.append(f"{path}: no CSV after line {number} ({error})")


def _json_rows(path: Path, text: str, problems: list[str]) -> Iterator[tuple[int, dict[str, str]]]:
    for number, line in enumerate(text.split("\n"), start=1):
        if not line.strip():
            continue
        try:
            row = parse_json(line)
        except ValueError as error:
            problems.append(f"{path}: line {number} is no JSON ({error}); wanted one object a line")
            continue
        if not isinstance(row, dict) or not all(value is None or isinstance(value, str) for value in row.values()):
            problems.append(f"{path}: line {number}: wanted an object whose values are strings or null")
            continue
        yield number, row


def _row_item(id_: str, modality: Modality, path: Path | None, row: dict[str, str], pair: str | None) -> Item:
    sound = modality == "sound"
    return Item(
        id_,
        modality,
        str(path) if path else None,
        row.get("label"),
        pair,
        cast("Split", row.get("split")),
        speaker=row.get("speaker") if sound else None,
        transcript=row.get("transcript") if sound else None,
        fields=_further(row) if sound else {},
    )


def _further(row: dict[str, str]) -> dict[str, str]:
    """What a row says in columns of its own."""
    return {name: value for name, value in row.items() if name not in COLUMNS and _free(name)}


def _free(name: str) -> bool:
    """Whether an item may have a field of this name."""
    return name not in Item.__slots__ and "=" not in name


def _row_image(
    table: Path, row: dict[str, str], where: str, images: dict[Path, Item], problems: list[str]
) -> Item | None:
    """The image of a row, new or known; where several rows name it, they must agree."""
    if "image" not in row:
        return None
    file = (table.parent / row["image"]).resolve()
    new = _row_item(Path(row["image"]).as_posix(), "image", file, row, None)
    old = images.setdefault(file, new)
    for name in ("label", "split"):
        if getattr(old, name) and getattr(new, name) and getattr(old, name) != getattr(new, name):
            problems.append(
                f"{where}: {name} {getattr(new, name)!r} of {old.id}, which an earlier line calls "
                f"{getattr(old, name)!r}"
            )
    images[file] = replace(old, label=old.label or new.label, split=old.split or new.split)
    return images[file]


def _row_sound(
    table: Path,
    row: dict[str, str],
    where: str,
    pair: str | None,
    sounds: dict[Path, Item],
    problems: list[str],
) -> None:
    file = (table.parent / row["sound"]).resolve()
    if file in sounds:
        problems.append(f"{where}: sound {row['sound']} stands on an earlier line; a sound has one line")
    sounds[file] = _row_item(Path(row["sound"]).as_posix(), "sound", file, row, pair)


def _joined(images: Collection[Item], sounds: Collection[Item]) -> list[Item]:
    """Images named as pairs where they have sounds, and sounds that inherit what their rows leave out."""
    by_id = {image.id: image for image in images}
    paired = {sound.pair for sound in sounds}
    items = [replace(image, pair=image.id if image.id in paired else None) for image in by_id.values()]
    for sound in sounds:
        image = by_id.get(sound.pair) if sound.pair else None
        if image:
            sound = replace(sound, label=sound.label or image.label, split=sound.split or image.split)
        items.append(sound)
    return items
