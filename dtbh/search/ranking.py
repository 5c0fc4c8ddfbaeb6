"""By what hits are ordered: bits, bits that are weighed, vectors, and the first hits as examples."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import numpy as np

from dtbh.codes import HashCodes, word_count
from dtbh.errors import ConfigError
from dtbh.index.base import Index
from dtbh.index.rescoring import NO_CANDIDATES

CANDIDATES, EXAMPLES = 1000, 20
"""Chosen as docs/search.md tells, under "Expanded queries"."""


@dataclass(frozen=True)
class Ranking:
    """What `Index.search` is told of the order; by the bits alone where nothing is said.

    Attributes:
        rescore: Candidates that are ordered by their vectors; None for none.
        expand: First hits that are taken as examples, of those that are rescored; None for none.
        asymmetric: Whether bits are weighed by how sure the query is of them.

    Raises:
        ConfigError: ``expand`` without ``rescore``.
    """

    rescore: int | None = None
    expand: int | None = None
    asymmetric: bool = False

    def __post_init__(self) -> None:
        if self.expand is not None and self.rescore is None:
            raise ConfigError(NO_CANDIDATES)

    def arguments(self) -> dict[str, Any]:
        """Those of `Index.search`; of a package's own engine only what is asked for."""
        numbers = {"rescore": self.rescore, "expand": self.expand, "asymmetric": self.asymmetric or None}
        return {name: value for name, value in numbers.items() if value is not None}

    def check(self, index: Index, name: str = "") -> None:
        """Raise `ConfigError`, naming the index, where it can't order so, as one of an own engine may not."""
        name = name or index.name
        if self.rescore is not None and index.vector_dim is None:
            raise ConfigError(f"{name}: keeps no vectors, so nothing can be rescored; index again with --vectors")
        if self.expand is not None:
            _try(index, f"{name}: its engine can't expand queries", "expand", rescore=1, expand=1)
        if self.asymmetric:
            _try(index, f"{name}: its engine can't weigh bits", "asymmetric", asymmetric=True)


BY_BITS = Ranking()
BEST = (Ranking(CANDIDATES, EXAMPLES, asymmetric=True), Ranking(CANDIDATES, EXAMPLES), BY_BITS)
"""Orders, that first which finds most: with the first hits as examples, bits weighed if that can be done; by bits."""


def best(index: Index) -> Ranking:
    """The first of `BEST` that an index can do: one that keeps vectors takes examples."""
    for ranking in BEST[:-1]:
        with suppress(ConfigError):
            ranking.check(index)
            return ranking
    return BY_BITS


def chosen(best: Ranking, rescore: int | None, expand: int | None, asymmetric: bool | None) -> Ranking:
    """What somebody asked for, None where they did not say, and 0 for none.

    With ``rescore`` it is what was said and no more; without, the others change only themselves in the best order.

    Raises:
        ConfigError: ``expand`` with a ``rescore`` of 0.
    """
    if rescore is not None:
        return Ranking(rescore or None, expand or None, bool(asymmetric))
    return Ranking(
        best.rescore or (CANDIDATES if expand else None),
        best.expand if expand is None else expand or None,
        best.asymmetric if asymmetric is None else asymmetric,
    )


def _try(index: Index, problem: str, without: str, **arguments: Any) -> None:
    """Raise `ConfigError` if a search for nothing shows that the index does not know these arguments."""
    words, weights = np.empty((0, word_count(index.bits)), np.uint64), np.empty((0, index.bits), np.uint8)
    vectors = None if index.vector_dim is None else np.empty((0, index.vector_dim), np.int16)
    nothing = HashCodes(words, index.bits, index.encoder, (), vectors, weights)
    try:
        index.search(nothing, 1, find="any", **arguments)
    except TypeError as error:
        raise ConfigError(f"{problem} ({error}); search without {without}") from error
