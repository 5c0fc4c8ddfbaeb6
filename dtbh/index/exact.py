"""Exact search over codes that numpy can see, in memory or memory-mapped.

A search works on one view from its start to its end, so that it is right whatever is added or removed meanwhile.
"""

from __future__ import annotations

import threading
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from dtbh.codes import HashCodes, check_same, whole_numbers
from dtbh.data.manifest import BETWEEN, MODALITIES, Item, join_labels, split_labels
from dtbh.errors import CodesError
from dtbh.index.base import SEVERAL, Condition, Find, checked, conditions
from dtbh.index.bounds import BOX, bounds_of, meets, parse_box
from dtbh.index.hamming.rows import Found
from dtbh.index.hamming.search import Searcher, check_k
from dtbh.index.rescoring import check_rescore, rescored
from dtbh.index.result import SearchResult

KEPT = 2  # times its own rows that a view remembers as having passed some filter
SEARCHERS = 4  # filters of which a view remembers what searching them has shown
Rows = NDArray[np.int64]
Footprint = Sequence[tuple[float, float]]


class View(ABC):
    """One state of an index.

    Attributes:
        name: Where the index is, for messages.
        bits: Length of a code.
        encoder: Fingerprint of the encoder.
        words: uint64 [n, ceil(bits / 64)], read-only; also of rows that were removed.
        removed: The rows that were removed, int64 [m], ascending.
        vectors: int8 [n, d], read-only, where they are kept.
    """

    name: str
    bits: int
    encoder: str
    words: NDArray[np.uint64]
    removed: Rows
    vectors: NDArray[np.int8] | None

    def __init__(self) -> None:
        self.vectors = None
        self._kept: dict[tuple[Condition, ...], Rows] = {}
        self._searchers: dict[tuple[Condition, ...], Searcher] = {}
        self._keeping = threading.Lock()
        self._bounds: NDArray[np.float64] | None = None
        self._combinations: dict[str, tuple[str, ...]] = {}  # the stored values that are several, by field

    @abstractmethod
    def names(self) -> tuple[str, ...]:
        """The names in the items' ``fields``."""

    @abstractmethod
    def values(self, field: str) -> tuple[str, ...]:
        """The values of a field, sorted; some may be of removed items only."""

    @abstractmethod
    def matching(self, field: str, value: str) -> Rows:
        """The rows with this value, ascending, removed ones too."""

    @abstractmethod
    def footprints(self) -> Iterable[tuple[int, Footprint]]:
        """The rows that have a footprint, ascending, removed ones too."""

    @abstractmethod
    def row(self, id: str) -> int | None:
        """The row of an item that is not removed."""

    @abstractmethod
    def stored(self, rows: Sequence[int]) -> tuple[Item, ...]:
        """The items at these rows, in this order."""

    @property
    def vector_dim(self) -> int | None:
        """How many numbers a vector has; None where none are kept."""
        return None if self.vectors is None else self.vectors.shape[1]

    def number(self, field: str, value: str) -> int:
        """How many items have this value."""
        return len(self.having([(field, value)]))

    def __len__(self) -> int:
        return len(self.words) - len(self.removed)

    def live(self, field: str) -> tuple[str, ...]:
        """The values of a field that items have which are not removed; of labels that stand together each."""
        values = self.values(field)
        if field in SEVERAL:
            values = tuple(sorted({label for value in values for label in split_labels(value)}))
        return values if not self.removed.size else tuple(v for v in values if self.having([(field, v)]).size)

    def spellings(self, field: str, value: str) -> list[str]:
        """The stored values that a value asked for stands for: of labels and words also the combinations it is in."""
        if field not in SEVERAL:
            return [value]
        if field not in self._combinations:
            self._combinations[field] = tuple(stored for stored in self.values(field) if BETWEEN in stored)
        several = self._combinations[field]
        return [value, *(one for one in several if one != value and value in (*split_labels(one), join_labels(one)))]

    def held(self) -> frozenset[str]:
        """The modalities of the items."""
        return frozenset(self.live("modality"))

    def passing(self, found: Sequence[Condition]) -> Rows | None:
        """The rows that pass all conditions and are not removed, ascending; None where all rows do."""
        return self.having(found) if found or self.removed.size else None

    def items(self, rows: Iterable[int]) -> tuple[Item, ...]:
        """The items at these rows, as `Index.items` has it."""
        chosen = [int(row) for row in rows]
        if chosen and not 0 <= min(chosen) <= max(chosen) < len(self.words):
            last = len(self.words) - 1
            raise CodesError(f"{self.name}: rows go from 0 to {last}, asked for {min(chosen)} to {max(chosen)}")
        if chosen and self.removed.size:
            places = np.minimum(np.searchsorted(self.removed, chosen), self.removed.size - 1)
            if (gone := np.flatnonzero(self.removed[places] == chosen)).size:
                raise CodesError(f"{self.name}: row {chosen[gone[0]]} was removed")
        return self.stored(chosen)

    def having(self, found: Sequence[Condition]) -> Rows:
        """The rows that pass all conditions, or all rows, ascending; without those that were removed."""
        key = tuple(found)
        with self._keeping:
            if (kept := self._kept.get(key)) is not None:
                return kept
        rows = np.flatnonzero(self._passes(found))
        with self._keeping:
            self._kept[key] = rows
            while len(self._kept) > 1 and sum(map(len, self._kept.values())) > KEPT * len(self.words):
                del self._kept[next(iter(self._kept))]
        return rows

    def searcher(self, found: Sequence[Condition]) -> Searcher:
        """What searches the rows that pass all conditions, with what it has learned about their codes."""
        key = tuple(found)
        with self._keeping:
            if (kept := self._searchers.pop(key, None)) is not None:
                self._searchers[key] = kept  # the last to go
                return kept
        searcher = Searcher(self.words, rows=self._passes(found) if found or self.removed.size else None)
        with self._keeping:
            while len(self._searchers) >= SEARCHERS:
                del self._searchers[next(iter(self._searchers))]
            self._searchers[key] = searcher
        return searcher

    def _meeting(self, box: str) -> Rows:
        """The rows whose footprints meet a box."""
        if self._bounds is None:
            found = [(row, *bounds_of(footprint)) for row, footprint in self.footprints()]
            self._bounds = np.array(found, np.float64).reshape(-1, 5)
        rows: Rows = self._bounds[meets(self._bounds[:, 1:], parse_box(box)), 0].astype(np.int64)
        return rows

    def _passes(self, found: Sequence[Condition]) -> NDArray[np.bool_]:
        """For each row whether it passes all conditions and is not removed."""
        passes = np.ones(len(self.words), np.bool_)
        passes[self.removed] = False
        for field, value in found:
            here = np.zeros_like(passes)
            if field == BOX:
                here[self._meeting(value)] = True
            else:
                for stored in self.spellings(field, value):
                    here[self.matching(field, stored)] = True
            passes &= here
        return passes


