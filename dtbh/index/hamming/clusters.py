"""Groups of codes that lie near each other: k-means in Hamming space, whose centres are majorities of bits.

The centre of a group is the code with the fewest bits to its members in all, which is the majority of each bit: k-modes
of binary data (Huang, *Data Mining and Knowledge Discovery* 2, 1998), called k-majority for descriptors (Grana and
others, 2013). The starts are those of k-means++; as the squared length of a difference of codes of +1 and -1 is four
times the Hamming distance, they are drawn in proportion to that.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dtbh.codes import pack, unpack
from dtbh.errors import ConfigError
from dtbh.index.hamming.plain import distances

STARTS, ROUNDS = 4, 50


@dataclass(frozen=True, eq=False)
class Clusters:
    """Groups of n codes, the largest first; of those as large the one with the first code.

    Attributes:
        centres: uint64 [k, words].
        groups: Which group each code is in, int64 [n], from 0 to k - 1; none is empty.
        distances: Of each code to its group's centre, int32 [n].
    """

    centres: NDArray[np.uint64]
    groups: NDArray[np.int64]
    distances: NDArray[np.int32]


def clusters(words: NDArray[np.uint64], bits: int, k: int, *, seed: int = 0) -> Clusters:
    """The best of a few k-means, by the sum of distances; the same codes give the same groups.

    Args:
        words: Codes, uint64 [n, words]; all distances to the centres are held, n times k.
        bits: Length of a code.
        k: How many groups, from 1; there are fewer where there are fewer different codes.
        seed: Of the starts.

    Raises:
        ConfigError: k below 1.
    """
    if k < 1:
        raise ConfigError(f"the number of groups must be from 1, found {k}")
    if not len(words):
        return Clusters(words[:0], np.empty(0, np.int64), np.empty(0, np.int32))
    rng, octets = np.random.default_rng(seed), unpack(words, bits)
    tries = [settled(words, octets, starts(words, k, rng)) for _ in range(STARTS)]
    return _ordered(words, min(tries, key=lambda centres: int(distances(words, centres).min(axis=1).sum())))


def starts(words: NDArray[np.uint64], k: int, rng: np.random.Generator) -> NDArray[np.uint64]:
    """Up to k different codes to start from, each drawn by its distance to those before."""
    chosen = [int(rng.integers(len(words)))]
    nearest = distances(words, words[chosen])[:, 0].astype(np.float64)
    while len(chosen) < k and nearest.any():
        chosen.append(int(rng.choice(len(words), p=nearest / nearest.sum())))
        nearest = np.minimum(nearest, distances(words, words[chosen[-1:]])[:, 0])
    return words[chosen]


def settled(words: NDArray[np.uint64], bits: NDArray[np.bool_], centres: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """The centres after as many rounds as change anything; a group that loses all its codes is dropped.

    A code goes to the nearest centre, of those as near to the first; of a bit as often 1 as 0 the majority is 1, as
    zero counts as +1.
    """
    before: NDArray[Any] | None = None
    for _ in range(ROUNDS):
        groups: NDArray[Any] = distances(words, centres).argmin(axis=1)
        if before is not None and (groups == before).all():
            break
        found, groups = np.unique(groups, return_inverse=True)
        members = np.eye(len(found), dtype=np.int64)[groups]
        centres = pack(2 * (members.T @ bits) >= members.sum(axis=0)[:, None])
        before = groups
    return centres


def _ordered(words: NDArray[np.uint64], centres: NDArray[np.uint64]) -> Clusters:
    """The groups by size."""
    apart = distances(words, centres)
    found, first, groups, sizes = np.unique(
        apart.argmin(axis=1), return_index=True, return_inverse=True, return_counts=True
    )
    order = np.lexsort((first, -sizes))
    place = np.empty(len(order), np.int64)
    place[order] = np.arange(len(order))
    return Clusters(centres[found[order]], place[groups], apart.min(axis=1))
