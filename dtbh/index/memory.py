"""The index in memory, for codes that were just made or read."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace

import numpy as np

from dtbh.codes import HashCodes, check_same, check_vectors, whole_numbers
from dtbh.data.manifest import MODALITIES, Item
from dtbh.errors import CodesError
from dtbh.index.base import refuse_known, refuse_unknown
from dtbh.index.exact import ExactIndex, Footprint, Rows, View

NAME = "the index in memory"


class MemoryIndex(ExactIndex):
    """An index in memory, of codes that were just made or read.

    Args:
        codes: Codes and items with unique ids; none is as good.

    Raises:
        CodesError: An id stands twice.
    """

    def __init__(self, codes: HashCodes) -> None:
        self._adding = threading.Lock()
        self._now = _Memory(codes, np.empty(0, np.int64))

    @property
    def name(self) -> str:
        """Where it is, for messages."""
        return NAME

    def _view(self) -> View:
        return self._now

    def add(self, codes: HashCodes, /) -> int:
        """As `Index.add`; the whole is copied, so add many at once."""
        with self._adding:
            now = self._now
            check_same(codes, now.bits, now.encoder, of=self.name)
            check_vectors(codes, now.vector_dim, of=self.name)
            refuse_known(self.name, (item.id for item in codes.items if now.row(item.id) is not None))
            self._now = _Memory(HashCodes.concatenate([now.codes, codes]), now.removed)
        return len(codes)

    def remove(self, ids: Iterable[str], /) -> int:
        """As `Index.remove`."""
        with self._adding:
            found = {id: self._now.row(id) for id in ids}
            refuse_unknown(self.name, (id for id, row in found.items() if row is None))
            rows = np.array([row for row in found.values() if row is not None], np.int64)
            self._now = _Memory(self._now.codes, np.union1d(self._now.removed, rows))
        return len(rows)


class _Memory(View):
    """What `MemoryIndex` holds between two changes."""

    def __init__(self, codes: HashCodes, removed: Rows) -> None:
        super().__init__()
        codes = replace(codes, weights=None)  # those of what is found mean nothing
        self.name, self.codes, self.removed = NAME, codes, removed
        self.bits, self.encoder, self.words = codes.bits, codes.encoder, codes.words
        self.vectors = None if codes.vectors is None else whole_numbers(codes.vectors, np.int8)
        gone = set(removed.tolist())
        self._rows: dict[str, int] = {}
        for row, item in enumerate(codes.items):
            if row not in gone and self._rows.setdefault(item.id, row) != row:
                raise CodesError(f"{self.name}: the id {item.id} stands more than once; give each item its own")

    def names(self) -> tuple[str, ...]:
        return tuple(sorted({name for item in self.codes.items for name in item.fields}))

    def values(self, field: str) -> tuple[str, ...]:
        if field == "modality":
            return tuple(name for name in MODALITIES if self.matching(field, name).size)
        return tuple(sorted({value for item in self.codes.items if (value := _value(item, field)) is not None}))

    def matching(self, field: str, value: str) -> Rows:
        return np.flatnonzero([_value(item, field) == value for item in self.codes.items])

    def footprints(self) -> Iterator[tuple[int, Footprint]]:
        for row, item in enumerate(self.codes.items):
            if item.footprint is not None:
                yield row, item.footprint

    def row(self, id: str) -> int | None:
        return self._rows.get(id)

    def stored(self, rows: Sequence[int]) -> tuple[Item, ...]:
        return tuple(self.codes.items[row] for row in rows)


def _value(item: Item, field: str) -> str | None:
    """A field of an item, or of its ``fields``."""
    value = getattr(item, field) if field in Item.__slots__ else item.fields.get(field)
    return None if value is None else str(value)
