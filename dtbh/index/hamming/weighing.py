"""Asymmetric distances: how sure a query is of each of its bits, where codes have bits alone.

A query of the hash-like code ``q`` and a code of the signs ``c`` have the product ``sum |q_j| - 2 sum of |q_j| where
signs differ`` (Gordo et al., Asymmetric distances for binary embeddings, TPAMI 2014). The distance here is the last
sum with whole weights for ``|q_j|``, so that it is exact, and alike on every path.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from dtbh.errors import CodesError


def weighing(queries: NDArray[np.uint64], weights: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """What each half byte of a code adds to a query's distance, for each of its 16 values: a query, to be searched by.

    Args:
        queries: uint64 [q, w], the signs, packed.
        weights: uint8 [q, bits], 0 to `dtbh.codes.SUREST`; bits beyond have no weight.

    Returns:
        uint8 [q, 16 w, 16], 0 to 4 times `dtbh.codes.SUREST`.

    Raises:
        CodesError: Weights of another dtype or shape.
    """
    count, words = queries.shape
    if weights.dtype != np.uint8 or weights.ndim != 2 or len(weights) != count or weights.shape[1] > 64 * words:
        wanted = f"uint8 [{count}, bits], at most {64 * words} bits"
        raise CodesError(f"weights must be {wanted}, found {weights.dtype} {list(weights.shape)}")
    whole = np.zeros((count, 64 * words), np.uint8)
    whole[:, : weights.shape[1]] = weights
    signs = np.unpackbits(np.ascontiguousarray(queries, "<u8").view(np.uint8), axis=1, bitorder="little")
    values = np.unpackbits(np.arange(16, dtype=np.uint8)[:, None], axis=1, count=4, bitorder="little")  # [16, 4]
    shape = (count, 16 * words, 1, 4)
    made: NDArray[np.uint8] = ((signs.reshape(shape) != values) * whole.reshape(shape)).sum(axis=3, dtype=np.uint8)
    return made
