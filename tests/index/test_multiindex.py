"""Tables for small radii: the same rows as looking at every code, and no tables where they don't pay."""

from __future__ import annotations

import numpy as np
import pytest

from dtbh.index.hamming import multiindex, plain
from dtbh.index.hamming.rows import choose

MASK = np.random.default_rng(9).random(3000) < 0.7
WHICH = {"all": None, "marked": MASK, "listed": np.flatnonzero(MASK)[::13], "a run": np.arange(500, 2500)}


@pytest.fixture
def always(monkeypatch):
    """Tables pay for any number of codes."""
    monkeypatch.setattr(multiindex, "LEAST", 2)
    monkeypatch.setattr(multiindex, "DEAR", 1e-6)


def near(rng, words, bits, most):
    """Codes with up to ``most`` of the first ``bits`` bits flipped."""
    words = words.copy()
    for word in words:
        for bit in rng.integers(0, bits, rng.integers(0, most + 1)):
            word[bit // 64] ^= np.uint64(1 << (int(bit) % 64))
    return words


@pytest.mark.usefixtures("always")
@pytest.mark.parametrize("which", WHICH.values(), ids=WHICH.keys())
@pytest.mark.parametrize("bits", [9, 32, 64, 100, 128, 320])
def test_the_same_rows_as_looking_at_all(which, bits):
    rng = np.random.default_rng(bits)
    words = rng.integers(0, 2**64, (10, -(-bits // 64)), np.uint64)
    words[:, -1] >>= np.uint64(-bits % 64)
    words = near(rng, np.repeat(words, 300, axis=0), bits, 9)
    rows = choose(words, which)
    queries = np.concatenate([words[[600, 900]], near(rng, words[1000:1003], bits, 4)])
    many = 0
    for radius in (0, 1, 2, 3, 5, 8, 11):
        tables = multiindex.tables(rows, queries, radius)
        if tables is None:
            assert max(multiindex._reach(-(-bits // 11), radius)) > multiindex.FARTHEST
            continue
        for found, wanted in zip(tables.within(queries, radius), plain.within(queries, rows, radius), strict=True):
            assert (found[0] == wanted[0]).all()
            assert (found[1] == wanted[1]).all()
            many += len(found[1]) > 1
    assert many > 3, "too few rows are found to get wrong"


@pytest.mark.usefixtures("always")
def test_bits_that_only_a_query_has():
    words = np.arange(200, dtype=np.uint64)[:, None]
    query = np.array([[5 | 1 << 40]], np.uint64)
    tables = multiindex.tables(choose(words, None), query, 2)
    assert tables.edges[-1] == 8
    ((distances, rows),) = tables.within(query, 2)
    assert (distances.tolist(), rows.tolist()) == ([1, 2, 2, 2, 2, 2, 2, 2, 2], [5, 1, 4, 7, 13, 21, 37, 69, 133])
    assert tables.within(query, 60) == [None]


def test_where_tables_would_not_pay(monkeypatch):
    rng = np.random.default_rng(0)
    words = rng.integers(0, 2**64, (70_000, 1), np.uint64)
    assert multiindex.tables(choose(words[:1000], None), words[:3], 1) is None
    assert multiindex.tables(choose(words, None), words[:3], 30) is None
    assert multiindex.tables(choose(words, None), words[:3], 1) is not None
    crowded = np.where(rng.random((70_000, 1)) < 0.5, words[0], words)
    assert multiindex.tables(choose(crowded, None), crowded[:3], 1) is None
    tables = multiindex.tables(choose(words, None), words[:3], 1)
    monkeypatch.setattr(multiindex, "DEAR", 1e6)
    assert tables.within(words[:2], 1) == [None, None]
