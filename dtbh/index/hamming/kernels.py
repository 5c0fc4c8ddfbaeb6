"""The compiled loop of a search: block by block of codes, each query over a block while it lies in cache.

A block's least distance decides whether it can still change a query's answer; most blocks can't, and nothing else is
done with them. With several queries on a processor that counts no bits in vectors, look-ups in `planes` decide it for
each 64 codes. How many rows were met at each distance gives the k-th distance, so that a row that is taken costs the
same whatever k. Nothing here holds Python's lock. Importing this needs numba and a place for its cache.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from dtbh.index.hamming.planes import HALVES, MOST, TOGETHER, close, spread
from dtbh.index.hamming.rows import Rows
from dtbh.index.hamming.vectors import GROUP, least, lowest_bit, near, turn
from dtbh.index.hamming.weighted_planes import weigh, weigh_once
from dtbh.utils.compiled import compiled

Ints = NDArray[np.int64]
Words = NDArray[np.uint64]

WHOLE, LISTED, MARKED = 0, 1, 2  # which rows count: all, those of a list, those marked
ROW_BITS = 48  # a key is distance << ROW_BITS | row: keys sort as results do
ONCE = 2  # queries with weights for which putting codes in planes does not pay
PAIR = TOGETHER // GROUP
BLOCK = 2048  # words, 16 kB: a block of codes and the queries lie in the first cache together; at most 64 groups


def arguments(rows: Rows) -> tuple[Words, int, Ints, NDArray[np.bool_]]:
    """The rows that count as compiled code takes them: codes, kind, list, marks; the arrays are read-only.

    So that the code compiled for arrays in memory serves memory-mapped ones too.
    """
    kind = WHOLE if rows.marked is None else MARKED
    kind = kind if rows.listed is None else LISTED
    listed = np.empty(0, np.int64) if rows.listed is None else rows.listed.view()
    marked = np.empty(0, np.bool_) if rows.marked is None else rows.marked.view()
    words = rows.words.view()
    for array in (words, listed, marked):
        array.flags.writeable = False
    return words, kind, listed, marked


@compiled
def search(
    patterns: Words,
    codes: Words,
    kind: int,
    rows: Ints,
    marks: NDArray[np.bool_],
    start: int,
    stop: int,
    k: int,
    radius: int,
    width: tuple[int, ...],
    levels: tuple[int, ...],
    turned: tuple[int, ...],
    tables: NDArray[np.uint8],
) -> tuple[Ints, Ints]:
    """The keys of each query's k nearest rows of those within a radius.

    Args:
        patterns: uint64 [q, 1 + levels, words], as `vectors.least` takes them.
        codes: uint64 [n, w], C-contiguous.
        kind: WHOLE, LISTED or MARKED.
        rows: With LISTED, int64 [m], ascending.
        marks: With MARKED, bool [n].
        start: The first row to look at; with LISTED the first place in ``rows``.
        stop: Where to stop.
        k: From 1; above the number of rows it bounds nothing.
        radius: The largest distance that counts.
        width: As many values as a code has words, rounded up to 1, 2, 4 or 8.
        levels: As many values as a weight has bits; none where all bits weigh alike.
        turned: One value where codes are to be turned (`vectors.turn`), which pays for several queries; else none.
        tables: What `planes.tables` makes of the queries, so rounded up, for an even number of them (the last may
            stand twice); of no query where look-ups are not wanted.

    Returns:
        The keys of all queries one after the other, of each in any order, and how many each has: at most k.
    """
    count = len(patterns)
    kept = [np.empty(min(2 * k, GROUP), np.int64) for _ in range(count)]
    filled = np.zeros(count, np.int64)
    limits = np.full(count, radius + 1, np.int64)  # rows as far as this, or farther, have lost
    at = np.zeros((count, radius + 1), np.int64)  # rows met at each distance
    below = np.zeros(count, np.int64)  # rows met that lie below the limit; fewer than k
    direct = kind != LISTED and codes.shape[1] == len(width)
    some = kind == MARKED and direct  # then a mark counts only for a code that is near enough
    buffer = np.zeros((BLOCK // len(width), len(width)), np.uint64)
    ids = np.empty(len(buffer), np.int64)
    tail = np.zeros(GROUP * len(width), np.uint64)
    room = np.empty(BLOCK + 8 if len(turned) else 0, np.uint64)
    far = np.empty(GROUP, np.int64)
    planes = np.empty(HALVES * BLOCK if len(tables) else 0, np.uint8)
    wanted = np.zeros(count, np.uint64)  # the groups of a block that may change a query's answer
    while start < stop:
        if direct:
            size = min(len(buffer), stop - start)
            block, after = codes[start : start + size].ctypes.data, start + size
        else:
            size, after = _gather(codes, kind, rows, marks, start, stop, buffer, ids)
            block = buffer.ctypes.data
        even = size - size % GROUP
        for i in range(size - even):
            for word in range(codes.shape[1]):
                to = (i // 8 * len(width) + word) * 8 + i % 8 if len(turned) else i * len(width) + word
                tail[to] = codes[start + even + i, word] if direct else buffer[even + i, word]
        counted = np.intp(block)
        if len(turned):
            counted = (np.intp(room.ctypes.data) + 63) // 64 * 64  # stores across two lines take twice as long
            turn(np.intp(block), even, counted, width)
        looked_up = size - size % TOGETHER if len(tables) else 0
        if looked_up:
            if len(levels):
                _weigh(tables, np.intp(block), planes, looked_up, limits, wanted, width)
            else:
                spread(np.intp(block), looked_up, np.intp(planes.ctypes.data), width)
                _look_up(tables, planes, looked_up, limits, wanted, width)
        for query in range(count):
            pattern = patterns[query].ctypes.data
            place = counted + 8 * len(width) * looked_up
            if least(pattern, place, even - looked_up, width, levels, turned) < limits[query]:
                wanted[query] |= _bits(looked_up // GROUP, even // GROUP)
            if size > even:
                wanted[query] |= _bits(even // GROUP, even // GROUP + 1)
            while wanted[query]:
                group = GROUP * np.intp(lowest_bit(wanted[query]))
                wanted[query] &= wanted[query] - np.uint64(1)
                place, count_here = counted + 8 * len(width) * group, GROUP
                if group == even:
                    place, count_here = np.intp(tail.ctypes.data), size - even
                found = near(pattern, place, limits[query], far.ctypes.data, width, levels, turned)
                found &= _bits(0, count_here)
                while found:
                    code = np.intp(lowest_bit(found))
                    found &= found - np.uint64(1)
                    distance = far[code]
                    if distance >= limits[query] or (some and not marks[start + group + code]):
                        continue
                    if filled[query] == len(kept[query]):
                        kept[query] = _with_room(kept[query], filled, limits, below, query, k)
                    row = start + group + code if direct else ids[group + code]
                    _take(kept[query], filled, limits, at, below, query, k, distance << ROW_BITS | row)
        start = after
    return _taken(k, kept, filled, limits, below)


@compiled
def _look_up(
    tables: NDArray[np.uint8], planes: NDArray[np.uint8], size: int, limits: Ints, wanted: Words, width: tuple[int, ...]
) -> None:
    """Set the bits of the groups in which something may be nearer than a query's limit."""
    for query in range(0, len(tables), 2):
        other = min(query + 1, len(limits) - 1)
        one, two = np.intp(tables[query].ctypes.data), np.intp(tables[query + 1].ctypes.data)
        bound, other_bound = limits[query], limits[other]
        for part in range(size // TOGETHER):
            place = np.intp(planes.ctypes.data) + HALVES * TOGETHER * len(width) * part
            bits = close(one, two, place, min(bound, MOST), min(other_bound, MOST), width)
            wanted[query] |= (bits & np.uint64(3)) << np.uint64(2 * part)
            wanted[other] |= (bits >> np.uint64(2)) << np.uint64(2 * part)
        for bounded in (query, other):
            if limits[bounded] > MOST:  # as far as bytes go, nothing can be told
                wanted[bounded] |= _bits(0, size // GROUP)


@compiled
def _weigh(
    tables: NDArray[np.uint8], block: np.intp, planes: NDArray[np.uint8], size: int, limits: Ints, wanted: Words,
    width: tuple[int, ...],
) -> None:  # fmt: skip
    """As `_look_up`, where bits have weights."""
    if len(limits) > ONCE:
        spread(block, size, np.intp(planes.ctypes.data), width)
    for query in range(len(limits)):
        table = np.intp(tables[query].ctypes.data)
        for group in range(size // GROUP):
            if len(limits) > ONCE:
                part = HALVES * TOGETHER * len(width) * (group // PAIR) + GROUP * (group % PAIR)
                far = weigh(table, np.intp(planes.ctypes.data) + part, width)
            else:
                far = weigh_once(table, block + 8 * len(width) * GROUP * group, width)
            if far < limits[query]:
                wanted[query] |= np.uint64(1) << np.uint64(group)


@compiled
def _bits(start: int, stop: int) -> np.uint64:
    """A word in which the bits from one place to before another are set; no more than 64."""
    below = ~np.uint64(0) if stop >= 64 else (np.uint64(1) << np.uint64(stop)) - np.uint64(1)
    return below if start <= 0 else below & ~((np.uint64(1) << np.uint64(start)) - np.uint64(1))


@compiled
def _with_room(keys: Ints, filled: Ints, limits: Ints, below: Ints, query: int, k: int) -> Ints:
    """A query's keys with room for more: those that have lost are left out, or there is as much again."""
    if filled[query] < 2 * k:
        return _grown(keys)
    filled[query] = _compact(keys, filled[query], limits[query], k - below[query])
    return keys


@compiled
def _take(
    keys: Ints, filled: Ints, limits: Ints, at: Ints, below: Ints, query: int, k: int, key: int | np.int64
) -> None:
    """Take a row that lies below a query's limit; the limit goes down where k rows do without the farthest."""
    keys[filled[query]] = key
    filled[query] += 1
    at[query, key >> ROW_BITS] += 1
    below[query] += 1
    while below[query] >= k:
        limits[query] -= 1
        below[query] -= at[query, limits[query]]


@compiled
def _taken(k: int, kept: list[Ints], filled: Ints, limits: Ints, below: Ints) -> tuple[Ints, Ints]:
    """The keys of all queries one after the other, and how many each has."""
    for query in range(len(filled)):
        filled[query] = _compact(kept[query], filled[query], limits[query], k - below[query])
    keys = np.empty(filled.sum(), np.int64)
    done = 0
    for query in range(len(filled)):
        keys[done : done + filled[query]] = kept[query][: filled[query]]
        done += filled[query]
    return keys, filled


@compiled
def _gather(
    codes: Words,
    kind: int,
    rows: Ints,
    marks: NDArray[np.bool_],
    start: int,
    stop: int,
    buffer: Words,
    ids: Ints,
) -> tuple[int, int]:
    """Fill the buffer with the next codes that count, and their rows: how many, and where to go on."""
    size = 0
    while start < stop and size < len(buffer):
        row = rows[start] if kind == LISTED else start
        for word in range(codes.shape[1]):
            buffer[size, word] = codes[row, word]
        ids[size] = row
        size += 1 if kind != MARKED else int(marks[row])
        start += 1
    return size, start


@compiled
def _compact(keys: Ints, filled: int, limit: int, ties: int) -> int:
    """Keep the keys below the limit and the first few at it; keys of one distance stay in order of rows."""
    kept = 0
    for i in range(filled):
        distance = keys[i] >> ROW_BITS
        if distance < limit or (distance == limit and ties > 0):
            ties -= distance == limit
            keys[kept] = keys[i]
            kept += 1
    return kept


@compiled
def _grown(keys: Ints) -> Ints:
    larger = np.empty(2 * len(keys), np.int64)
    larger[: len(keys)] = keys
    return larger
