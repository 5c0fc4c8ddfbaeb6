"""Outputs of frozen backbones, computed once and kept on disk for all runs.

One SQLite file a backbone, named by its fingerprint; rows are found by the content of the media file, so a moved or
renamed file is still known, or by the text. Several processes may share it.
"""

from __future__ import annotations

import hashlib
import os
import sqlite3
import threading
import weakref
from collections import deque
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from dtbh.errors import DtbhError, MediaError
from dtbh.utils.files import cache_folder
from dtbh.utils.progress import track

TABLE = """CREATE TABLE IF NOT EXISTS outputs
           (file BLOB, view INTEGER, vector BLOB, PRIMARY KEY (file, view)) WITHOUT ROWID"""
MAPPED = 1 << 40  # bytes of a store that may be memory-mapped; SQLite stops at two gigabytes, and reads what is beyond


S = TypeVar("S", Path, str)
"""A media file, or a text itself."""


def stored_outputs(
    sources: Sequence[S],
    compute: Callable[[list[tuple[S, int]]], list[NDArray[Any]]],
    *,
    backbone: str,
    views: Sequence[int],
    batch: int,
    dtype: str = "<f4",
    label: str = "computing features",
    threads: int = 1,
) -> StoredOutputs:
    """The backbone's outputs for files or texts, computed where the store lacks them: one array for each and view.

    Args:
        sources: The files, or the texts.
        compute: Maps those and views to one array each, of whatever length.
        backbone: Fingerprint of the backbone and of all that comes before it.
        views: Numbers of the views of each, in -2**63..2**63 - 1.
        batch: How many are computed at a time; small ones come first, so that clips of like length meet.
        dtype: Of the arrays as they are stored and read; they are flat.
        label: What computing them is called where progress is shown.
        threads: How many call ``compute`` at once, each for a batch of its own.

    Raises:
        MediaError: A file can't be read.
        DtbhError: There are no sources, or the store can't be used.
    """
    if not sources:
        raise DtbhError("no files to encode")
    file = (cache_folder() / f"{backbone}.sqlite").absolute()
    with _naming(file):
        file.parent.mkdir(parents=True, exist_ok=True)
        with closing(sqlite3.connect(file, timeout=60)) as store:
            store.execute(TABLE)
            keys = _fill(store, sources, compute, views=views, batch=batch, dtype=dtype, label=label,
                         threads=threads)  # fmt: skip
    return StoredOutputs(file, keys, views, dtype)


class StoredOutputs(Sequence["StoredViews"]):
    """Outputs that are stored, each read when it is asked for: the store is memory-mapped, and none stays in memory.

    Every process and every thread that reads has a connection of its own, closed when nobody reads any more.

    Args:
        file: The store, which has them all; an absolute path.
        keys: What each file or text is known by.
        views: Numbers of the views of each.
        dtype: Of the arrays.
        width: Numbers in a row of an array; None for flat ones.
    """

    def __init__(
        self, file: Path, keys: Sequence[bytes], views: Sequence[int], dtype: str, width: int | None = None
    ) -> None:
        self._file, self._keys, self._views, self._dtype, self._width = file, keys, views, dtype, width
        self._open()

    def __len__(self) -> int:
        return len(self._keys)

    def __getitem__(self, row: Any) -> Any:
        places = range(len(self))[row]
        return StoredViews(self, places) if isinstance(places, int) else [self[place] for place in places]

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in self.__dict__.items() if name != "_opened"}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._open()

    @property
    def view_count(self) -> int:
        """How many views each has."""
        return len(self._views)

    def in_rows(self, width: int) -> StoredOutputs:
        """The same, each array as rows of so many numbers: [t, width]."""
        return StoredOutputs(self._file, self._keys, self._views, self._dtype, width)

    def read(self, row: int, view: int) -> NDArray[Any]:
        """One array; raises `DtbhError` where the store can't be read any more."""
        with _naming(self._file):
            found = self._connection().execute(
                "SELECT vector FROM outputs WHERE file = ? AND view = ?", (self._keys[row], self._views[view])
            ).fetchone()  # fmt: skip
        if found is None:
            raise _useless(self._file, "what it had is gone")
        array = np.frombuffer(bytearray(found[0]), dtype=self._dtype)
        return array if self._width is None else array.reshape(-1, self._width)

    def _open(self) -> None:
        self._opened: dict[tuple[int, int], sqlite3.Connection] = {}
        weakref.finalize(self, _close, self._opened)

    def _connection(self) -> sqlite3.Connection:
        """That of this thread of this process; one that was forked has none yet."""
        reader = (os.getpid(), threading.get_ident())
        if reader not in self._opened:
            store = sqlite3.connect(f"{self._file.as_uri()}?mode=rw", uri=True, timeout=60, check_same_thread=False)
            store.execute(f"PRAGMA mmap_size = {MAPPED}")
            self._opened[reader] = store
        return self._opened[reader]


