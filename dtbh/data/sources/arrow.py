"""Parquet and Arrow files through pyarrow, and their rows as those of a table.

What they hold is not trusted: batches are validated before they are looked at, few rows are held at a time, and a file
that unpacks to many times its size is refused.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from importlib import import_module
from pathlib import Path
from typing import Any

from dtbh.data.manifest import BETWEEN, Modality
from dtbh.data.sources.extracted import Extracted
from dtbh.data.sources.rows import COLUMNS, OWN, Row, rows_of
from dtbh.errors import DataError, MissingExtraError
from dtbh.media.files import SOUND_TYPES, image_types
from dtbh.utils.files import check_regular

PARQUET, ARROW = b"PAR1", b"ARROW1"
LONGEST_PATH = 4096  # bytes of a column for media that may be a path
ROWS = 16  # held at a time, of columns with media
EXPANDED, FLOOR = 200, 1 << 30  # times a file's size that it may unpack to, and bytes that it may in any case


@dataclass(frozen=True)
class ArrowFile:
    """A file that was opened.

    Attributes:
        path: Where it lies.
        types: Its columns, and of what type each is.
        nested: Those that are more than texts, numbers or media, or lists of them, and are not read.
        features: What Hugging Face `datasets` noted of its columns.
        batches: Its rows, some at a time, as values by column.
    """

    path: Path
    types: Mapping[str, str]
    nested: frozenset[str]
    features: Mapping[str, Any]
    batches: Iterator[Sequence[Mapping[str, Any]]]


def is_arrow(path: Path) -> bool:
    """Whether it is a Parquet or Arrow file, by its first bytes or its name."""
    try:
        with path.open("rb") as file:
            head = file.read(6)
    except OSError:
        return False
    return head.startswith((PARQUET, ARROW)) or path.suffix.lower() in {".parquet", ".arrow", ".feather"}


def open_arrow(path: Path) -> ArrowFile:
    """Open a Parquet file, or an Arrow file of either form.

    Raises:
        DataError: It is none, or damaged; also while its batches are read.
        MissingExtraError: pyarrow is not installed.
    """
    with _explained(path) as pa:
        check_regular(path, "a table")
        size = path.stat().st_size
        with path.open("rb") as file:
            head = file.read(6)
        if head.startswith(PARQUET):
            parquet = import_module("pyarrow.parquet").ParquetFile(path)
            groups = (parquet.metadata.row_group(number) for number in range(parquet.metadata.num_row_groups))
            _bounded(path, sum(group.total_byte_size for group in groups), size)
            schema = parquet.schema_arrow
            batches: Callable[[list[str]], Iterator[Any]] = lambda names: parquet.iter_batches(  # noqa: E731
                ROWS, columns=names, use_threads=False
            )
        else:
            mapped = pa.memory_map(str(path))
            ipc = import_module("pyarrow.ipc")
            reader = ipc.open_file(mapped) if head == ARROW else ipc.open_stream(mapped)
            schema = reader.schema
            batches = lambda names: _ipc_batches(reader, names)  # noqa: E731
        if twice := next((name for name in schema.names if name and schema.names.count(name) > 1), None):
            raise DataError(f"{path}: column {twice!r} stands twice; keep one, or give it another name")
        types = {str(name): str(kind) for name, kind in zip(schema.names, schema.types, strict=True)}
        read = [name for name, kind in zip(schema.names, schema.types, strict=True) if _readable(pa, kind)]
        noted = json.loads((schema.metadata or {}).get(b"huggingface", b"{}"))
        features = noted.get("info", {}).get("features", {}) if isinstance(noted, dict) else {}
        nested = {name for name, kind in types.items() if name not in read and kind != "null"}
    return ArrowFile(path, types, frozenset(nested), features, _batches(path, size, lambda: batches(read)))


def _ipc_batches(reader: Any, names: list[str]) -> Iterator[Any]:
    """The batches of an Arrow file or stream."""
    number = getattr(reader, "num_record_batches", None)  # a stream does not say
    for batch in reader if number is None else map(reader.get_batch, range(number)):
        batch.validate(full=True)
        yield batch.select(names)


def _batches(path: Path, size: int, batches: Callable[[], Iterator[Any]]) -> Iterator[Sequence[Mapping[str, Any]]]:
    unpacked, reading = 0, None
    while True:
        with _explained(path):
            reading = batches() if reading is None else reading
            batch = next(reading, None)
            if batch is None:
                return
            unpacked += batch.nbytes
            _bounded(path, unpacked, size)
        for start in range(0, batch.num_rows, ROWS):
            with _explained(path):
                rows = batch.slice(start, ROWS).to_pylist()
            yield rows


def _bounded(path: Path, unpacked: int, size: int) -> None:
    if unpacked > max(EXPANDED * size, FLOOR):
        raise DataError(f"{path}: unpacks to {unpacked} bytes, {unpacked // size} times its size; refused as a bomb")


def _readable(pa: Any, kind: Any) -> bool:
    """Whether values of this type may be media, texts or numbers, or lists of them."""
    types = pa.types
    if types.is_dictionary(kind):
        return _readable(pa, kind.value_type)
    if types.is_struct(kind):
        return {"bytes", "path"} <= {kind.field(number).name for number in range(kind.num_fields)}
    if types.is_list(kind) or types.is_large_list(kind):
        return not types.is_nested(kind.value_type) and _readable(pa, kind.value_type)
    tests = ("string", "large_string", "binary", "large_binary", "boolean", "integer", "floating", "decimal", "date",
             "timestamp")  # fmt: skip
    return any(getattr(types, f"is_{name}")(kind) for name in tests)


@contextmanager
def _explained(path: Path) -> Iterator[Any]:
    """pyarrow, whose errors come out as one line that names the path."""
    try:
        pa = import_module("pyarrow")
    except ImportError:
        raise MissingExtraError("pyarrow", "tables", "reading Parquet and Arrow files") from None
    try:
        yield pa
    except FileNotFoundError:
        raise DataError(f"{path}: no such table") from None
    except (pa.ArrowException, OSError, ValueError, TypeError, KeyError, IndexError, OverflowError, MemoryError,
            AttributeError) as error:  # fmt: skip
        said = " ".join(str(error).split())[:200] or type(error).__name__
        raise DataError(f"{path}: damaged, or no Parquet or Arrow file ({said}); copy or write it again") from None


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