class ExactIndex(ABC):
    """An index whose codes numpy can see: everything of `Index` but adding and removing."""

    @abstractmethod
    def _view(self) -> View:
        """The state that a question is answered from."""

    @property
    @abstractmethod
    def name(self) -> str:
        """Where it is, for messages."""

    @property
    def bits(self) -> int:
        """Length of a code."""
        return self._view().bits

    @property
    def encoder(self) -> str:
        """Fingerprint of the encoder that made the codes."""
        return self._view().encoder

    @property
    def model(self) -> Path | None:
        """The run that holds the encoder, where it is known."""
        return None

    @property
    def vector_dim(self) -> int | None:
        """As `Index.vector_dim`."""
        return self._view().vector_dim

    def __len__(self) -> int:
        return len(self._view())

    def labels(self) -> tuple[str, ...]:
        """As `Index.labels`."""
        return self._view().live("label")

    def values(self, field: str, /) -> tuple[str, ...]:
        """As `Index.values`."""
        return self._view().live(field)

    def counts(self) -> dict[str, int]:
        """As `Index.counts`."""
        view = self._view()
        return {name: count for name in MODALITIES if (count := view.number("modality", name))}

    def item(self, id: str, /) -> Item:
        """As `Index.item`."""
        return self.codes([id]).items[0]

    def rows(self, where: Mapping[str, str] | None = None) -> Rows:
        """As `Index.rows`."""
        view = self._view()
        rows = view.passing(checked(where, view.names))
        return np.arange(len(view.words)) if rows is None else rows.copy()

    def places(self, ids: Iterable[str], /) -> list[int | None]:
        """As `Index.places`."""
        view = self._view()
        return [view.row(id) for id in ids]

    def items(self, rows: Iterable[int], /) -> tuple[Item, ...]:
        """As `Index.items`."""
        return self._view().items(rows)

    def at(self, rows: Iterable[int], /) -> HashCodes:
        """As `Index.at`."""
        return _at(self._view(), [int(row) for row in rows])

    def words_at(self, rows: Iterable[int], /) -> NDArray[np.uint64]:
        """As `Index.words_at`."""
        return self._view().words[np.array([*rows], np.int64)]

    def codes(self, ids: Sequence[str], /) -> HashCodes:
        """As `Index.codes`."""
        view = self._view()
        rows = [row for id in ids if (row := view.row(id)) is not None]
        if len(rows) < len(ids):
            unknown = next(id for id in ids if view.row(id) is None)
            raise CodesError(f"{view.name}: no item has the id {unknown!r}")
        return _at(view, rows)

    def search(
        self, codes: HashCodes, k: int = 10, *, find: Find | None = None, where: Mapping[str, str] | None = None,
        rescore: int | None = None, expand: int | None = None, asymmetric: bool = False,
    ) -> SearchResult:  # fmt: skip
        """As `Index.search`."""
        check_k(k)
        view = self._view()
        searcher = self._asked(view, codes, find, where)
        check_rescore(rescore, codes, view.vector_dim, of=self.name, expand=expand)
        distances, found, similarities = _nearest(view, searcher, codes, max(k, rescore or 0), asymmetric)
        if rescore is not None:
            assert codes.vectors is not None
            assert view.vectors is not None
            likeness = 1 - 2 * distances / codes.bits if similarities is None else similarities
            distances, found, similarities = rescored(
                codes.vectors, distances, found, view.vectors, k, expand=expand, likeness=likeness
            )
        items = view.items(found.ravel().tolist())
        width = found.shape[1]
        split = tuple(items[query * width : (query + 1) * width] for query in range(len(codes)))
        return SearchResult(distances, found, split, similarities=similarities)

    def within(
        self, codes: HashCodes, radius: int, *, find: Find | None = None, where: Mapping[str, str] | None = None
    ) -> tuple[SearchResult, ...]:
        """As `Index.within`."""
        view = self._view()
        answers = self._asked(view, codes, find, where).within(codes.words, radius)
        return tuple(_result(view, found) for found in answers)

    def _asked(self, view: View, codes: HashCodes, find: Find | None, where: Mapping[str, str] | None) -> Searcher:
        """What searches the rows that the queries ask for."""
        check_same(codes, view.bits, view.encoder, of=self.name)
        return view.searcher(conditions(codes, find, where, names=view.names, held=view.held))


