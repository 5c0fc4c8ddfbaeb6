"""A query as its first hits show it, and candidates as their neighbours show them.

The mean of a query's first hits says better what is meant in this archive than the query does (pseudo-relevance
feedback: Rocchio 1971; of images, average query expansion: Chum and others, ICCV 2007), and the mean of what lies in
one heap says better what it is than each does (database-side augmentation: Arandjelovic and Zisserman, CVPR 2012; here
among a query's candidates alone, so that what an archive keeps of an item hangs on no other).

Products of whole numbers are exact, and all else is summed up in one order, so that every engine, and any number of
queries at once, gives the same.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from dtbh.codes import whole_numbers
from dtbh.utils.vectors import unit

OWN, BEHIND = 0.25, 0.1
"""Weight of a query's own vector beside the mean of its first hits, of which each weighs less by a factor of e for so
much of a cosine that it lies behind the first."""

AMONG, NEIGHBOURS, NEARNESS = 300, 5, 0.2
"""Of so many first candidates each is averaged with its nearest among them, itself one of these, of which each weighs
less by a factor of e for so much of a cosine. Chosen, as all of these, as docs/search.md tells."""

EXACT = 1 << 24  # below it float32 has every whole number


def expand_queries(
    queries: NDArray[np.int16],
    vectors: NDArray[np.int8],
    places: NDArray[np.int64],
    found: NDArray[np.floating[Any]],
    likeness: NDArray[np.floating[Any]],
    first: int,
) -> tuple[NDArray[np.int16], NDArray[np.int64], NDArray[np.float64]]:
    """What queries mean by their first hits, and how alike the first candidates are to that.

    Args:
        queries: int16 [q, d].
        vectors: int8 [n, d].
        places: int64 [q, c], of candidates among the vectors.
        found: Their cosines to the queries, float [q, c].
        likeness: Of their codes, float [q, c], -1 to 1.
        first: How many hits are taken as examples; all candidates where there are fewer.

    Returns:
        The queries brought to where their first hits lie, int16 [q, d]; which candidates come first, as places among
        the c, int64 [q, m], at most `AMONG`; and of these the mean of both likenesses, of codes and of vectors,
        float64 [q, m].
    """
    near = np.argsort(-(likeness + OWN * found), axis=1, kind="stable")[:, :AMONG]
    meant, alike = queries.copy(), np.empty(near.shape)
    if not near.size:
        return meant, near, alike
    for row, some in enumerate(near):
        own, codes = augmented(vectors[places[row, some]], likeness[row, some])
        likely = codes + OWN * _cosines(queries[row], own)
        examples = np.argsort(-likely, kind="stable")[:first]
        weights = np.exp((likely[examples] - likely[examples[:1]]) / BEHIND)
        mean = unit(np.einsum("e,ed->d", weights, unit(own[examples].astype(np.float64)))[None])
        meant[row] = whole_numbers(mean + OWN * unit(queries[row, None].astype(np.float64)), np.int16)
        alike[row] = (codes + _cosines(meant[row], own)) / 2
    return meant, near, alike


def augmented(
    vectors: NDArray[np.int8], likeness: NDArray[np.floating[Any]]
) -> tuple[NDArray[np.int16], NDArray[np.float64]]:
    """Each averaged with its nearest neighbours among these; a vector of zeros stays alone.

    Args:
        vectors: int8 [m, d].
        likeness: Of their codes to a query's, float [m].

    Returns:
        int16 [m, d] and float64 [m].
    """
    alike, every = _alike(vectors), np.arange(len(vectors))
    near = np.empty((min(NEIGHBOURS, len(vectors)), len(vectors)), np.int64)
    weights = np.empty(near.shape)
    for rank in range(len(near)):
        near[rank] = alike.argmax(axis=1)  # the first of those that are alike
        weights[rank] = np.exp((alike[every, near[rank]] - 1) / NEARNESS)
        alike[every, near[rank]] = -np.inf
    shares = weights / weights.sum(axis=0)
    mean = np.einsum("km,kmd->md", shares, unit(vectors.astype(np.float64))[near])
    return whole_numbers(mean, np.int16), np.einsum("km,km->m", shares, likeness[near])


def _alike(vectors: NDArray[np.int8]) -> NDArray[np.float64]:
    """Cosines of all to all, [m, m]; a vector of zeros is like itself alone."""
    whole = vectors.astype(np.float32 if vectors.shape[1] * 127**2 < EXACT else np.float64)
    products = np.matmul(whole, whole.T).astype(np.float64)
    squares = np.diagonal(products).copy()
    lengths = np.where(squares > 0, squares, 1)
    alike: NDArray[np.float64] = products / np.sqrt(lengths * lengths[:, None])
    alike[squares == 0] = -np.inf
    np.fill_diagonal(alike, 1)
    return alike


def _cosines(query: NDArray[np.int16], own: NDArray[np.int16]) -> NDArray[np.float64]:
    """Of one query, [d], to each, [m, d]."""
    asked, given = query.astype(np.float64), own.astype(np.float64)
    squares = np.einsum("md,md->m", given, given) * (asked @ asked)
    return np.asarray(given @ asked / np.sqrt(np.where(squares > 0, squares, 1)))
