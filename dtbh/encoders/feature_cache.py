"""Outputs of frozen backbones, computed once and kept on disk for all runs.

One SQLite file a backbone, named by its fingerprint; rows are found by the content of the media file, so a moved or
renamed file is still known, or by the text. Several processes may share it.
"""

from __future__ import annotations

import hashlib
import sqlite3
from collections.abc import Callable, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from dtbh.errors import DtbhError, MediaError
from dtbh.utils.files import cache_folder
from dtbh.utils.progress import track

TABLE = """CREATE TABLE IF NOT EXISTS outputs
           (file BLOB, view INTEGER, vector BLOB, PRIMARY KEY (file, view)) WITHOUT ROWID"""


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
) -> list[list[NDArray[Any]]]:
    """The backbone's outputs for files or texts, from the store or computed and stored: one array for each and view.

    Args:
        sources: The files, or the texts.
        compute: Maps those and views to one array each, of whatever length.
        backbone: Fingerprint of the backbone and of all that comes before it.
        views: Numbers of the views of each, in -2**63..2**63 - 1.
        batch: How many are computed at a time; small ones come first, so that clips of like length meet.
        dtype: Of the arrays as stored and returned; they are flat.
        label: What computing them is called where progress is shown.

    Raises:
        MediaError: A file can't be read.
        DtbhError: There are no sources, or the store can't be used.
    """
    if not sources:
        raise DtbhError("no files to encode")
    file = cache_folder() / f"{backbone}.sqlite"
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        with closing(sqlite3.connect(file, timeout=60)) as store:
            store.execute(TABLE)
            return _fill(store, sources, compute, views=views, batch=batch, dtype=dtype, label=label)
    except (sqlite3.Error, OSError) as error:
        raise DtbhError(
            f"{file}: the store of backbone outputs can't be used ({error}); "
            "free some disk, delete the file, or set DTBH_CACHE to another folder"
        ) from error


def _fill(
    store: sqlite3.Connection,
    sources: Sequence[S],
    compute: Callable[[list[tuple[S, int]]], list[NDArray[Any]]],
    *,
    views: Sequence[int],
    batch: int,
    dtype: str,
    label: str,
) -> list[list[NDArray[Any]]]:
    """Look everything up, compute what is missing, and commit batch by batch."""
    keys, sizes = [], {}
    for source in sources:
        data = content(source)
        keys.append(hashlib.sha256(data).digest())
        sizes[keys[-1]] = len(data)
    known: dict[tuple[bytes, int], NDArray[Any]] = {}
    for key in sizes:
        for view, vector in store.execute("SELECT view, vector FROM outputs WHERE file = ?", (key,)):
            if view in views:
                known[key, view] = np.frombuffer(bytearray(vector), dtype=dtype)
    wanted = {(k, v): source for k, source in zip(keys, sources, strict=True) for v in views if (k, v) not in known}
    todo = sorted(wanted.items(), key=lambda one: (sizes[one[0][0]], one[0]))
    for start in track(range(0, len(todo), batch), label, total=len(todo), each=batch):
        part = todo[start : start + batch]
        rows = [row.astype(dtype).ravel() for row in compute([(source, view) for (_, view), source in part])]
        known.update((found, row) for (found, _), row in zip(part, rows, strict=True))
        store.executemany(
            "INSERT OR REPLACE INTO outputs VALUES (?, ?, ?)",
            [(k, v, row.tobytes()) for ((k, v), _), row in zip(part, rows, strict=True)],
        )
        store.commit()
    return [[known[k, v] for v in views] for k in keys]


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
