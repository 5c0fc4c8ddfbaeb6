"""The rows of Parquet and Arrow files as those of a table."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

from dtbh.data.manifest import BETWEEN, Modality
from dtbh.data.sources.arrow import ArrowFile, open_arrow
from dtbh.data.sources.extracted import Extracted
from dtbh.data.sources.rows import COLUMNS, OWN, Row, rows_of
from dtbh.errors import DataError
from dtbh.media.files import SOUND_TYPES, image_types

LONGEST_PATH = 4096  # bytes of a column for media that may be a path


def arrow_rows(path: Path, media: Extracted | None) -> Iterator[Row]:
    """The rows of a Parquet or Arrow file whose columns are called as those of a table.

    Raises:
        DataError: As `open_arrow`; no column for images or sounds.
    """
    file = open_arrow(path)
    if not {"image", "sound"} & file.types.keys():
        found = ", ".join(f"{name} ({kind})" for name, kind in file.types.items()) or "none"
        raise DataError(f"{path}: no column image or sound; found {found}; dtbh prepare hf knows other names, too")
    yield from file_rows(file, media)


def file_rows(
    file: ArrowFile, media: Extracted | None, value: Callable[[str, Any], Any] = lambda _, value: value,
    names: Mapping[str, str] | None = None,
) -> Iterator[Row]:  # fmt: skip
    """The rows of a file that was opened.

    Args:
        file: The file.
        media: Takes what stands in it.
        value: What a column's value means.
        names: What its columns are called in a table; those without a name are left out. None: as they are.

    Raises:
        DataError: As `open_arrow`; media where there is no place for them, or that are none; a column that is known
            and can't be read.
    """
    for name in sorted(file.nested):
        if (name if names is None else names.get(name)) in COLUMNS:
            raise DataError(
                f"{file.path}: column {name!r} is {file.types[name]}, of which it can't be told what is meant; wanted "
                "texts, numbers, or lists of them, or for media a struct of bytes and path: write what is in it as "
                "columns of their own"
            )
    number = 0
    for batch in file.batches:
        for values in batch:
            number += 1
            where = f"{file.path}: row {number}"
            known = {
                column: _decoded(value(name, one), column, where)
                for name, one in values.items()
                if one is not None and (column := name if names is None else names.get(name)) is not None
            }
            yield from _rows(where, known, media)


def _decoded(value: Any, column: str, where: str) -> Any:
    """A value whose bytes are texts that nobody marked as such; those of images and sounds stay, if they are no path.

    Raises:
        DataError: Bytes that are no text in a column of a table; in a further column they are None.
    """
    if isinstance(value, list):
        return [_decoded(one, column, where) for one in value]
    if not isinstance(value, bytes):
        return value
    if column in OWN:
        text = _text_in(value) if len(value) <= LONGEST_PATH else None
        types = image_types() if column == "image" else SOUND_TYPES
        return text if text is not None and Path(text).suffix.lower() in types else value
    text = _text_in(value)
    if text is None and column in COLUMNS:
        raise DataError(f"{where}: {column} begins with {value[:8]!r}, which is no text in UTF-8; write it as a string")
    return text


def _text_in(data: bytes) -> str | None:
    """The text that bytes are in UTF-8; None where they are none, or hold zero bytes, which no text does."""
    try:
        return None if b"\0" in data else data.decode("utf-8")
    except UnicodeDecodeError:
        return None


def _rows(where: str, known: Mapping[str, Any], media: Extracted | None) -> Iterator[Row]:
    """The rows that come of one."""
    texts = {name: text for name, one in known.items() if name not in OWN and (text := _text(one)) is not None}
    captions = known.get("transcript")
    said = [text for one in captions if (text := _text(one))] if isinstance(captions, list) else []
    if isinstance(captions, list):
        texts.pop("transcript", None)
    about = [texts.get(name) for name in ("label", "split", "speaker", "transcript")]
    files: dict[Modality, list[tuple[str, Path | None]]] = {}
    for modality in OWN:
        one = known.get(modality)
        if isinstance(one, dict) and not (one["bytes"] or one["path"]):
            continue
        if one is not None and one != "":
            own = about if modality == "sound" else about[:2]
            files[modality] = [_file(one, modality, where, own, media)]
    yield from rows_of(where, files, said, texts)


def _file(
    value: Any, modality: Modality, where: str, said: Sequence[str | None], media: Extracted | None
) -> tuple[str, Path | None]:
    """The name and the file of what stands in a column for images or sounds; a path stays a name."""
    data, path = (value.get("bytes"), value.get("path")) if isinstance(value, dict) else (value, None)
    if isinstance(data, bytes):
        if media is None:
            raise DataError(f"{where}: the {modality} stands in the table itself; read it with dtbh prepare")
        named = path.replace("\\", "/") if isinstance(path, str) else ""
        return media.put(data, modality, named, said, where=where)
    text = path if isinstance(value, dict) else data
    if not isinstance(text, str) or not text:
        raise DataError(f"{where}: {modality} is {type(value).__name__}; wanted a path, or the bytes of a file")
    return text, None


def _text(value: Any) -> str | None:
    """A value as a table has it; labels in a list stand between semicolons."""
    if isinstance(value, list):
        parts = [_text(one) for one in value]
        return BETWEEN.join(part for part in parts if part) or None
    if isinstance(value, (str, int, float, date, Decimal)) and value == value:
        return str(value)
    return None
