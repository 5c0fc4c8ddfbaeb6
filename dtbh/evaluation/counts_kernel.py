"""The counts of ``metrics.counts`` in compiled code: each gallery item is looked at once a query.

It does without the global interpreter lock, so blocks of queries run in threads. Importing this needs numba.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import types
from numba.extending import intrinsic

from dtbh.utils.compiled import compiled

SEEN = 1 << 32  # counts are kept two in a word: all items below, relevant ones above


def _emit_ones(typing: Any, word: Any) -> Any:
    """How many bits of a word are set: the processor's own instruction."""
    return types.uint64(types.uint64), lambda context, builder, signature, args: builder.ctpop(args[0])


_ones: Any = intrinsic(_emit_ones)


@compiled
def count(
    queries: Any, gallery: Any, query_labels: Any, gallery_labels: Any, own: Any, relevant: Any, total: Any,
    shares: Any, stable: Any, shared: Any, gains: Any,
) -> None:  # fmt: skip
    """Fill in the counts of a block of queries.

    Args:
        queries: uint64 [q, w].
        gallery: uint64 [w, n], one word of all codes after the other.
        query_labels: int32 [q].
        gallery_labels: int32 [n].
        own: int64 [q], as in ``counts.each_block``.
        relevant: int64 [q, bits + 1], zeros.
        total: int64 [q, bits + 1], zeros.
        shares: float64 [q, c], zeros.
        stable: float64 [q].
        shared: None, or ``labels.SharedLabels.table``; a compilation is for one of them alone.
        gains: int64 [q, bits + 1], zeros; of no rows without ``shared``.
    """
    words, n = gallery.shape
    out = total.shape[1]  # the distance of what is out of the ranking
    row, found = np.empty(n, np.uint16), np.empty(n, np.uint16)
    seen, tally, weights = np.empty(n, np.int64), np.empty(out + 1, np.int64), np.empty(out + 1)
    earned = np.empty(out + 1, np.int64)
    for query in range(len(queries)):
        for j in range(n):
            row[j] = _ones(queries[query, 0] ^ gallery[0, j])
        for word in range(1, words):
            for j in range(n):
                row[j] += _ones(queries[query, word] ^ gallery[word, j])
        if own[query] >= 0:
            row[own[query]] = out
        tally[:] = 0
        hits, label = 0, query_labels[query]
        if shared is None:
            for j in range(n):
                distance = row[j]
                if gallery_labels[j] == label and label >= 0:
                    found[hits], seen[hits] = distance, tally[distance]
                    hits += 1
                    tally[distance] += SEEN
                tally[distance] += 1
        else:
            earned[:] = 0
            mine = shared[label]  # of -1 the last: zeros, as its last place is
            for j in range(n):
                distance, gain = row[j], mine[gallery_labels[j]]
                if gain > 0:
                    found[hits], seen[hits] = distance, tally[distance]
                    hits += 1
                    tally[distance] += SEEN
                    earned[distance] += gain
                tally[distance] += 1
            gains[query] = earned[:out]
        for distance in range(out):
            total[query, distance] = tally[distance] % SEEN
            relevant[query, distance] = tally[distance] // SEEN
        _in_order(query, found[:hits], seen[:hits], relevant, total, stable)
        if shares.shape[1]:
            _in_front(query, row, gallery_labels, relevant, total, weights, shares)


@compiled
def _in_order(query: int, found: Any, seen: Any, relevant: Any, total: Any, stable: Any) -> None:
    """Average precision in the gallery's order: an item's rank is what is nearer and what was seen before it."""
    nearer = np.zeros(total.shape[1] + 1, np.int64)
    for distance in range(total.shape[1]):
        nearer[distance + 1] = nearer[distance] + total[query, distance] + SEEN * relevant[query, distance]
    summed, count = 0.0, 0
    for hit in range(len(found)):
        if found[hit] < total.shape[1]:
            before = nearer[found[hit]] + seen[hit]
            summed += (before // SEEN + 1) / (before % SEEN + 1)
            count += 1
    stable[query] = summed / count if count else np.nan


@compiled
def _in_front(query: int, row: Any, labels: Any, relevant: Any, total: Any, weights: Any, shares: Any) -> None:
    """The share of each class among the first R items; weights as in ``counts.top_weights``."""
    wanted, reached, last = relevant[query].sum(), 0, -1
    weights[:] = 0.0
    for distance in range(total.shape[1]):
        here = total[query, distance]
        if here and reached < wanted:
            weights[distance] = min(wanted - reached, here) / here
            last = distance
        reached += here
    for j in range(len(row)):
        if row[j] <= last and labels[j] >= 0:
            shares[query, labels[j]] += weights[row[j]] / wanted
