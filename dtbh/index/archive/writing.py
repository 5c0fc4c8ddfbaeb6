"""Writing an archive: new generations, and adding to and removing from the one that is there.

Codes, and vectors where they are kept, are appended and flushed first; the commit of the SQLite transaction is the
moment from which they count. A new generation is written beside the old one, and counts from the moment at which
``archive.json`` names it. One writer at a time; a killed one leaves nothing that counts.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import re
import sqlite3
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from dtbh.codes import HashCodes, check_same, check_storable, check_vectors, whole_numbers
from dtbh.data.item_paths import relative_to
from dtbh.data.manifest import Item
from dtbh.errors import CodesError, DtbhError
from dtbh.index.archive.database import BUSY
from dtbh.index.archive.layout import (
    META,
    VERSION,
    WITH_VECTORS,
    Chunk,
    codes_file,
    digest_of_codes,
    digest_of_items,
    digest_of_meta,
    digest_of_vectors,
    items_file,
    vectors_file,
)
from dtbh.index.archive.postings import COLUMNS, SEGMENT, Row, further_names, postings
from dtbh.index.archive.snapshot import Snapshot, open_snapshot, read_settings
from dtbh.index.base import refuse_known, refuse_unknown
from dtbh.utils.files import atomic_folder, check_place, explained, file_lock, write_file


class TwiceError(CodesError):
    """An id that stands more than once in what is to be an archive."""

    def __init__(self, id: str) -> None:
        self.id = id
        super().__init__(f"the id {id!r} stands more than once; give each item its own")


Files = tuple[io.FileIO, io.FileIO | None]
"""Of codes, and of vectors where they are kept."""
Further = Callable[[HashCodes], Sequence[Mapping[str, str]]]
"""Of some items, with their codes, all further fields that each is to have."""
OWN = re.compile(r"(codes|vectors)(-\d+)?\.bin|items(-\d+)?\.sqlite(-journal)?|\.archive\.json\..+")
NUMBER = re.compile(r"(?:codes|vectors|items)-?(\d+)?\.(?:bin|sqlite)")
DOING = "adding, removing or compacting"
SCHEMA = f"""
CREATE TABLE segments (first INTEGER PRIMARY KEY, count INTEGER NOT NULL, sha256 TEXT NOT NULL,
                       items_sha256 TEXT NOT NULL, names TEXT NOT NULL);
CREATE TABLE items (row INTEGER PRIMARY KEY, {", ".join(f"{name} TEXT" for name in COLUMNS)});
CREATE INDEX items_id ON items (id);
CREATE TABLE postings (first INTEGER, field TEXT, value TEXT, count INTEGER NOT NULL, rows BLOB NOT NULL,
                       PRIMARY KEY (first, field, value)) WITHOUT ROWID;
