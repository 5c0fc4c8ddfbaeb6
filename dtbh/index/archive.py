"""The archive on disk: codes in a memory-mapped file, items in SQLite.

Comes in: hash codes with their items. An archive is a folder with ``codes.bin`` (raw little-endian uint64
[n, words]), ``items.sqlite`` (the items by row, and the committed segments of ``codes.bin`` with their
checksums) and ``archive.json`` (what never changes: version, bits, encoder, model). SQLite is the commit
point: the codes that count are those of its segments, and bytes beyond them are ignored.
"""

from __future__ import annotations

import difflib
import hashlib
import json
import operator
import os
import sqlite3
import threading
import weakref
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from dtbh.codes import (
    HashCodes,
    absolute_from,
    check_place,
    check_same,
    check_storable,
    read_meta,
    relative_to,
    word_count,
)
from dtbh.data.manifest import MODALITIES, SPLITS, Item
from dtbh.errors import CodesError, ConfigError, DataError
from dtbh.files import fresh_folder
from dtbh.index.hamming import check_k, nearest
from dtbh.index.result import SearchResult
from dtbh.progress import track

VERSION = 1
CODES, ITEMS, META = "codes.bin", "items.sqlite", "archive.json"
FIELDS = ("id", "modality", "path", "label", "pair", "split", "speaker", "transcript")
FILTERS = ("label", "split", "speaker", "pair", "modality")
AGAIN = "make the archive again with dtbh index"
KEPT_FILTERS = 16
SCHEMA = """
CREATE TABLE segments (first INTEGER PRIMARY KEY, count INTEGER NOT NULL, sha256 TEXT NOT NULL);
CREATE TABLE items (row INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, modality TEXT NOT NULL, path TEXT,
                    label TEXT, pair TEXT, split TEXT, speaker TEXT, transcript TEXT);
CREATE INDEX items_modality ON items (modality);
CREATE INDEX items_label ON items (label);
"""

Find = Literal["image", "sound", "any"]


