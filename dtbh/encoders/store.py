"""Outputs of frozen backbones, computed once and kept on disk for all runs.

Comes in: files and a backbone. One SQLite file a backbone, named by its fingerprint; rows are found by the
content of the media file, so a moved or renamed file is still known. Several processes may share it.
"""

from __future__ import annotations

import hashlib
import os
import sqlite3
from collections.abc import Callable, Sequence
from contextlib import closing
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from dtbh.errors import DtbhError
from dtbh.progress import track

TABLE = """CREATE TABLE IF NOT EXISTS outputs
           (file BLOB, view INTEGER, vector BLOB, PRIMARY KEY (file, view)) WITHOUT ROWID"""
FLIPS_AND_TURNS = ((False, 0), (True, 1), (False, 2), (True, 3), (False, 1), (True, 0), (False, 3), (True, 2))
"""The eight orientations of an image as (flip, quarter turns); the first is as it is."""


def oriented(x: Tensor, view: int) -> Tensor:
    """An image, or any tensor [..., h, w], in one of the eight orientations."""
    flip, turns = FLIPS_AND_TURNS[view]
    return torch.rot90(x.flip(-1) if flip else x, turns, (-2, -1))


def cache_folder() -> Path:
    """Where outputs are kept: ``$DTBH_CACHE``, else ``dtbh`` in the user's cache folder."""
    if "DTBH_CACHE" in os.environ:
        return Path(os.environ["DTBH_CACHE"])
    return Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "dtbh"


def stored_outputs(
    paths: Sequence[Path],
    compute: Callable[[list[Path], list[int]], Tensor],
    *,
    backbone: str,
    views: int,
    batch: int,
) -> Tensor:
    """The backbone's outputs for files, float32 [n, views, d], from the store or computed and stored.

    Args:
        paths: The files.
        compute: Maps k files and the view wanted of each, int [k], to float [k, d].
        backbone: Fingerprint of the backbone and of all that comes before it.
        views: How many views of each file, from the first.
        batch: Files computed at a time.
    """
    if not paths:
        raise DtbhError("no files to encode")
    file = cache_folder() / f"{backbone}.sqlite"
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        with closing(sqlite3.connect(file, timeout=60)) as store:
            store.execute(TABLE)
            return _fill(store, paths, compute, views=views, batch=batch)
    except (sqlite3.Error, OSError) as error:
        raise DtbhError(
            f"{file}: the store of backbone outputs can't be used ({error}); "
            "free some disk, delete the file, or set DTBH_CACHE to another folder"
        ) from error


def _fill(
    store: sqlite3.Connection,
    paths: Sequence[Path],
    compute: Callable[[list[Path], list[int]], Tensor],
    *,
    views: int,
    batch: int,
) -> Tensor:
    """Look everything up, compute what is missing, and commit batch by batch."""
    keys = [hashlib.sha256(path.read_bytes()).digest() for path in paths]
    known: dict[tuple[bytes, int], np.ndarray] = {}
    for key in set(keys):
        for view, vector in store.execute("SELECT view, vector FROM outputs WHERE file = ? AND view < ?", (key, views)):
            known[key, view] = np.frombuffer(vector, dtype="<f4")
    wanted = {(k, v): path for k, path in zip(keys, paths, strict=True) for v in range(views) if (k, v) not in known}
    todo = list(wanted.items())
    for start in track(range(0, len(todo), batch), "computing features", total=-(-len(todo) // batch)):
        part = todo[start : start + batch]
        vectors = compute([path for _, path in part], [view for (_, view), _ in part])
        rows = vectors.float().cpu().numpy().astype("<f4")
        known.update((found, vector) for (found, _), vector in zip(part, rows, strict=True))
        store.executemany(
            "INSERT OR REPLACE INTO outputs VALUES (?, ?, ?)",
            [(k, v, row.tobytes()) for ((k, v), _), row in zip(part, rows, strict=True)],
        )
        store.commit()
    return torch.from_numpy(np.stack([np.stack([known[k, v] for v in range(views)]) for k in keys]))
