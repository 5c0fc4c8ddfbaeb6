"""Parquet and Arrow files through pyarrow.

What they hold is not trusted: batches are validated before they are looked at, few rows are held at a time, and a file
that unpacks to many times its size is refused.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

from dtbh.errors import DataError, MissingExtraError
from dtbh.utils.files import check_regular

PARQUET, ARROW = b"PAR1", b"ARROW1"
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