class Archive:
    """An open archive; `open_archive` and `create_archive` make it. It can be read from several threads.

    It shows what was committed when it was opened.

    Attributes:
        path: The folder.
        bits: Length of a code.
        encoder: Fingerprint of the encoder that made the codes.
        model: The run that holds the encoder, or None where that was not said.
        words: uint64 [n, ceil(bits / 64)], memory-mapped and read-only.
    """

    def __init__(self, path: Path) -> None:
        if not (path / META).is_file():
            raise CodesError(f"{path}: no archive here, {META} is missing; make one: dtbh index RUN ITEMS --out {path}")
        meta = read_meta(path / META, VERSION, ("bits", "encoder", "model"), AGAIN)
        self.path = path
        self.bits = int(meta["bits"])
        self.encoder = str(meta["encoder"])
        root = path.resolve()
        self.model = None if meta["model"] is None else Path(os.path.normpath(root / meta["model"]))
        self._absolute = absolute_from(path)
        self._lock = threading.Lock()
        self._filtered: dict[tuple[tuple[str, str], ...], NDArray[np.int64]] = {}
        self._sqlite = _connect(path / ITEMS)
        weakref.finalize(self, self._sqlite.close)
        self._count = self._committed()
        self.words = _map(path / CODES, self._count, word_count(self.bits))

    def __len__(self) -> int:
        return self._count

    def labels(self) -> tuple[str, ...]:
        """The class names that occur, sorted."""
        rows = self._query("SELECT DISTINCT label FROM items WHERE label IS NOT NULL AND row < ?", [len(self)])
        return tuple(sorted(label for (label,) in rows))

    def item(self, id: str) -> Item:
        """The item with this id.

        Raises:
            CodesError: No item has it.
        """
        return self.codes([id]).items[0]

    def codes(self, ids: Sequence[str]) -> HashCodes:
        """The codes of these items, in this order: with them an item is itself a query.

        Raises:
            CodesError: An id that no item has.
        """
        rows, items = [], []
        for id in ids:
            found = self._query(f"SELECT row, {', '.join(FIELDS)} FROM items WHERE id = ? AND row < ?", [id, len(self)])
            if not found:
                raise CodesError(f"{self.path}: no item has the id {id!r}")
            rows.append(found[0][0])
            items.append(self._item(found[0][1:]))
        return HashCodes(self.words[rows], self.bits, self.encoder, tuple(items))

    def counts(self) -> dict[str, int]:
        """How many items there are of each modality that occurs."""
        return dict(self._query("SELECT modality, COUNT(*) FROM items WHERE row < ? GROUP BY 1", [len(self)]))

    def items(self, rows: Iterable[int]) -> tuple[Item, ...]:
        """The items at these rows, in this order, with absolute paths.

        Raises:
            CodesError: A row that the archive does not have.
        """
        rows = [int(row) for row in rows]
        wanted = sorted(set(rows))
        if wanted and not 0 <= wanted[0] <= wanted[-1] < len(self):
            raise CodesError(f"{self.path}: rows go from 0 to {len(self) - 1}, asked for {wanted[0]} to {wanted[-1]}")
        known: dict[int, Item] = {}
        for start in range(0, len(wanted), 500):
            part = wanted[start : start + 500]
            marks = ", ".join("?" * len(part))
            for row, *values in self._query(f"SELECT row, {', '.join(FIELDS)} FROM items WHERE row IN ({marks})", part):
                known[row] = self._item(values)
        if len(known) != len(wanted):
            raise CodesError(f"{self.path / ITEMS}: lacks {len(wanted) - len(known)} items; {AGAIN}")
        return tuple(known[row] for row in rows)

    def search(
        self,
        codes: HashCodes,
        k: int = 10,
        *,
        find: Find | None = None,
        where: Mapping[str, str] | None = None,
    ) -> SearchResult:
        """The k nearest items of each query, exactly, by distance and then by order of insertion.

        Args:
            codes: The queries, of this archive's encoder.
            k: From 1; fewer are given only where fewer pass.
            find: ``"image"``, ``"sound"`` or ``"any"``. Without it a query finds the other modality if the
                archive has it, else whatever the archive has.
            where: Field to value: only items that have exactly these values pass. Fields are label, split,
                speaker, pair and modality; with a modality here and no ``find``, it alone decides.

        Raises:
            CodesError: Codes of another encoder or length.
            ConfigError: k below 1, an unknown field or ``find``, or queries of both modalities without
                ``find``.
        """
        check_k(k)
        check_same(codes, self.bits, self.encoder, of=f"the archive {self.path}")
        rows = self._passing(self._filters(codes, find, dict(where or {})))
        if rows is None:
            distances, found = nearest(codes.words, self.words, k)
        else:
            distances, local = nearest(codes.words, self.words[rows], k)
            found = rows[local]
        items = self.items(found.ravel().tolist())
        width = found.shape[1]
        split = tuple(items[query * width : (query + 1) * width] for query in range(len(codes)))
        return SearchResult(distances, found, split)

    def verify(self) -> None:
        """Read everything and compare it with what was committed.

        Raises:
            CodesError: A part of ``codes.bin`` with another checksum, or damaged or missing items.
        """
        segments = self._query("SELECT first, count, sha256 FROM segments ORDER BY first", [])
        for first, count, wanted in track(segments, "verifying codes", total=len(segments)):
            if (found := _checksum(self.words[first : first + count])) != wanted:
                raise CodesError(
                    f"{self.path / CODES}: codes {first} to {first + count - 1} were altered: SHA-256 "
                    f"{found[:16]}, wanted {wanted[:16]}; {AGAIN}"
                )
        ((state,),) = self._query("PRAGMA integrity_check(1)", [])
        ((count,),) = self._query("SELECT COUNT(*) FROM items WHERE row < ?", [len(self)])
        if state != "ok" or count != len(self):
            raise CodesError(f"{self.path / ITEMS}: damaged: {count} of {len(self)} items, {state}; {AGAIN}")

    def _committed(self) -> int:
        """How many codes are committed, by the segments, which must join."""
        total = 0
        for first, count in self._query("SELECT first, count FROM segments ORDER BY first", []):
            if first != total:
                raise CodesError(f"{self.path / ITEMS}: no segment starts at code {total}; {AGAIN}")
            total += count
        return total

    def _filters(self, codes: HashCodes, find: str | None, where: dict[str, str]) -> list[tuple[str, str]]:
        """The conditions that ``find`` and ``where`` come to."""
        for field, value in where.items():
            _known("filter field", field, FILTERS)
            if field in ("modality", "split"):
                _known(field, value, MODALITIES if field == "modality" else SPLITS)
        if find is not None:
            _known("find", find, (*MODALITIES, "any"))
        elif "modality" in where or not len(codes):
            find = "any"
        elif codes.modality == "mixed":
            raise ConfigError("the queries are images and sounds; say what to find: image, sound or any")
        else:
            find = "sound" if codes.modality == "image" else "image"
            find = find if self._has(find) else "any"
        filters = list(where.items())
        if find != "any" and (not self._has(find) or all(self._has(name) for name in MODALITIES)):
            filters.append(("modality", find))
        return sorted(filters)

    def _has(self, modality: str) -> bool:
        return bool(self._query("SELECT 1 FROM items WHERE modality = ? AND row < ? LIMIT 1", [modality, len(self)]))

    def _passing(self, filters: list[tuple[str, str]]) -> NDArray[np.int64] | None:
        """The rows that pass, ascending; None where all do because there is no filter."""
        if not filters:
            return None
        key = tuple(filters)
        if (known := self._filtered.get(key)) is not None:
            return known
        conditions = " AND ".join(f"{field} = ?" for field, _ in filters)
        values = [value for _, value in filters]
        found = self._query(f"SELECT row FROM items WHERE {conditions} AND row < ? ORDER BY row", [*values, len(self)])
        rows = np.fromiter((row for (row,) in found), np.int64, len(found))
        with self._lock:
            while len(self._filtered) >= KEPT_FILTERS:
                del self._filtered[next(iter(self._filtered))]
            self._filtered[key] = rows
        return rows

    def _query(self, sql: str, values: Iterable[Any]) -> list[tuple[Any, ...]]:
        try:
            with self._lock:
                return self._sqlite.execute(sql, list(values)).fetchall()
        except sqlite3.Error as error:
            raise CodesError(f"{self.path / ITEMS}: can't be read ({error}); {AGAIN}") from None

    def _item(self, values: Iterable[Any]) -> Item:
        try:
            return self._absolute(Item(*values))
        except DataError as error:
            raise CodesError(f"{self.path / ITEMS}: {error}; {AGAIN}") from None