CREATE TABLE removals (number INTEGER PRIMARY KEY, count INTEGER NOT NULL, rows BLOB NOT NULL, sha256 TEXT NOT NULL);
"""


def create(path: Path, meta: Mapping[str, Any], chunks: Iterable[Chunk]) -> None:
    """Write an archive of these chunks; one that stands there is replaced, and its readers keep it.

    Args:
        path: The folder.
        meta: Bits, encoder, model (relative to the folder) and whatever else ``archive.json`` is to say: under
            ``vectors`` how many numbers a vector has, where vectors are kept.
        chunks: Codes and stored rows, of at most `SEGMENT`, and vectors where they are kept.
    """
    check_place(path, META, "archive")
    if (path / META).is_file():
        with _alone(path):
            _renew(path, meta, chunks)
        return
    with atomic_folder(path) as new:
        _generation(new, 0, meta, chunks)
        _name(new, meta, 0)


def compact(path: Path) -> None:
    """Write anew what was not removed, in full segments, with its checksums compared; readers keep what they opened."""
    with _alone(path):
        now = open_snapshot(path)
        _renew(path, now.meta, joined(now.chunks()))


def describe(path: Path, further: Further) -> None:
    """Write anew what was not removed, with other further fields; as `compact` otherwise."""

    def described(chunk: Chunk) -> Chunk:
        codes = now.codes_of(chunk)
        fields = further(codes)
        items = [replace(item, fields=own) for item, own in zip(codes.items, fields, strict=True)]
        check_storable(replace(codes, items=tuple(items)))
        return chunk._replace(
            rows=[(*row[:-1], _json(dict(item.fields))) for row, item in zip(chunk.rows, items, strict=True)]
        )

    with _alone(path):
        now = open_snapshot(path)
        _renew(path, now.meta, joined(map(described, now.chunks())))


def add(path: Path, codes: HashCodes) -> None:
    """Append codes and items in one commit."""
    check_storable(codes)
    with _alone(path), _committing(path) as (now, sqlite):
        check_same(codes, now.bits, now.encoder, of=f"the archive {path}")
        check_vectors(codes, now.vector_dim, of=f"the archive {path}")
        with _opened(path, now.generation, "ab", now.meta) as files:
            _append(files, sqlite, now.count, chunked(codes, path.resolve()))
        _check_ids(now, sqlite)
        sqlite.commit()


def remove(path: Path, ids: Iterable[str]) -> int:
    """Mark items as removed, in one commit; returns how many."""
    with _alone(path), _committing(path) as (now, sqlite):
        found = {id: now.row(id) for id in ids}
        refuse_unknown(str(path), (id for id, row in found.items() if row is None))
        rows = np.sort(np.array([row for row in found.values() if row is not None], "<i8")).tobytes()
        if found:
            digest = hashlib.sha256(rows).hexdigest()
            sqlite.execute("INSERT INTO removals (count, rows, sha256) VALUES (?, ?, ?)", [len(found), rows, digest])
            sqlite.commit()
    return len(found)


def chunked(codes: HashCodes, path: Path) -> Iterator[Chunk]:
    """Codes and their items as an archive at ``path`` stores them."""
    encode = relative_to(path)
    for start in range(0, len(codes), SEGMENT):
        part = slice(start, start + SEGMENT)
        vectors = None if codes.vectors is None else whole_numbers(codes.vectors[part], np.int8)
        yield Chunk(codes.words[part], [_row(encode(item)) for item in codes.items[part]], vectors)


def joined(chunks: Iterable[Chunk]) -> Iterator[Chunk]:
    """The same codes, rows and vectors in chunks of `SEGMENT`, the last of what remains."""
    waiting, count = list[Chunk](), 0
    for chunk in chunks:
        waiting.append(chunk)
        count += len(chunk.rows)
        while count >= SEGMENT:
            whole = _one(waiting)
            yield _part(whole, slice(SEGMENT))
            waiting, count = [_part(whole, slice(SEGMENT, None))], count - SEGMENT
    if count:
        yield _one(waiting)


def _one(chunks: list[Chunk]) -> Chunk:
    """All of some chunks, in order."""
    vectors = [chunk.vectors for chunk in chunks if chunk.vectors is not None]
    return Chunk(
        np.concatenate([chunk.words for chunk in chunks]), [row for chunk in chunks for row in chunk.rows],
        np.concatenate(vectors) if vectors else None,
    )  # fmt: skip


def _part(chunk: Chunk, rows: slice) -> Chunk:
    """Some rows of a chunk."""
    return Chunk(chunk.words[rows], chunk.rows[rows], None if chunk.vectors is None else chunk.vectors[rows])


def _row(item: Item) -> Row:
    """An item as it is stored, in the order of `COLUMNS`."""
    further = (item.window, item.footprint, dict(item.fields))
    return *(getattr(item, name) for name in COLUMNS[: -len(further)]), *map(_json, further)


def _json(value: Any) -> str | None:
    """A window, a footprint or further fields as they are stored; None where there are none."""
    return None if not value else json.dumps(value, ensure_ascii=False)


@contextmanager
def _alone(path: Path) -> Iterator[None]:
    """Keep other writers out, and explain what goes wrong."""
    if not path.is_dir():
        open_snapshot(path)  # says that there is no archive
    with explained(path), file_lock(path, DOING):
        yield


@contextmanager
def _committing(path: Path) -> Iterator[tuple[Snapshot, sqlite3.Connection]]:
    """What is committed now, and a transaction that the block commits; without that it leaves nothing."""
    now = open_snapshot(path)
    if now.version < VERSION:
        raise CodesError(f"{path}: was written by an older dtbh; bring it up to date first: dtbh compact {path}")
    _tidy(path)
    _cut(now)
    try:
        with _as_oserror(), closing(_open(items_file(path, now.generation))) as sqlite:
            # Nothing is written before the commit, so that readers wait for that moment only.
            sqlite.executescript("PRAGMA cache_spill = OFF; PRAGMA synchronous = EXTRA; BEGIN IMMEDIATE;")
            yield now, sqlite
    except BaseException:
        with suppress(DtbhError, OSError):
            _cut(open_snapshot(path))
        raise


def _renew(path: Path, meta: Mapping[str, Any], chunks: Iterable[Chunk]) -> None:
    """Write a new generation and name it in ``archive.json``; what fails leaves the old one as it was."""
    _tidy(path)
    number = _current(path) + 1
    try:
        _generation(path, number, meta, chunks)
        _name(path, meta, number)
    finally:
        _tidy(path)


def _generation(path: Path, number: int, meta: Mapping[str, Any], chunks: Iterable[Chunk]) -> None:
    """The files of a generation, flushed; nothing names them yet."""
    items = items_file(path, number)
    with _opened(path, number, "xb", meta) as files, _as_oserror(), closing(_open(items)) as sqlite:
        sqlite.executescript(f"PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF; {SCHEMA}")
        if files[1] is not None:
            sqlite.execute("ALTER TABLE segments ADD COLUMN vectors_sha256 TEXT NOT NULL DEFAULT ''")
        _append(files, sqlite, 0, chunks, between=sqlite.commit)
        twice = sqlite.execute("SELECT id FROM items GROUP BY id HAVING COUNT(*) > 1 LIMIT 1").fetchone()
        if twice:
            raise TwiceError(twice[0])
    with items.open("r+b") as file:
        os.fsync(file.fileno())


@contextmanager
def _opened(path: Path, generation: int, mode: str, meta: Mapping[str, Any]) -> Iterator[Files]:
    """The files of codes and of vectors of a generation, to be written without a buffer."""
    with ExitStack() as stack:
        names = [codes_file(path, generation), *([vectors_file(path, generation)] if "vectors" in meta else [])]
        codes, *more = (stack.enter_context(io.FileIO(name, mode.replace("b", ""))) for name in names)
        yield codes, more[0] if more else None


def _append(
    files: Files, sqlite: sqlite3.Connection, first: int, chunks: Iterable[Chunk],
    between: Callable[[], None] = lambda: None,
) -> None:  # fmt: skip
    """Write chunks as segments from row ``first`` on, and flush codes and vectors."""
    of_codes, of_vectors = files
    for words, rows, vectors in chunks:
        _write(of_codes, np.ascontiguousarray(words, "<u8").view(np.uint8).ravel().data)
        marks = ", ".join("?" * (1 + len(COLUMNS)))
        sqlite.executemany(f"INSERT INTO items VALUES ({marks})", ((first + n, *row) for n, row in enumerate(rows)))
        sqlite.executemany("INSERT INTO postings VALUES (?, ?, ?, ?, ?)", ((first, *p) for p in sorted(postings(rows))))
        names = json.dumps(further_names(rows))
        values = [first, len(rows), digest_of_codes(words), digest_of_items(rows), names]
        if of_vectors is not None:
            assert vectors is not None
            _write(of_vectors, np.ascontiguousarray(vectors).view(np.uint8).ravel().data)
            values.append(digest_of_vectors(vectors))
        sqlite.execute(f"INSERT INTO segments VALUES ({', '.join('?' * len(values))})", values)
        first += len(rows)
        between()
    for file in files:
        if file is not None:
            os.fsync(file.fileno())


def _write(file: io.FileIO, data: memoryview) -> None:
    """Write all of it, without a buffer that would be written later."""
    done = 0
    while done < len(data):
        done += file.write(data[done:])


def _name(path: Path, meta: Mapping[str, Any], generation: int) -> None:
    """Write ``archive.json``: from here on the generation that it names counts."""
    said = {**meta, "version": WITH_VECTORS if "vectors" in meta else VERSION, "generation": generation}
    text = json.dumps(said | {"sha256": digest_of_meta(said)}, indent=2) + "\n"
    write_file(path / META, lambda file: file.write(text.encode()))
    handle = os.open(path, os.O_RDONLY)
    os.fsync(handle)  # before the old generation's files go
    os.close(handle)


def _current(path: Path) -> int:
    """The generation that counts; of an archive whose settings are damaged the last one, which is kept."""
    try:
        return int(read_settings(path).get("generation", 0))
    except CodesError:
        return max((int(found[1] or 0) for file in path.iterdir() if (found := NUMBER.fullmatch(file.name))), default=0)


def _tidy(path: Path) -> None:
    """Remove the files of other generations: replaced ones, and those of a writer that was killed."""
    number = _current(path)
    kept = tuple(of(path, number).name for of in (codes_file, vectors_file, items_file))
    for file in path.iterdir():
        if OWN.fullmatch(file.name) and not file.name.startswith(kept):
            file.unlink()


def _cut(now: Snapshot) -> None:
    """Cut off codes and vectors that were never committed: those of a writer that failed or was killed."""
    for of, rows in ((codes_file, now.words), (vectors_file, now.vectors)):
        if rows is not None and (file := of(now.path, now.generation)).stat().st_size > rows.nbytes:
            os.truncate(file, rows.nbytes)


def _check_ids(now: Snapshot, sqlite: sqlite3.Connection) -> None:
    """Raise `CodesError` if an id that was just written is there already."""
    again = sqlite.execute(
        "SELECT new.id, old.row FROM items AS new CROSS JOIN items AS old ON old.id = new.id AND old.row < ? "
        "WHERE new.row >= ?", [now.count, now.count],
    ).fetchall()  # fmt: skip
    gone = set(now.removed.tolist()) if again else set()
    refuse_known(str(now.path), (id for id, row in again if row not in gone))


def _open(path: Path) -> sqlite3.Connection:
    return sqlite3.connect(path, timeout=BUSY)


@contextmanager
def _as_oserror() -> Iterator[None]:
    """SQLite's refusals, such as a full disk, as the operating system's, which `explained` makes a line of."""
    try:
        yield
    except sqlite3.Error as error:
        raise OSError(f"SQLite: {error}") from error
