"""Reading an archive: one committed state of it, which stays as it is whatever is written meanwhile.

Rows, segments and removals only ever grow within a generation, so a reader that knows how many there were sees what it
opened; a new generation has files of its own.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dtbh.codes import HashCodes, whole_numbers, word_count
from dtbh.data.manifest import Item
from dtbh.errors import CodesError, DataError
from dtbh.index.archive.database import Database
from dtbh.index.archive.layout import (
    AGAIN,
    META,
    READS,
    VERSION,
    Chunk,
    Segment,
    codes_file,
    digest_of_codes,
    digest_of_items,
    digest_of_meta,
    digest_of_vectors,
    items_file,
    vectors_file,
)
from dtbh.index.archive.postings import COLUMNS, POSTED, SEGMENT, Row, postings, unpacked
from dtbh.index.exact import Footprint, Rows, View
from dtbh.index.hamming.rows import read_ahead, read_scattered
from dtbh.utils.files import read_meta
from dtbh.utils.progress import track

SEEN = "first IN (SELECT first FROM segments WHERE first < ?)"


def open_snapshot(path: Path) -> Snapshot:
    """The state that is committed now.

    Raises:
        CodesError: No archive, a file missing, too short or of a newer version; each is named.
    """
    while True:
        meta = read_settings(path)
        try:
            return Snapshot(path, meta)
        except CodesError:
            if read_settings(path) == meta:
                raise  # else it was compacted meanwhile, and the files of the old generation are gone


class Snapshot(View):
    """One committed state of an archive. It can be read from several threads.

    Attributes:
        path: The folder.
        meta: What ``archive.json`` says.
        generation: Which of the files are meant.
        model: The run that holds the encoder, or None where that was not said.
        segments: What was committed, in order.
        state: Tells this state from any other.
    """

    def __init__(self, path: Path, meta: dict[str, Any]) -> None:
        super().__init__()
        self.path, self.meta, self.name = path, meta, str(path)
        self.version, self.generation = int(meta["version"]), int(meta.get("generation", 0))
        self.bits, self.encoder = int(meta["bits"]), str(meta["encoder"])
        self._root = str(path.resolve())
        self.model = None if meta["model"] is None else Path(os.path.normpath(path.resolve() / meta["model"]))
        self._file = items_file(path, self.generation)
        self._database = Database(self._file)
        self.segments, removals = self._committed()
        self.count = sum(segment.size for segment in self.segments)
        self.removed = _unpacked(removals, self._file)
        self.words = _map(codes_file(path, self.generation), "<u8", self.count, word_count(self.bits))
        if (dim := self.meta.get("vectors")) is not None:
            self.vectors = _map(vectors_file(path, self.generation), "i1", self.count, int(dim))
            read_scattered(self.vectors)
        self.state = (meta, self.segments, tuple(sha256 for _, _, sha256 in removals))

    def check_whole(self) -> None:
        """Raise `CodesError` where a file was cut that lies in memory: reading beyond its end would end the process."""
        for file, array in ((codes_file, self.words), (vectors_file, self.vectors)):
            if array is None or not array.size:
                continue
            mapped: Any = array.base
            if (found := mapped._mmap.size()) < array.nbytes:
                path = file(self.path, self.generation)
                raise CodesError(f"{path}: was cut: {found} bytes, wanted {array.nbytes}; {AGAIN}")

    def names(self) -> tuple[str, ...]:
        """The names in the items' ``fields``."""
        return tuple(sorted({name for segment in self.segments for name in segment.names}))

    def values(self, field: str) -> tuple[str, ...]:
        """The values of a posted field or of one in ``fields``, sorted; some may be of removed items only."""
        if self.version == 1:
            found = self._database.query(
                f"SELECT DISTINCT {field} FROM items WHERE {field} IS NOT NULL AND row < ?", self.count
            )
        else:
            found = self._database.query(
                f"SELECT DISTINCT value FROM postings WHERE {SEEN} AND field = ?", self.count, field
            )
        return tuple(sorted(value for (value,) in found))

    def matching(self, field: str, value: str) -> Rows:
        """The rows with this value, ascending, removed ones too."""
        if field == "path" and os.path.isabs(value):  # noqa: PTH117
            value = Path(os.path.relpath(value, self._root)).as_posix()
        if field in COLUMNS and (self.version == 1 or field not in POSTED):
            found = self._database.query(
                f"SELECT row FROM items WHERE {field} = ? AND row < ? ORDER BY row", value, self.count
            )
            return np.array([row for (row,) in found], np.int64)
        found = self._database.query(
            "SELECT s.first, s.count, p.count, p.rows FROM segments s JOIN postings p ON p.first = s.first "
            "AND p.field = ? AND p.value = ? WHERE s.first < ? ORDER BY s.first", field, value, self.count,
        )  # fmt: skip
        parts = [first + unpacked(blob, count, size) for first, size, count, blob in found]
        return np.concatenate([np.empty(0, np.int64), *parts])

    def footprints(self) -> Iterator[tuple[int, Footprint]]:
        """The rows that have a footprint, ascending, removed ones too."""
        if self.version > 1:
            sql = "SELECT row, footprint FROM items WHERE footprint IS NOT NULL AND row < ? ORDER BY row"
            yield from ((row, json.loads(text)) for row, text in self._database.query(sql, self.count))

    def number(self, field: str, value: str) -> int:
        """How many items have this value."""
        if self.removed.size or self.version == 1:
            return super().number(field, value)
        sql = f"SELECT SUM(count) FROM postings WHERE {SEEN} AND field = ? AND value = ?"
        counts = (self._database.query(sql, self.count, field, stored) for stored in self.spellings(field, value))
        return sum(count or 0 for ((count,),) in counts)

    def row(self, id: str) -> int | None:
        """The row of an item that is not removed."""
        for (row,) in self._database.query("SELECT row FROM items WHERE id = ? AND row < ?", id, self.count):
            place = np.searchsorted(self.removed, row)
            if place == len(self.removed) or self.removed[place] != row:
                return int(row)
        return None

    def stored(self, rows: Sequence[int]) -> tuple[Item, ...]:
        """The items at these rows, in this order, with absolute paths."""
        wanted, found = sorted(set(rows)), dict[int, Item]()
        for start in range(0, len(wanted), 500):
            part = wanted[start : start + 500]
            marks = ", ".join("?" * len(part))
            for row, *values in self._database.query(
                f"SELECT row, {self.columns} FROM items WHERE row IN ({marks})", *part
            ):
                found[row] = self._item(values)
        if len(found) != len(wanted):
            raise CodesError(f"{self._file}: lacks {len(wanted) - len(found)} items; {AGAIN}")
        return tuple(found[row] for row in rows)

    def codes_of(self, chunk: Chunk) -> HashCodes:
        """What a chunk holds as a value, with its items."""
        items = tuple(self._item(row) for row in chunk.rows)
        vectors = None if chunk.vectors is None else whole_numbers(chunk.vectors, np.int16)
        return HashCodes(chunk.words.astype(np.uint64, copy=False), self.bits, self.encoder, items, vectors)

    def item_bytes(self) -> int:
        """Size of the database."""
        ((pages,),), ((size,),) = self._database.query("PRAGMA page_count"), self._database.query("PRAGMA page_size")
        return int(pages * size)

    def chunks(self) -> Iterator[Chunk]:
        """What is not removed, in order, in pieces of one segment at most.

        Raises:
            CodesError: A segment that was altered.
        """
        live = np.ones(self.count, np.bool_)
        live[self.removed] = False
        for segment in self.segments:
            part = slice(segment.first, segment.first + segment.size)
            kept = np.flatnonzero(live[part])
            self._check_codes(segment)
            rows = self._checked(segment)
            for start in range(0, len(kept), SEGMENT):
                some = kept[start : start + SEGMENT]
                vectors = None if self.vectors is None else self.vectors[part][some]
                yield Chunk(self.words[part][some], [rows[offset] for offset in some], vectors)

    def verify(self, *, items: bool = True) -> None:
        """As `Archive.verify`."""
        for segment in track(self.segments, "verifying", total=len(self.segments)):
            self._check_codes(segment)
            if not items:
                continue
            rows = self._checked(segment)
            if self.version > 1:
                self._check_postings(segment, rows)
        ((state,),) = self._database.query("PRAGMA integrity_check(1)") if items else (("ok",),)
        if state != "ok":
            raise CodesError(f"{self._file}: damaged: {' '.join(state.split())}; {AGAIN}")

    @property
    def columns(self) -> str:
        """The columns of an item, as this version has them."""
        return ", ".join(COLUMNS if self.version > 1 else [*COLUMNS[:-3], "NULL", "NULL", "NULL"])

    def _committed(self) -> tuple[tuple[Segment, ...], list[tuple[int, bytes, str]]]:
        """Segments, which must join, and removals; by one statement, so that they are of one moment."""
        vectors = "vectors_sha256" if self.version > VERSION else "NULL"
        segments = f"SELECT 0 AS kind, first AS place, count, sha256, items_sha256, names, {vectors} FROM segments"
        removed = "SELECT 1, number, count, sha256, rows, NULL, NULL FROM removals"
        if self.version == 1:
            sql = "SELECT 0, first, count, sha256, NULL, '[]', NULL FROM segments ORDER BY first"
        else:
            sql = f"{segments} UNION ALL {removed} ORDER BY kind, place"
        total, parts, removals = 0, list[Segment](), list[tuple[int, bytes, str]]()
        try:
            for kind, first, count, sha256, other, names, of_vectors in self._database.query(sql):
                if kind == 1:
                    removals.append((count, other, sha256))
                elif first != total:
                    raise CodesError(f"{self._file}: no segment starts at code {total}; {AGAIN}")
                else:
                    total += count
                    parts.append(Segment(first, count, sha256, other, tuple(json.loads(names)), of_vectors))
        except (TypeError, ValueError) as error:
            raise CodesError(f"{self._file}: the list of segments was altered ({error}); {AGAIN}") from None
        return tuple(parts), removals

    def _check_codes(self, segment: Segment) -> None:
        """Raise `CodesError` unless the codes of a segment, and its vectors, are what was committed."""
        part = slice(segment.first, segment.first + segment.size)
        compared = [("codes", codes_file, digest_of_codes(self.words[part]), segment.codes)]
        if self.vectors is not None:
            read_ahead(self.vectors, part.start, part.stop)
            compared.append(("vectors", vectors_file, digest_of_vectors(self.vectors[part]), str(segment.vectors)))
        for what, file, found, wanted in compared:
            if found != wanted:
                raise CodesError(
                    f"{file(self.path, self.generation)}: {what} {part.start} to {part.stop - 1} were altered: SHA-256 "
                    f"{found[:16]}, wanted {wanted[:16]}; {AGAIN}"
                )

    def _checked(self, segment: Segment) -> list[Row]:
        """The stored rows of a segment, if they are what was committed."""
        last = segment.first + segment.size - 1
        sql = f"SELECT {self.columns} FROM items WHERE row BETWEEN ? AND ? ORDER BY row"
        rows: list[Row] = list(self._database.query(sql, segment.first, last))
        if len(rows) != segment.size:
            raise CodesError(f"{self._file}: damaged: {len(rows)} of {segment.size} items; {AGAIN}")
        if segment.items is not None and (found := digest_of_items(rows)) != segment.items:
            raise CodesError(
                f"{self._file}: items {segment.first} to {last} were altered: SHA-256 {found[:16]}, wanted "
                f"{segment.items[:16]}; {AGAIN}"
            )
        return rows

    def _check_postings(self, segment: Segment, rows: list[Row]) -> None:
        sql = "SELECT field, value, count, rows FROM postings WHERE first = ?"
        if set(self._database.query(sql, segment.first)) != set(postings(rows)):
            last = segment.first + segment.size - 1
            raise CodesError(f"{self._file}: the filters of items {segment.first} to {last} were altered; {AGAIN}")

    def _item(self, values: Iterable[Any]) -> Item:
        known = {name: value for name, value in zip(COLUMNS, values, strict=True) if value is not None}
        if "path" in known:
            known["path"] = os.path.normpath(os.path.join(self._root, known["path"]))  # noqa: PTH118
        try:
            known |= {name: json.loads(known[name]) for name in COLUMNS[-3:] if name in known}
            return Item(**known)
        except (DataError, TypeError, ValueError) as error:
            raise CodesError(f"{self._file}: {error}; {AGAIN}") from None


