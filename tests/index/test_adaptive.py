"""What a searcher learns changes how it answers, never what."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from dtbh.index.hamming import adaptive, multiindex, plain, search
from dtbh.index.hamming.rows import choose


@pytest.fixture(autouse=True)
def eager(monkeypatch):
    """All is compiled, and learning is cheap: it happens after a few queries."""
    monkeypatch.setattr(search, "WORTH", 1)
    monkeypatch.setattr(adaptive, "GROUPING", 30)
    monkeypatch.setattr(adaptive, "LISTING", 50)
    monkeypatch.setattr(multiindex, "LEAST", 100)
    monkeypatch.setattr(multiindex, "DEAR", 2)


def codes(distinct, n=4000):
    rng = np.random.default_rng(distinct)
    return rng.integers(0, 2**64, (distinct, 1), np.uint64)[rng.integers(0, distinct, n)]


def same(found, wanted):
    return all((one == other).all() for one, other in zip(found, wanted, strict=True))


@pytest.mark.parametrize(("distinct", "grouped", "listed"), [(50, True, False), (450, True, True), (4000, False, True)])
@pytest.mark.parametrize("filtered", [False, True])
def test_answers_stay_the_same_while_it_learns(distinct, grouped, listed, filtered):
    words = codes(distinct)
    which = np.random.default_rng(0).random(len(words)) < 0.9 if filtered else None
    searcher, rows = search.Searcher(words, rows=which), choose(words, which)
    states = {(searcher.distinct is not None, searcher.tabled)}
    for start in range(0, 60, 3):
        queries = words[start : start + 3]
        assert same(searcher.nearest(queries, 20), plain.nearest(queries[:, None], rows, 20))
        for found, wanted in zip(searcher.within(queries, 1), plain.within(queries, rows, 1), strict=True):
            assert same(found, wanted)
        states.add((searcher.distinct is not None, searcher.tabled))
    assert (False, False) in states
    assert (grouped, listed) in states
    assert max(states) == (grouped, listed)


def test_a_radius_for_which_tables_do_not_pay_is_looked_at():
    words = codes(4000)
    searcher, rows = search.Searcher(words), choose(words, None)
    for radius in (1, 1, 1, 30, 2, 9):
        for found, wanted in zip(
            searcher.within(words[:20], radius), plain.within(words[:20], rows, radius), strict=True
        ):
            assert same(found, wanted)
    assert searcher.tabled


def test_several_threads_at_once():
    words = codes(50)
    searcher = search.Searcher(words)
    wanted = plain.nearest(words[:4, None], choose(words, None), 30)
    with ThreadPoolExecutor(4) as pool:
        assert all(same(found, wanted) for found in pool.map(lambda _: searcher.nearest(words[:4], 30), range(40)))
    assert searcher.distinct == 50


def test_a_cache_that_can_not_be_written_any_more(monkeypatch):
    def full(rows):
        raise OSError("no space left on device")

    monkeypatch.setattr(adaptive.grouping, "group", full)
    words = codes(50)
    searcher = search.Searcher(words)
    for _ in range(30):
        assert same(searcher.nearest(words[:4], 30), plain.nearest(words[:4, None], choose(words, None), 30))
    assert searcher.distinct is None
