"""The compiled loop of rescoring: a candidate's vector is read once, where it lies. Importing this needs numba."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from dtbh.utils.compiled import compiled

RUN = 512  # products of a number of 16 bits and one of 8 that a sum of 32 bits holds


def fill(
    queries: NDArray[np.int16], vectors: NDArray[np.int8], places: NDArray[np.int64], found: NDArray[np.float64]
) -> None:
    """Fill in the cosine, float64 [q, c], of each query, int16 [q, d], to the vectors at its places, of int8 [n, d]."""
    queries, vectors, places = np.ascontiguousarray(queries).view(), vectors.view(), np.ascontiguousarray(places).view()
    for array in (queries, vectors, places):
        array.flags.writeable = False  # so that what is compiled for arrays in memory serves mapped ones too
    _fill(queries, vectors, places, found)


def warm() -> None:
    """Compile, or load what was compiled."""
    one = np.zeros((1, 1), np.int64)
    fill(one.astype(np.int16), one.astype(np.int8), one, np.zeros((1, 1)))


@compiled
def _fill(
    queries: NDArray[np.int16], vectors: NDArray[np.int8], places: NDArray[np.int64], found: NDArray[np.float64]
) -> None:
    dim = queries.shape[1]
    for query in range(len(queries)):
        square = np.int64(0)
        for i in range(dim):
            square += np.int64(queries[query, i]) * np.int64(queries[query, i])
        for candidate in range(places.shape[1]):
            place = places[query, candidate]
            product, length = np.int64(0), np.int64(0)
            for start in range(0, dim, RUN):
                some, more = np.int32(0), np.int32(0)
                for i in range(start, min(start + RUN, dim)):
                    value = np.int32(vectors[place, i])
                    some = np.int32(some + value * np.int32(queries[query, i]))
                    more = np.int32(more + value * value)
                product += some
                length += more
            both = np.float64(length) * np.float64(square)
            found[query, candidate] = product / np.sqrt(both) if both > 0 else 0.0
