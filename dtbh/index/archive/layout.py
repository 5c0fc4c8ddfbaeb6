"""How an archive lies on disk: names of its files, segments of its codes, and what is summed into checksums.

Where vectors are kept, ``archive.json`` says under ``vectors`` how many numbers each has, and the version is
`WITH_VECTORS`, so that no older dtbh adds codes without; all else is as without them.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from dtbh.index.archive.postings import Row

META = "archive.json"
VERSION, WITH_VECTORS = 2, 3
READS = (1, VERSION, WITH_VECTORS)
PIECE = 1 << 18  # rows whose bytes are read at once to be summed up
AGAIN = "make the archive again with dtbh index"  # how a message on what can't be mended ends


class Chunk(NamedTuple):
    """Codes uint64 [n, words] and stored rows that are written together; vectors int8 [n, d], where they are kept."""

    words: NDArray[np.uint64]
    rows: list[Row]
    vectors: NDArray[np.int8] | None = None


class Segment(NamedTuple):
    """Codes and items that were committed together, and the SHA-256 of each."""

    first: int
    size: int
    codes: str
    items: str | None  # archives of version 1 have none
    names: tuple[str, ...]
    vectors: str | None = None


def codes_file(path: Path, generation: int) -> Path:
    """The code file of a generation."""
    return path / (f"codes-{generation}.bin" if generation else "codes.bin")


def vectors_file(path: Path, generation: int) -> Path:
    """The file of vectors of a generation, where vectors are kept."""
    return path / (f"vectors-{generation}.bin" if generation else "vectors.bin")


def items_file(path: Path, generation: int) -> Path:
    """The database of a generation."""
    return path / (f"items-{generation}.sqlite" if generation else "items.sqlite")


def digest_of_codes(words: NDArray[np.uint64]) -> str:
    """SHA-256 of codes as they lie on disk, read in pieces of some megabytes."""
    digest = hashlib.sha256()
    for start in range(0, len(words), PIECE):
        digest.update(np.ascontiguousarray(words[start : start + PIECE], "<u8").data)
    return digest.hexdigest()


def digest_of_vectors(vectors: NDArray[np.int8]) -> str:
    """SHA-256 of vectors as they lie on disk; likewise."""
    digest = hashlib.sha256()
    for start in range(0, len(vectors), PIECE):
        digest.update(np.ascontiguousarray(vectors[start : start + PIECE]).data)
    return digest.hexdigest()


def digest_of_items(rows: Sequence[Row]) -> str:
    """SHA-256 of items as they are stored."""
    return hashlib.sha256(json.dumps(rows, default=repr).encode()).hexdigest()


def digest_of_meta(meta: Mapping[str, Any]) -> str:
    """SHA-256 of what ``archive.json`` says, but for the checksum itself."""
    said = {name: value for name, value in meta.items() if name != "sha256"}
    return hashlib.sha256(json.dumps(said, sort_keys=True).encode()).hexdigest()
