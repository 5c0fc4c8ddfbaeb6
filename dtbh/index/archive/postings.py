"""Which rows have which value of a field, as small blobs that a filter reads in one go.

A blob is the segment's offsets as uint16, or, where that is shorter, a bitmap of the segment; the count beside it says
which. A segment has at most `SEGMENT` rows.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

SEGMENT = 1 << 16
COLUMNS = ("id", "modality", "path", "label", "pair", "split", "speaker", "transcript", "window", "footprint", "fields")
"""The columns of an item as it is stored; the last three are JSON."""
POSTED = ("modality", "label", "pair", "split", "speaker")
"""The columns that have postings, as the names in ``fields`` do; the others are unique, or seldom asked for."""

Row = Sequence[Any]


def postings(rows: Sequence[Row]) -> Iterator[tuple[str, str, int, bytes]]:
    """Field, value, how many rows have it, and their blob, for each value that occurs in one segment."""
    found: defaultdict[tuple[str, str], list[int]] = defaultdict(list)
    for field in POSTED:
        column = COLUMNS.index(field)
        for offset, row in enumerate(rows):
            if row[column] is not None:
                found[field, row[column]].append(offset)
    alike: defaultdict[str, list[int]] = defaultdict(list)
    for offset, row in enumerate(rows):
        if row[-1] is not None:
            alike[row[-1]].append(offset)
    for text, offsets in alike.items():
        for pair in json.loads(text).items():
            found[pair] += offsets
    for (field, value), offsets in found.items():
        yield field, value, len(offsets), _blob(np.sort(np.array(offsets, np.uint16)), len(rows))


def further_names(rows: Sequence[Row]) -> list[str]:
    """The names in the ``fields`` of these rows, sorted."""
    texts = {row[-1] for row in rows if row[-1] is not None}
    return sorted({name for text in texts for name in json.loads(text)})


def unpacked(blob: bytes, count: int, size: int) -> NDArray[np.int64]:
    """The offsets in a blob of a segment of ``size`` rows, ascending; of the whole segment, none is stored."""
    if count == size:
        return np.arange(size)
    if not _dense(count, size):
        return np.frombuffer(blob, "<u2").astype(np.int64)
    return np.flatnonzero(np.unpackbits(np.frombuffer(blob, np.uint8), count=size, bitorder="little"))


def _blob(chosen: NDArray[np.uint16], size: int) -> bytes:
    if len(chosen) == size:
        return b""
    if not _dense(len(chosen), size):
        return chosen.astype("<u2").tobytes()
    bits = np.zeros(size, np.bool_)
    bits[chosen] = True
    return np.packbits(bits, bitorder="little").tobytes()


def _dense(count: int, size: int) -> bool:
    """Whether a bitmap is shorter than the offsets."""
    return 2 * count > -(-size // 8)
