"""What a search gives: hits in order, one query and many in the same type."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dtbh.data.manifest import Item
from dtbh.errors import CodesError
from dtbh.models.confidence import Strength, likeliest, strength

SHOWN = 10  # queries, and hits of each, in a notebook


@dataclass(frozen=True, slots=True)
class Hit:
    """One item that was found.

    Attributes:
        rank: From 1.
        distance: Number of bits that differ from the query's, from 0.
        item: The item, with an absolute path.
        probability: That it is right, 0 to 1; None where nobody knows.
        similarity: Cosine of its vector to the query's, -1 to 1, where the search was rescored; where it was asymmetric
            alone, the weights of bits that agree less those of bits that differ, as a share of all; where it was
            expanded, the mean of this, each bit weighing one unless it was asymmetric too, and of the cosine to the
            expanded query; else None.
    """

    rank: int
    distance: int
    item: Item
    probability: float | None = None
    similarity: float | None = None

    def to_dict(self) -> dict[str, Any]:
        """Rank, distance, similarity and probability, then the item's known fields."""
        known = {} if self.similarity is None else {"similarity": round(self.similarity, 4)}
        known |= {} if self.probability is None else {"probability": self.probability}
        return {"rank": self.rank, "distance": self.distance, **known, **self.item.to_dict()}


@dataclass(frozen=True, eq=False)
class SearchResult:
    """The nearest items of q queries, ordered by distance and, where that ties, by order of insertion.

    Those of a search with ``rescore``, or ``asymmetric``, are ordered by similarity first, the most similar in front.

    Attributes:
        distances: int32 [q, k]; k is what was asked for, or the number of items that passed, if fewer.
        rows: int64 [q, k], the items' rows in the archive.
        items: q tuples of k items.
        probabilities: q tuples of k probabilities, 0 to 1, that an item is right, None where nobody knows; empty for
            a search by codes alone, without the model that made them.
        similarities: float32 [q, k], as `Hit` has them.
    """

    distances: NDArray[np.int32]
    rows: NDArray[np.int64]
    items: tuple[tuple[Item, ...], ...]
    probabilities: tuple[tuple[float | None, ...], ...] = ()
    similarities: NDArray[np.float32] | None = None

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
        if self.probabilities and [len(row) for row in self.probabilities] != [k] * queries:
            raise CodesError(f"a result needs probabilities for {queries} queries with {k} hits each, or none")
        if self.similarities is not None and self.similarities.shape != (queries, k):
            raise CodesError(f"a result needs similarities [{queries}, {k}], found {list(self.similarities.shape)}")

    def __len__(self) -> int:
        """The number of queries."""
        return len(self.items)

    def __iter__(self) -> Iterator[tuple[Hit, ...]]:
        """The hits of each query."""
        return (self.hits(query) for query in range(len(self)))

    def hits(self, query: int = 0) -> tuple[Hit, ...]:
        """The hits of one query, nearest first."""
        items = self.items[query]
        sure = self.probabilities[query] if self.probabilities else [None] * len(items)
        alike = [None] * len(items) if self.similarities is None else self.similarities[query].tolist()
        found = zip(self.distances[query].tolist(), items, sure, alike, strict=True)
        return tuple(Hit(rank, *hit) for rank, hit in enumerate(found, start=1))

    def strength(self, query: int = 0) -> Strength | None:
        """One query's answer in a word, by its likeliest hit; None where nobody knows."""
        return strength(likeliest(hit.probability for hit in self.hits(query)))

    def _repr_html_(self) -> str:
        """A row of tiles and players a query, as notebooks show it; of many queries the first."""
        from html import escape

        from dtbh.data.inline import media_html

        def card(hit: Hit) -> str:
            said = f"<b>{hit.rank}</b> distance {hit.distance}<br>{escape(hit.item.label or hit.item.id)}"
            return f'<div style="width: 11em">{media_html(hit.item)}{said}</div>'

        row = '<div style="display: flex; flex-wrap: wrap; gap: .7em">'
        rows = [row + "".join(map(card, self.hits(query)[:SHOWN])) + "</div>" for query in range(min(len(self), SHOWN))]
        more = f"<p>and {len(self) - SHOWN} queries more</p>" if len(self) > SHOWN else ""
        return "<hr>".join(rows) + more

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON: ``{"queries": [{"strength", "hits": [{"rank", "distance", "id", ...}]}]}``."""
        answers = []
        for query, hits in enumerate(self):
            known = self.strength(query)
            answers.append({**({"strength": known} if known else {}), "hits": [hit.to_dict() for hit in hits]})
        return {"queries": answers}
