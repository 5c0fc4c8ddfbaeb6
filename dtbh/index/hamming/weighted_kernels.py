"""The compiled loop of a search by asymmetric distance. Importing this needs numba and a place for its cache.

Blocks, keys and limits are those of `kernels`; distances come from tables of half bytes, 64 at a time where the
processor looks them up in vectors, else one by one.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from dtbh.index.hamming.kernels import (
    BLOCK,
    LISTED,
    MARKED,
    ROW_BITS,
    Ints,
    Words,
    gather,
    take,
    taken,
    with_room,
)
from dtbh.index.hamming.planes import HALVES, TOGETHER, spread
from dtbh.index.hamming.vectors import GROUP
from dtbh.index.hamming.weighted_planes import ORDER, weigh, weigh_once
from dtbh.utils.compiled import compiled

ONCE = 2  # queries for which putting codes in planes does not pay


@compiled
def search(
    tables: NDArray[np.uint8],
    codes: Words,
    kind: int,
    rows: Ints,
    marks: NDArray[np.bool_],
    start: int,
    stop: int,
    k: int,
    most: int,
    width: tuple[int, ...],
    vectors: bool,
) -> tuple[Ints, Ints]:
    """The keys of each query's k nearest rows.

    Args:
        tables: As `weighing.weighing` makes them, for codes of as many words as ``width`` has.
        codes: uint64 [n, w], C-contiguous.
        kind: As in `kernels.search`, and so ``rows``, ``marks``, ``start`` and ``stop``.
        rows: As said.
        marks: As said.
        start: As said.
        stop: As said.
        k: From 1.
        most: The largest distance there can be.
        width: As many values as a code has words, rounded up to 1, 2, 4 or 8.
        vectors: Whether the processor looks half bytes up in vectors (`planes.usable`).

    Returns:
        As `kernels.search`.
    """
    count = len(tables)
    kept = [np.empty(min(2 * k, GROUP), np.int64) for _ in range(count)]
    filled = np.zeros(count, np.int64)
    limits = np.full(count, most + 1, np.int64)  # rows as far as this, or farther, have lost
    at = np.zeros((count, most + 1), np.int64)  # rows met at each distance
    below = np.zeros(count, np.int64)  # rows met that lie below the limit; fewer than k
    direct = kind != LISTED and codes.shape[1] == len(width)
    some = kind == MARKED and direct
    buffer = np.zeros((BLOCK // len(width), len(width)), np.uint64)
    ids = np.empty(len(buffer), np.int64)
    planes = np.empty(HALVES * BLOCK if vectors else 0, np.uint8)
    sums = np.empty(GROUP, np.uint16)
    while start < stop:
        if direct:
            size = min(len(buffer), stop - start)
            block, after = codes[start : start + size].ctypes.data, start + size
        else:
            size, after = gather(codes, kind, rows, marks, start, stop, buffer, ids)
            block = buffer.ctypes.data
        even = size - size % TOGETHER if vectors else 0
        if even and count > ONCE:
            spread(np.intp(block), even, np.intp(planes.ctypes.data), width)
        for query in range(count):
            table = np.intp(tables[query].ctypes.data)
            for group in range(0, size, GROUP):
                if group < even and count <= ONCE:
                    place = np.intp(block) + 8 * len(width) * group
                    if weigh_once(table, place, sums.ctypes.data, width) >= limits[query]:
                        continue
                elif group < even:
                    part = HALVES * TOGETHER * len(width) * (group // TOGETHER) + group % TOGETHER
                    if weigh(table, np.intp(planes.ctypes.data) + part, sums.ctypes.data, width) >= limits[query]:
                        continue
                elif direct:
                    _weigh(tables[query], codes, start + group, min(GROUP, size - group), sums)
                else:
                    _weigh(tables[query], buffer, group, min(GROUP, size - group), sums)
                for code in range(min(GROUP, size - group)):
                    distance = np.int64(sums[ORDER[code] if group < even else code])
                    if distance >= limits[query] or (some and not marks[start + group + code]):
                        continue
                    if filled[query] == len(kept[query]):
                        kept[query] = with_room(kept[query], filled, limits, below, query, k)
                    row = start + group + code if direct else ids[group + code]
                    take(kept[query], filled, limits, at, below, query, k, distance << ROW_BITS | row)
        start = after
    return taken(k, kept, filled, limits, below)


@compiled
def _weigh(table: NDArray[np.uint8], codes: Words, first: int, count: int, sums: NDArray[np.uint16]) -> None:
    """The distances of a few codes, one after the other."""
    for code in range(count):
        total = np.uint16(0)
        for word in range(codes.shape[1]):
            left = codes[first + code, word]
            for half in range(HALVES):
                total += table[HALVES * word + half, np.intp(left & np.uint64(15))]
                left >>= np.uint64(4)
        sums[code] = total
