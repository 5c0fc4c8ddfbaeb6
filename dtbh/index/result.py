"""What a search gives: hits in order, one query and many in the same type."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dtbh.data.manifest import Item
from dtbh.errors import CodesError


@dataclass(frozen=True, slots=True)
class Hit:
    """One item that was found.

    Attributes:
        rank: From 1.
        distance: Number of bits that differ from the query's, from 0.
        item: The item, with an absolute path.
    """

    rank: int
    distance: int
    item: Item

    def to_dict(self) -> dict[str, Any]:
        """Rank and distance, then the item's known fields."""
        return {"rank": self.rank, "distance": self.distance, **self.item.to_dict()}


@dataclass(frozen=True, eq=False)
class SearchResult:
    """The nearest items of q queries, ordered by distance and, where that ties, by order of insertion.

    Attributes:
        distances: int32 [q, k]; k is what was asked for, or the number of items that passed, if fewer.
        rows: int64 [q, k], the items' rows in the archive.
        items: q tuples of k items.
    """

    distances: NDArray[np.int32]
    rows: NDArray[np.int64]
    items: tuple[tuple[Item, ...], ...]

    def __post_init__(self) -> None:
        if self.distances.dtype != np.int32 or self.rows.dtype != np.int64:
            raise CodesError(
                f"a result needs int32 distances and int64 rows, found {self.distances.dtype} and {self.rows.dtype}"
            )
        if self.distances.ndim != 2 or self.distances.shape != self.rows.shape:
            raise CodesError(
                f"a result needs distances and rows [q, k], found {self.distances.shape}, {self.rows.shape}"
            )
        queries, k = self.rows.shape
        if len(self.items) != queries or any(len(items) != k for items in self.items):
            raise CodesError(f"a result needs items for {queries} queries with {k} hits each")

    def __len__(self) -> int:
        """The number of queries."""
        return len(self.items)

    def __iter__(self) -> Iterator[tuple[Hit, ...]]:
        """The hits of each query."""
        return (self.hits(query) for query in range(len(self)))

    def hits(self, query: int = 0) -> tuple[Hit, ...]:
        """The hits of one query, nearest first."""
        pairs = zip(self.distances[query], self.items[query], strict=True)
        return tuple(Hit(rank, int(distance), item) for rank, (distance, item) in enumerate(pairs, start=1))

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON: ``{"queries": [{"hits": [{"rank", "distance", "id", ...}]}]}``."""
        return {"queries": [{"hits": [hit.to_dict() for hit in hits]} for hits in self]}
