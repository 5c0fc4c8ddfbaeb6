"""Asymmetric distances: how sure a query is of each of its bits, where codes have bits alone.

A query of the hash-like code ``q`` and a code of the signs ``c`` have the product ``sum |q_j| - 2 sum of |q_j| where
signs differ`` (Gordo et al., Asymmetric distances for binary embeddings, TPAMI 2014). The distance here is the last
sum with whole weights for ``|q_j|``, so that it is exact, and alike on every path.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from dtbh.codes import SUREST, pack
from dtbh.errors import CodesError

LEVELS = SUREST.bit_length()
"""Bits of a weight."""

PLACES = np.arange(LEVELS, dtype=np.uint8)[::-1, None]
"""The place of each, from the highest on."""


def weighing(queries: NDArray[np.uint64], weights: NDArray[np.uint8]) -> NDArray[np.uint64]:
    """Queries to be searched by, whose bits have weights.

    Args:
        queries: uint64 [q, w], the signs, packed.
        weights: uint8 [q, bits], 0 to `dtbh.codes.SUREST`; bits beyond have no weight.

    Returns:
        uint64 [q, 1 + LEVELS, w]: the signs, and for each bit of the weights, from the highest on, those of the code's
        bits whose weights have it.

    Raises:
        CodesError: Weights of another dtype, shape or range.
    """
    count, words = queries.shape
    if weights.dtype != np.uint8 or weights.ndim != 2 or len(weights) != count or weights.shape[1] > 64 * words:
        wanted = f"uint8 [{count}, bits], at most {64 * words} bits"
        raise CodesError(f"weights must be {wanted}, found {weights.dtype} {list(weights.shape)}")
    if weights.max(initial=0) > SUREST:
        raise CodesError(f"weights must be 0 to {SUREST}, found {weights.max()}")
    made = np.zeros((count, 1 + LEVELS, words), np.uint64)
    made[:, 0] = queries
    packed = pack((weights[:, None] >> PLACES & 1).reshape(count * LEVELS, weights.shape[1]) == 1)
    made[:, 1:, : packed.shape[1]] = packed.reshape(count, LEVELS, packed.shape[1])
    return made


def weighed(differ: NDArray[Any], levels: NDArray[Any]) -> NDArray[Any]:
    """How far words are from each other: the sum of the weights of the bits in which they differ.

    Args:
        differ: Unsigned [...], the bits in which they differ.
        levels: Unsigned [levels, ...], as of `weighing`; of no level each bit weighs 1.
    """
    if not len(levels):
        return np.asarray(np.bitwise_count(differ))
    total = np.zeros(np.broadcast_shapes(differ.shape, levels.shape[1:]), np.uint16)
    for level in levels:
        total += total
        total += np.bitwise_count(differ & level)
    return total


def farthest(asked: NDArray[np.uint64]) -> int:
    """The largest distance that any code can have from one of these queries, uint64 [q, 1 + levels, w]."""
    if asked.shape[1] == 1:
        return 64 * int(asked.shape[2])
    ones = np.bitwise_count(asked[:, 1:]).sum(axis=2, dtype=np.int64)
    return int(np.max(np.sum(ones << PLACES[:, 0], axis=1), initial=0))
