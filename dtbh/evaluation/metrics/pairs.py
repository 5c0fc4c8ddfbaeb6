"""Retrieval of the true pair: which gallery items are a query's own, and at which rank the first of them stands.

A query has few items of its own, so they are looked up instead of searched for.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from dtbh.data.manifest import Item
from dtbh.evaluation.metrics import ranking
from dtbh.evaluation.metrics.counts import Block, Floats, Ints, group_numbers

AT = (1, 5, 10)


@dataclass(frozen=True, eq=False)
class Links:
    """Which gallery items are whose, one entry a link, ordered by query.

    Attributes:
        queries: The query's row, int64 [m].
        gallery: The gallery item's row, int64 [m].
    """

    queries: Ints
    gallery: Ints

    def __len__(self) -> int:
        return len(self.queries)

    def relevant(self, block: Block) -> Ints:
        """How many of each query's own items stand at each distance, int64 [b, d]; the block is over all items."""
        first, last = np.searchsorted(self.queries, [block.rows.start, block.rows.stop])
        queries = self.queries[first:last] - block.rows.start
        n, width = block.total.shape
        cells = queries * width + block.at(queries, self.gallery[first:last])
        return np.bincount(cells, minlength=n * width).reshape(n, width)


def links(query_pairs: Ints, gallery_pairs: Ints, own: Ints) -> Links:
    """The links by pair numbers, int [q] and [n], negative where not known; ``own`` as in ``counts.each_block``."""
    order = np.argsort(gallery_pairs, kind="stable")
    ordered = gallery_pairs[order]
    first = np.searchsorted(ordered, query_pairs, side="left")
    count = np.where(query_pairs < 0, 0, np.searchsorted(ordered, query_pairs, side="right") - first)
    queries = np.repeat(np.arange(len(query_pairs)), count)
    within = np.arange(len(queries)) - np.repeat(np.cumsum(count) - count, count)
    gallery = order[np.repeat(first, count) + within]
    others = gallery != own[queries]
    return Links(queries[others], gallery[others])


def links_of(queries: Sequence[Item], gallery: Sequence[Item], own: Ints) -> Links:
    """The links of items."""
    return links(*group_numbers([item.pair for item in queries], [item.pair for item in gallery]), own)


def measured(relevant: Ints, total: Ints, length: int) -> dict[str, Floats]:
    """The figures of each query of a block, by name: [b] or [b, k]; NaN where no item of its pair is there.

    Args:
        relevant: Its own items at each distance, int64 [b, d].
        total: All items at each distance, int64 [b, d].
        length: Of the shortest ranking of all queries.
    """
    at = [k for k in AT if k <= length]
    chance = ranking.all_tied(relevant, total)
    return {
        "pair_hit": ranking.hit_at(relevant, total, at),
        "chance_pair_hit": ranking.hit_at(*chance, at),
        "pair_rank": ranking.first_rank(relevant, total),
        "chance_pair_rank": ranking.first_rank(*chance),
    }
