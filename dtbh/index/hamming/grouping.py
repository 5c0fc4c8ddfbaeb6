"""Rows grouped by distinct code: where codes repeat, only the distinct ones are searched.

Groups stand in the order of their first rows, and each lists its rows in order. Then the k nearest groups, by distance
and first row, hold the k nearest rows: a row in any other group has k first rows before it. Codes in a file leave
memory as the lists come into it. Importing this needs numba.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dtbh.index.hamming.kernels import LISTED, MARKED, ROW_BITS, Ints, Words, arguments
from dtbh.index.hamming.rows import Found, Rows, let_go
from dtbh.utils.compiled import compiled

Shorts = NDArray[np.int32]
Members = NDArray[np.uint32] | NDArray[np.int64]

PAYS = 8  # rows a distinct code, from which grouping makes a search quicker and smaller
SMALL = np.iinfo(np.uint32)
SAMPLE = 1 << 14  # rows looked at to guess how many codes are distinct
PIECE = 1 << 20  # rows, after which codes that are mapped are let go
NOTHING = np.empty(0, np.uint32)
MULTIPLIER = np.uint64(0x9E3779B97F4A7C15)


@dataclass(frozen=True)
class Groups:
    """The distinct codes of a set, and where each occurs.

    Attributes:
        rows: The distinct codes, in the order of their first rows, as a set to be searched itself.
        starts: int64 [g + 1]: the members of group i are ``members[starts[i]:starts[i + 1]]``.
        members: uint32 [n], or int64 where rows have such numbers: row numbers, ascending within each group.
    """

    rows: Rows
    starts: Ints
    members: Members

    def nearest(self, found: Found, k: int) -> Found:
        """The k nearest rows of each query, from its min(k, g) nearest groups."""
        assert k <= len(self.members)
        near, rows = np.empty((len(found[0]), k), np.int32), np.empty((len(found[0]), k), np.int64)
        _expand(*found, self.starts, self.members, near, rows)
        return near, rows

    def within(self, found: Found) -> Found:
        """All rows of the groups that one query found."""
        distances, groups = found
        counts = self.starts[groups + 1] - self.starts[groups]
        keys = np.empty(counts.sum(), np.int64)
        _fill(distances, groups, self.starts, self.members, keys)
        keys.sort()
        return (keys >> ROW_BITS).astype(np.int32), keys & ((1 << ROW_BITS) - 1)


def group(rows: Rows) -> Groups | None:
    """Group the rows that count by code; None where too few share one for this to pay."""
    most = rows.count // PAYS
    small = rows.first + len(rows.words) <= SMALL.max
    found = _distinct(rows, most)
    if found is None:
        return None
    codes, counts, table = found
    starts = np.concatenate([np.zeros(1, np.int64), np.cumsum(counts)])
    members: Members = np.empty(rows.count, np.uint32) if small else np.empty(rows.count, np.int64)
    places = starts[:-1].copy()
    for start in range(0, rows.span, PIECE):
        stop = min(start + PIECE, rows.span)
        _meet(*arguments(rows), start, stop, len(codes), codes, places, table, members, rows.first)
        let_go(rows.words)
    return Groups(Rows(codes, len(codes)), starts, members)


def guess(rows: Rows) -> tuple[float, float]:
    """How many distinct codes there are at least, and how many at most, about, by a sample.

    At least by how many codes occur once and twice in it (Chao 1984, extrapolated to all rows after Colwell et al.
    2012). At most if codes go on to be new with every doubling of the rows as they did from a quarter of the
    sample to all of it.
    """
    places = np.linspace(0, rows.span - 1, min(rows.span, SAMPLE)).astype(np.int64)
    if rows.listed is not None:
        places = rows.listed[places]
    elif rows.marked is not None:
        places = places[rows.marked[places]]
    if not len(places):
        return 0.0, float(rows.count)
    counts = np.unique(rows.words[places], axis=0, return_counts=True)[1]
    seen, once, twice = len(counts), int((counts == 1).sum()), int((counts == 2).sum())
    unseen = once * (once - 1) / (2 * (twice + 1))
    further = rows.count / len(places)
    least = seen + (unseen * -np.expm1(-(further - 1) * once / unseen) if unseen else 0)
    growth = np.log(seen / len(np.unique(rows.words[places[::4]], axis=0))) / np.log(4)
    return float(least), float(seen * further**growth)


def _distinct(rows: Rows, most: int) -> tuple[Words, Ints, NDArray[np.int32]] | None:
    """The distinct codes, how often each occurs, and the table that finds them; None where there are too many."""
    place = size = 0
    codes, counts, table = _room(1 << 11, rows.words.shape[1])
    while place < rows.span:
        stop = min(place + PIECE, rows.span)
        place, size = _meet(*arguments(rows), place, stop, size, codes, counts, table, NOTHING, 0)
        let_go(rows.words)
        if size > most:
            return None
        if size == len(codes):
            larger, more, table = _room(2 * size, rows.words.shape[1])
            _meet(*arguments(Rows(codes, size)), 0, size, 0, larger, more, table, NOTHING, 0)
            more[:size] = counts
            codes, counts = larger, more
    return codes[:size].copy(), counts[:size].copy(), table


def _room(size: int, width: int) -> tuple[Words, Ints, NDArray[np.int32]]:
    """Room for codes and counts, and an empty table of twice the size."""
    return np.empty((size, width), np.uint64), np.zeros(size, np.int64), np.full(2 * size, -1, np.int32)


@compiled
def _meet(
    words: Words,
    kind: int,
    listed: Ints,
    marked: NDArray[np.bool_],
    place: int,
    span: int,
    size: int,
    codes: Words,
    counts: Ints,
    table: NDArray[np.int32],
    members: Members,
    first: int,
) -> tuple[int, int]:
    """Count the rows of each code from a place on, while new codes fit: where to go on, and how many codes there are.

    With room for ``members`` each row, counted from ``first``, is written where the count of its code stands.
    """
    while place < span and (size < len(codes) or len(members)):
        row = listed[place] if kind == LISTED else place
        place += 1
        if kind == MARKED and not marked[row]:
            continue
        mixed = np.uint64(0)
        for word in range(words.shape[1]):
            mixed = (mixed ^ words[row, word]) * MULTIPLIER
            mixed ^= mixed >> np.uint64(29)
        slot = np.intp(mixed & np.uint64(len(table) - 1))
        while table[slot] >= 0:
            differ = np.uint64(0)
            for word in range(words.shape[1]):
                differ |= codes[table[slot], word] ^ words[row, word]
            if differ == 0:
                break
            slot = (slot + 1) & (len(table) - 1)
        if table[slot] < 0:
            table[slot] = size
            for word in range(words.shape[1]):
                codes[size, word] = words[row, word]
            size += 1
        group = table[slot]
        if len(members):
            members[counts[group]] = row + first
        counts[group] += 1
    return place, size


@compiled
def _expand(distances: Shorts, groups: Ints, starts: Ints, members: Members, near: Shorts, rows: Ints) -> None:
    """The nearest rows of the groups that each query found; groups of one distance are merged by row."""
    k = rows.shape[1]
    heads = np.empty((groups.shape[1], 3), np.int64)  # next row, its place, where its group ends
    for query in range(len(rows)):
        filled = level = 0
        while filled < k:
            open_groups = 0
            distance = distances[query, level]
            while level < groups.shape[1] and distances[query, level] == distance:
                group = groups[query, level]
                heads[open_groups, 0] = members[starts[group]]
                heads[open_groups, 1], heads[open_groups, 2] = starts[group], starts[group + 1]
                open_groups, level = open_groups + 1, level + 1
            while filled < k and open_groups:  # the heads are a heap: groups come in order of their first rows
                near[query, filled], rows[query, filled] = distance, heads[0, 0]
                filled += 1
                heads[0, 1] += 1
                if heads[0, 1] < heads[0, 2]:
                    heads[0, 0] = members[heads[0, 1]]
                else:
                    open_groups -= 1
                    heads[0] = heads[open_groups]
                _sift(heads, open_groups)


@compiled
def _sift(heads: Ints, size: int) -> None:
    """Let the first head sink to its place among ``size`` heads that are otherwise a heap."""
    place = 0
    while 2 * place + 1 < size:
        child = 2 * place + 1
        if child + 1 < size and heads[child + 1, 0] < heads[child, 0]:
            child += 1
        if heads[place, 0] <= heads[child, 0]:
            return
        for column in range(3):
            heads[place, column], heads[child, column] = heads[child, column], heads[place, column]
        place = child


@compiled
def _fill(distances: Shorts, groups: Ints, starts: Ints, members: Members, keys: Ints) -> None:
    """The keys of all rows of some groups."""
    filled = 0
    for i in range(len(groups)):
        for place in range(starts[groups[i]], starts[groups[i] + 1]):
            keys[filled] = np.int64(distances[i]) << ROW_BITS | np.int64(members[place])
            filled += 1