def read_settings(path: Path) -> dict[str, Any]:
    """What ``archive.json`` says, if there is one and it is whole."""
    if not (path / META).is_file():
        raise CodesError(f"{path}: no archive here, {META} is missing; make one: dtbh index RUN ITEMS --out {path}")
    meta = read_meta(path / META, READS, ("bits", "encoder", "model"), AGAIN)
    if meta["version"] > 1 and (found := digest_of_meta(meta)) != (wanted := str(meta.get("sha256"))):
        raise CodesError(f"{path / META}: was altered: SHA-256 {found[:16]}, wanted {wanted[:16]}; {AGAIN}")
    return meta


def _unpacked(removals: Sequence[tuple[int, bytes, str]], path: Path) -> Rows:
    """The rows that were removed, ascending."""
    for count, blob, wanted in removals:
        if not isinstance(blob, bytes) or len(blob) != 8 * count or hashlib.sha256(blob).hexdigest() != wanted:
            raise CodesError(f"{path}: the list of removed items was altered; {AGAIN}")
    return np.sort(np.frombuffer(b"".join(blob for _, blob, _ in removals), "<i8").astype(np.int64))


def _map(path: Path, kind: str, count: int, width: int) -> NDArray[Any]:
    """The committed codes, or vectors, memory-mapped."""
    wanted = np.dtype(kind).itemsize * width * count
    try:
        found = path.stat().st_size
        if found < wanted:
            raise CodesError(f"{path}: was cut: {found} bytes, wanted {wanted} for {count} codes; {AGAIN}")
        if not count:
            return np.empty((0, width), kind)
        return np.memmap(path, kind, mode="r", shape=(count, width)).view(np.ndarray)
    except OSError as error:
        raise CodesError(f"{path}: can't be read ({error.strerror}); {AGAIN}") from None
