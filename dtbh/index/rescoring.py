"""The second stage of a search: the nearest codes, ordered by the cosine of their vectors to the query's.

A query may be expanded by its first hits, which show what it means here (`dtbh.index.expansion`).

Vectors are whole numbers, so that a product of two is exact in whatever order it is summed up: every engine, compiled
or not, and any number of queries at once, gives the same order.
"""

from __future__ import annotations

import functools
from types import ModuleType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dtbh.codes import HashCodes
from dtbh.errors import CodesError, ConfigError
from dtbh.index.expansion import expand_queries
from dtbh.index.hamming.search import compiled_already
from dtbh.utils.packages import where_compiled

CELLS = 1 << 22  # numbers of candidates that are worked on at once in NumPy: 32 MB as float64
SAME = 0.95
"""A cosine from which on a candidate is the query itself, or all but, as of an image its own tile: that comes first,
whatever the query is taken to mean."""
NO_CANDIDATES = "expand goes with rescore, the number of candidates, as in rescore=1000 or --rescore 1000"


def check_rescore(rescore: int | None, codes: HashCodes, dim: int | None, *, of: str, expand: int | None) -> None:
    """Raise unless a search may be rescored, and expanded.

    Args:
        rescore: How many candidates; None where it is not wanted.
        expand: By how many hits the query is expanded; None where it is not.
        codes: The queries.
        dim: How many numbers a vector of the index has; None where it keeps none.
        of: The index, for messages.

    Raises:
        ConfigError: Not a whole number from 1, or expanded without candidates.
        CodesError: Vectors are missing on one side, or of another dimension.
    """
    if rescore is None and expand is None:
        return
    if rescore is None:
        raise ConfigError(NO_CANDIDATES)
    for number, name in (
        (rescore, "rescore, the number of candidates,"),
        (expand, "expand, the number of first hits,"),
    ):
        if number is None:
            continue
        if isinstance(number, bool) or not isinstance(number, (int, np.integer)) or number < 1:
            raise ConfigError(f"{name} must be a whole number from 1, found {number!r}")
    if dim is None:
        raise CodesError(f"{of}: keeps no vectors, so nothing can be rescored; index again with --vectors")
    if codes.vector_dim is None:
        raise CodesError("the queries have no vectors, so that nothing can be rescored; encode them with vectors=True")
    if codes.vector_dim != dim:
        raise CodesError(f"the queries' vectors have {codes.vector_dim} numbers, those of {of} {dim}; use the same run")


def rescored(
    queries: NDArray[np.int16],
    distances: NDArray[np.int32],
    rows: NDArray[np.int64],
    vectors: NDArray[np.int8],
    k: int,
    *,
    places: NDArray[np.int64] | None = None,
    expand: int | None = None,
    likeness: NDArray[np.floating[Any]] | None = None,
) -> tuple[NDArray[np.int32], NDArray[np.int64], NDArray[np.float32]]:
    """The k candidates of each query that lie nearest by cosine, ties by distance and then by row.

    Args:
        queries: int16 [q, d].
        distances: int32 [q, c], of the candidates, ordered by distance and then by row, as a search gives them.
        rows: int64 [q, c].
        vectors: int8 [n, d]; they may be memory-mapped.
        k: At most c.
        places: int64 [q, c], where among the vectors that of each candidate stands; at its row unless given.
        expand: Order by the mean of two likenesses: that of the codes, and the cosine to the query's vector once it is
            expanded by so many first hits; the first candidates as their neighbours show them.
        likeness: Of the codes, float [q, c], -1 to 1; needed where queries are expanded.

    Returns:
        Distances int32 [q, k], rows int64 [q, k] and what they are ordered by, float32 [q, k], -1 to 1; the cosine of a
        vector of zeros is 0.
    """
    places = rows if places is None else places
    found = cosines(queries, vectors, places)
    if expand is not None:
        assert likeness is not None
        own = found
        meant, near, alike = expand_queries(queries, vectors, places, own, likeness, expand)
        found = (likeness + cosines(meant, vectors, places)) / 2
        np.put_along_axis(found, near, alike, axis=1)
        found = np.where(own > SAME, np.maximum(found, own), found)
    order = np.argsort(-found, axis=1, kind="stable")[:, :k]
    every = np.arange(len(rows))[:, None]
    return distances[every, order], rows[every, order], found[every, order].astype(np.float32)


def cosines(queries: NDArray[np.int16], vectors: NDArray[np.int8], places: NDArray[np.int64]) -> NDArray[np.float64]:
    """Cosines of each query, int16 [q, d], to its own candidates among vectors, int8 [n, d]: float64 [q, c].

    It is compiled where searching is compiled in this process already; short work is done before that is loaded.
    """
    found = np.empty(places.shape, np.float64)
    if compiled_already() and (kernel := _kernel()) is not None:
        kernel.fill(queries, vectors, places, found)
        return found
    block = max(1, CELLS // max(1, places.shape[1] * queries.shape[1]))
    for start in range(0, len(places), block):
        part = slice(start, start + block)
        asked, given = queries[part].astype(np.float64), vectors[places[part]].astype(np.float64)  # all sums are exact
        squares = np.einsum("qcd,qcd->qc", given, given) * np.einsum("qd,qd->q", asked, asked)[:, None]
        found[part] = np.matmul(given, asked[:, :, None])[..., 0] / np.sqrt(np.where(squares > 0, squares, 1))
    return found


@functools.cache
def _kernel() -> ModuleType | None:
    """The compiled loop; None where it can't be had."""

    def loaded() -> ModuleType:
        from dtbh.index import rescoring_kernel

        rescoring_kernel.warm()
        return rescoring_kernel

    return where_compiled(loaded)