def open_archive(path: str | Path) -> Archive:
    """Open an archive for searching. Nothing is read but its settings; `Archive.verify` reads all.

    Raises:
        CodesError: No archive, a file missing, too short or of a newer version; each is named.
    """
    return Archive(Path(path))


def create_archive(path: str | Path, codes: HashCodes, *, model: str | Path | None = None) -> Archive:
    """Write an archive, beside and renamed, and open it; an older archive there is replaced.

    Paths of items and model are kept relative to the folder, so that it can move together with its media.

    Args:
        path: The archive's folder.
        codes: Codes and items, of one encoder; the ids must be unique.
        model: The run that made the codes.

    Raises:
        CodesError: An id stands twice, text that is not UTF-8, or something else stands in the place.
        DtbhError: The disk is full or the place can't be written.
    """
    path = Path(path)
    check_place(path, META, "archive")
    check_storable(codes)
    root = path.parent.resolve() / path.name
    run = None if model is None else Path(os.path.relpath(Path(model).resolve(), root)).as_posix()
    meta = {"version": VERSION, "bits": codes.bits, "encoder": codes.encoder, "model": run}
    with fresh_folder(path) as new:
        _write_synced(new / CODES, lambda file: file.write(codes.words.astype("<u8", copy=False).tobytes()))
        _write_items(new / ITEMS, codes, relative_to(path))
        _write_synced(new / META, lambda file: file.write((json.dumps(meta, indent=2) + "\n").encode()))
    return Archive(path)


def _write_synced(path: Path, write: Callable[[Any], object]) -> None:
    with path.open("wb") as file:
        write(file)
        file.flush()
        os.fsync(file.fileno())


def _write_items(path: Path, codes: HashCodes, encode: Callable[[Item], Item]) -> None:
    """The items and the one segment of their codes, in one transaction."""
    values = operator.attrgetter(*FIELDS)
    items = track(codes.items, "writing items", total=len(codes))
    rows = ((row, *values(encode(item))) for row, item in enumerate(items))
    try:
        with closing(sqlite3.connect(path)) as sqlite, sqlite:
            sqlite.executescript(SCHEMA)
            sqlite.executemany(f"INSERT INTO items VALUES ({', '.join('?' * (len(FIELDS) + 1))})", rows)
            sqlite.execute("INSERT INTO segments VALUES (0, ?, ?)", [len(codes), _checksum(codes.words)])
    except sqlite3.Error as error:
        raise OSError(f"SQLite: {error}") from error  # fresh_folder says which place it was


def _connect(path: Path) -> sqlite3.Connection:
    """A read-only connection that threads may share, each in its turn."""
    if not path.is_file():
        raise CodesError(f"{path}: is missing, so the archive has no items; {AGAIN}")
    try:
        return sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True, check_same_thread=False)
    except sqlite3.Error as error:
        raise CodesError(f"{path}: can't be opened ({error}); {AGAIN}") from None


def _map(path: Path, count: int, words: int) -> NDArray[np.uint64]:
    """The committed codes, memory-mapped."""
    wanted = 8 * words * count
    try:
        found = path.stat().st_size
        if found < wanted:
            raise CodesError(f"{path}: was cut: {found} bytes, wanted {wanted} for {count} codes; {AGAIN}")
        if not count:
            return np.empty((0, words), np.uint64)
        return np.memmap(path, "<u8", mode="r", shape=(count, words)).view(np.ndarray)
    except OSError as error:
        raise CodesError(f"{path}: can't be read ({error.strerror}); {AGAIN}") from None


def _checksum(words: NDArray[np.uint64]) -> str:
    """SHA-256 of codes as they lie on disk, read in pieces of some megabytes."""
    digest = hashlib.sha256()
    for start in range(0, len(words), 1 << 18):
        digest.update(np.ascontiguousarray(words[start : start + (1 << 18)], "<u8").data)
    return digest.hexdigest()


def _known(what: str, name: str, names: tuple[str, ...]) -> None:
    """Raise `ConfigError`, with the nearest name, unless ``name`` is one of ``names``."""
    if name not in names:
        near = difflib.get_close_matches(str(name), names, n=1)
        hint = f"did you mean {near[0]}?" if near else f"known are {', '.join(names)}"
        raise ConfigError(f"unknown {what} {name!r}; {hint}")
