"""Multi-index hashing: all rows within a small radius without looking at every code, exactly.

Codes are cut into m chunks, and for each chunk a table lists the rows by its value. Two codes within radius r = m q + a
differ by at most q bits in one of the first a + 1 chunks, or by less than q in one of the others (Norouzi, Punjani and
Fleet, Fast exact search in Hamming space with multi-index hashing, 2014, proposition 2). So the rows whose chunks are
as near as that hold all that are wanted. Importing this needs numba.
"""

from __future__ import annotations

import functools
import itertools
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dtbh.index.hamming.kernels import LISTED, MARKED, ROW_BITS, Ints, Words, arguments
from dtbh.index.hamming.rows import Found, Rows
from dtbh.index.hamming.scan import split
from dtbh.index.hamming.vectors import ones
from dtbh.utils.compiled import compiled

LEAST = 1 << 16  # rows, below which looking at all is as quick
DEAR = 128  # codes looked at in a row that take as long as one row or list that is looked up
WIDEST = 24  # bits of a chunk
FARTHEST = 3  # bits that a chunk may differ
SAMPLE = 1 << 12
SAMPLE_QUERIES = 16

Lists = NDArray[np.uint32]


@dataclass(frozen=True)
class Tables:
    """The rows of each value of each chunk.

    Attributes:
        rows: What is indexed.
        edges: int64 [m + 1]: chunk i is bits ``edges[i]`` to ``edges[i + 1]``.
        starts: uint32 [m, 2 ** s + 1]: rows of value v of chunk i are ``members[i, starts[i, v]:starts[i, v + 1]]``.
        members: uint32 [m, n]: row numbers, ascending within each value.
    """

    rows: Rows
    edges: Ints
    starts: Lists
    members: Lists

    def within(self, queries: Words, radius: int) -> list[Found | None]:
        """All rows within a radius of each query; None for a query where looking at every code is quicker."""
        reach = _reach(len(self.edges) - 1, radius)
        if max(reach) > FARTHEST:
            return [None] * len(queries)
        flips = [_flips(int(size), bits) for size, bits in zip(np.diff(self.edges), reach, strict=True)]
        ends, flat = np.cumsum([0, *map(len, flips)]), np.concatenate(flips)
        most = int(self.rows.count / DEAR)
        keys, counts = _look_up(
            queries, self.rows.words, self.edges, self.starts, self.members, flat, ends, np.array(reach), radius, most
        )
        distances, rows = split(keys, self.rows.first)
        stops = np.cumsum(np.maximum(counts, 0)).tolist()
        return [
            None if count < 0 else (distances[stop - count : stop], rows[stop - count : stop])
            for count, stop in zip(counts.tolist(), stops, strict=True)
        ]