def _close(opened: dict[tuple[int, int], sqlite3.Connection]) -> None:
    """Close what this process opened; what it inherited is its parent's."""
    for (process, _), store in opened.items():
        if process == os.getpid():
            store.close()


class StoredViews(Sequence[NDArray[Any]]):
    """The views of one file or text, each read when it is asked for."""

    def __init__(self, outputs: StoredOutputs, row: int) -> None:
        self._outputs, self._row = outputs, row

    def __len__(self) -> int:
        return self._outputs.view_count

    def __getitem__(self, view: Any) -> Any:
        places = range(len(self))[view]
        return self._outputs.read(self._row, places) if isinstance(places, int) else [self[place] for place in places]


@contextmanager
def _naming(file: Path) -> Iterator[None]:
    """Names the store where it can't be used."""
    try:
        yield
    except (sqlite3.Error, OSError) as error:
        raise _useless(file, error) from error


def _useless(file: Path, why: object) -> DtbhError:
    return DtbhError(
        f"{file}: the store of backbone outputs can't be used ({why}); "
        "free some disk, delete the file, or set DTBH_CACHE to another folder"
    )


def _fill(
    store: sqlite3.Connection,
    sources: Sequence[S],
    compute: Callable[[list[tuple[S, int]]], list[NDArray[Any]]],
    *,
    views: Sequence[int],
    batch: int,
    dtype: str,
    label: str,
    threads: int,
) -> list[bytes]:
    """Look everything up, compute what is missing, and commit batch by batch; returns what each source is known by."""
    keys, sizes = [], {}
    for source in sources:
        data = content(source)
        keys.append(hashlib.sha256(data).digest())
        sizes[keys[-1]] = len(data)
    known = {
        (key, view) for key in sizes for (view,) in store.execute("SELECT view FROM outputs WHERE file = ?", (key,))
    }
    wanted = {(k, v): source for k, source in zip(keys, sources, strict=True) for v in views if (k, v) not in known}
    todo = sorted(wanted.items(), key=lambda one: (sizes[one[0][0]], one[0]))
    parts = [todo[start : start + batch] for start in range(0, len(todo), batch)]
    wishes = [[(source, view) for (_, view), source in part] for part in parts]
    with closing(_in_turn(compute, wishes, threads)) as computed:
        for part, arrays in track(zip(parts, computed, strict=True), label, total=len(todo), each=batch):
            rows = [array.astype(dtype).ravel() for array in arrays]
            store.executemany(
                "INSERT OR REPLACE INTO outputs VALUES (?, ?, ?)",
                [(k, v, row.tobytes()) for ((k, v), _), row in zip(part, rows, strict=True)],
            )
            store.commit()
    return keys


def _in_turn(
    compute: Callable[[list[tuple[S, int]]], list[NDArray[Any]]], wishes: Sequence[list[tuple[S, int]]], threads: int
) -> Generator[list[NDArray[Any]], None, None]:
    """What is computed of each, in order, by so many threads, none of which is far ahead; they end with it."""
    if threads < 2:
        yield from map(compute, wishes)
        return
    pool, under_way = ThreadPoolExecutor(threads, "dtbh-features"), deque[Future[list[NDArray[Any]]]]()
    try:
        for wish in wishes:
            under_way.append(pool.submit(compute, wish))
            if len(under_way) > threads:
                yield under_way.popleft().result()
        while under_way:
            yield under_way.popleft().result()
    finally:
        pool.shutdown(cancel_futures=True)


def content(source: Path | str) -> bytes:
    """What is in a media file, or a text as bytes; raises `MediaError` for a file that can't be read."""
    if isinstance(source, str):
        return source.encode()
    try:
        return source.read_bytes()
    except OSError as error:
        raise MediaError(
            f"{source}: can't be read ({error.strerror}); check the path, or run dtbh prepare again"
        ) from None
