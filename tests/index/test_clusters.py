"""Groups of codes: as in loops, the same each time, and those that were planted."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dtbh.codes import pack, unpack
from dtbh.errors import ConfigError
from dtbh.index.hamming.clusters import ROUNDS, clusters, settled
from dtbh.index.hamming.plain import distances
from tests.reference import naming as loops
from tests.reference.hamming import code_of_words


def drawn(n, bits, seed, different=None):
    rng = np.random.default_rng(seed)
    some = rng.integers(0, 2, (different or n, bits)).astype(np.bool_)
    return pack(some[rng.integers(0, len(some), n)])


@given(st.integers(1, 40), st.sampled_from([3, 20, 64, 70]), st.integers(1, 6), st.integers(0, 99))
@settings(max_examples=60, deadline=None)
def test_rounds_as_loops(n, bits, k, seed):
    words = drawn(n, bits, seed)
    centres = np.unique(words, axis=0)[:k]
    found = settled(words, unpack(words, bits), centres)
    wanted = loops.settled([*map(code_of_words, words)], [*map(code_of_words, centres)], bits, ROUNDS)
    assert [*map(code_of_words, found)] == wanted


@given(st.integers(1, 60), st.sampled_from([5, 64, 65]), st.integers(1, 8), st.integers(0, 99), st.integers(1, 9))
@settings(max_examples=60, deadline=None)
def test_groups_hold_together(n, bits, k, seed, different):
    words = drawn(n, bits, seed, different)
    found = clusters(words, bits, k)
    sizes = np.bincount(found.groups)
    assert sizes.min() > 0
    assert [*sizes] == sorted(sizes, reverse=True)
    assert len(sizes) == len(found.centres) <= min(k, len(np.unique(words, axis=0)))
    apart = distances(words, found.centres)
    assert (apart.min(axis=1) == found.distances).all()
    assert (apart[np.arange(n), found.groups] == found.distances).all()
    again = clusters(words, bits, k)
    assert (again.groups == found.groups).all()
    assert (again.centres == found.centres).all()


def test_planted_groups_are_found():
    rng = np.random.default_rng(3)
    centres = rng.integers(0, 2, (5, 64)).astype(np.bool_)
    kinds = np.repeat(np.arange(5), [50, 40, 30, 20, 10])
    words = pack(centres[kinds] ^ (rng.random((150, 64)) < 0.08))
    found = clusters(words, 64, 5)
    assert (found.groups == kinds).all()
    assert (unpack(found.centres, 64) != centres).sum() <= 2
    one = clusters(words, 64, 1)
    assert found.distances.sum() < one.distances.sum() / 2


def test_nothing_and_too_few():
    none = clusters(np.empty((0, 1), np.uint64), 20, 3)
    assert len(none.centres) == len(none.groups) == 0
    with pytest.raises(ConfigError, match="from 1, found 0"):
        clusters(drawn(3, 20, 0), 20, 0)