def tables(rows: Rows, queries: Words, radius: int) -> Tables | None:
    """Tables for such queries, if a sample of the codes shows that looking up is much quicker than looking at all."""
    if not LEAST <= rows.count < np.iinfo(np.uint32).max:
        return None
    used = "".join(f"{int(word):064b}"[::-1] for word in np.bitwise_or.reduce(rows.words, axis=0)).rstrip("0")
    size = min(WIDEST, int(np.log2(rows.count)))
    edges = np.linspace(0, len(used), -(-len(used) // size) + 1).astype(np.int64)
    reach = _reach(len(edges) - 1, radius)
    if max(reach) > FARTHEST or _share(rows, queries, edges, reach) * DEAR > 1:
        return None
    starts = np.zeros((len(edges) - 1, (1 << int(np.diff(edges).max())) + 1), np.uint32)
    members = np.empty((len(edges) - 1, rows.count), np.uint32)
    _list(*arguments(rows), rows.span, edges, starts, members)
    return Tables(rows, edges, starts, members)


def _reach(chunks: int, radius: int) -> list[int]:
    """By how many bits each chunk may differ; -1 for a chunk that need not be looked at."""
    return [radius // chunks - (chunk > radius % chunks) for chunk in range(chunks)]


def _share(rows: Rows, queries: Words, edges: Ints, reach: list[int]) -> float:
    """The lists and rows to look up for half of the queries, as a part of all rows, by a sample of the codes."""
    places = np.linspace(0, rows.span - 1, SAMPLE).astype(np.int64)
    codes = rows.words[places if rows.listed is None else rows.listed[places]]
    differ = (queries[:SAMPLE_QUERIES, None] ^ codes).view(np.uint8)
    bits = np.unpackbits(differ, axis=2, bitorder="little")[:, :, : edges[-1]]
    apart = np.add.reduceat(bits, edges[:-1], axis=2, dtype=np.int64)
    looked_up = sum(len(_flips(int(size), bits)) for size, bits in zip(np.diff(edges), reach, strict=True))
    return float(np.median((apart <= reach).sum(axis=2).mean(axis=1)) + looked_up / rows.count)


@functools.cache
def _flips(size: int, bits: int) -> Ints:
    """All words of ``size`` bits of which at most ``bits`` are set: int64."""
    chosen = itertools.chain.from_iterable(itertools.combinations(range(size), count) for count in range(bits + 1))
    return np.array([sum(1 << bit for bit in some) for some in chosen], np.int64)


@compiled
def _bits(low: np.uint64, high: np.uint64, start: int, stop: int) -> np.intp:
    """Bits ``start`` to ``stop`` of a code, of which ``low`` holds the first and ``high`` is the word after it."""
    shift = np.uint64(start & 63)
    both = low >> shift | high << (np.uint64(63) - shift) << np.uint64(1)
    return np.intp(both & ((np.uint64(1) << np.uint64(stop - start)) - np.uint64(1)))


@compiled
def _list(
    words: Words,
    kind: int,
    listed: Ints,
    marked: NDArray[np.bool_],
    span: int,
    edges: Ints,
    starts: Lists,
    members: Lists,
) -> None:
    """Fill the tables: count the rows of each value, then write each row to the next place of its value."""
    zero = np.uint64(0)
    for chunk in range(len(members)):
        start, stop = edges[chunk], edges[chunk + 1]
        word = start >> 6
        more = stop > (word + 1) << 6
        places = starts[chunk]
        for filling in (False, True):
            if filling:
                total = 0
                for value in range(len(places)):
                    size = places[value]
                    places[value] = total
                    total += size
            for place in range(span):
                row = listed[place] if kind == LISTED else place
                if kind == MARKED and not marked[row]:
                    continue
                here = _bits(words[row, word], words[row, word + 1] if more else zero, start, stop)
                if filling:
                    members[chunk, places[here]] = row
                places[here] += 1
        for value in range(len(places) - 1, 0, -1):  # each place has moved to where the next list starts
            places[value] = places[value - 1]
        places[0] = 0


@compiled
def _look_up(
    queries: Words,
    words: Words,
    edges: Ints,
    starts: Lists,
    members: Lists,
    flips: Ints,
    ends: Ints,
    reach: Ints,
    radius: int,
    most: int,
) -> tuple[Ints, Ints]:
    """The sorted keys of all rows within a radius of each query, and how many it has: -1 where too much is to look up.

    That is more than ``most`` lists and rows.
    """
    keys, counts, filled = np.empty(1024, np.int64), np.full(len(queries), -1), 0
    values, differ = np.zeros(len(reach), np.int64), np.zeros(queries.shape[1], np.uint64)
    for query in range(len(queries)):
        total = len(flips)
        for chunk in range(len(reach)):
            values[chunk] = _value(queries[query], edges[chunk], edges[chunk + 1])
            for flip in range(ends[chunk], ends[chunk + 1]):
                value = values[chunk] ^ flips[flip]
                total += starts[chunk, value + 1] - starts[chunk, value]
        if total > most:
            continue
        begin = filled
        keys = _room(keys, filled, total)
        for chunk in range(len(reach)):
            for flip in range(ends[chunk], ends[chunk + 1]):
                value = values[chunk] ^ flips[flip]
                for place in range(starts[chunk, value], starts[chunk, value + 1]):
                    row = members[chunk, place]
                    distance = np.uint64(0)
                    for word in range(len(differ)):
                        differ[word] = words[row, word] ^ queries[query, word]
                        distance += ones(differ[word])
                    if distance > np.uint64(radius):
                        continue
                    known = False  # as it is if an earlier chunk has led to this row
                    for earlier in range(chunk):
                        apart = np.uint64(_value(differ, edges[earlier], edges[earlier + 1]))
                        known |= np.int64(ones(apart)) <= reach[earlier]
                    if not known:
                        keys[filled] = np.int64(distance) << ROW_BITS | np.int64(row)
                        filled += 1
        keys[begin:filled].sort()
        counts[query] = filled - begin
    return keys[:filled].copy(), counts


@compiled
def _room(keys: Ints, filled: int, more: int) -> Ints:
    """Keys with room for some more."""
    if filled + more <= len(keys):
        return keys
    larger = np.empty(2 * (filled + more), np.int64)
    larger[:filled] = keys[:filled]
    return larger


@compiled
def _value(code: Words, start: int, stop: int) -> np.intp:
    word = start >> 6
    return _bits(code[word], code[word + 1] if stop > (word + 1) << 6 else np.uint64(0), start, stop)