def _nearest(
    view: View, searcher: Searcher, codes: HashCodes, k: int, asymmetric: bool
) -> tuple[NDArray[np.int32], Rows, NDArray[np.float32] | None]:
    """Distances and rows of the nearest k, [q, k], and how similar they are by weighted bits, where these decide."""
    if not asymmetric:
        return *searcher.nearest(codes.words, k), None
    if codes.weights is None:
        raise CodesError(
            "codes of items, or read from a folder, don't say how sure they are of their bits; "
            "encode the query again, or search without asymmetric"
        )
    weighted, found = searcher.asymmetric(codes.words, codes.weights, k)
    differ = np.bitwise_count(view.words[found] ^ codes.words[:, None]).sum(axis=2, dtype=np.int32)
    whole = codes.weights.sum(axis=1, dtype=np.int64)[:, None]
    return differ, found, ((whole - 2 * weighted) / np.maximum(whole, 1)).astype(np.float32)


def _at(view: View, rows: list[int]) -> HashCodes:
    """The codes at these rows."""
    items, index = view.items(rows), np.array(rows, np.int64)
    vectors = None if view.vectors is None else whole_numbers(view.vectors[index], np.int16)
    return HashCodes(view.words[index], view.bits, view.encoder, items, vectors)


def _result(view: View, answer: Found) -> SearchResult:
    """One query's answer as a value."""
    distances, found = answer
    return SearchResult(distances[None], found[None], (view.items(found.tolist()),))
