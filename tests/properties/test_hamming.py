"""Hamming distance is a metric; nearest and within agree with loops whatever the sizes."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from dtbh.codes import pack
from dtbh.index.hamming import grouping, multiindex, plain, scan, search
from dtbh.index.hamming.rows import choose
from dtbh.index.hamming.search import distances, nearest, within
from tests.reference import hamming as reference


@st.composite
def code_sets(draw):
    """Bits of queries and gallery, of one length; few distinct codes, so that distances tie."""
    bits = draw(st.one_of(st.integers(1, 200), st.integers(1, 520)))
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    pool = rng.random((draw(st.integers(1, 6)), bits)) < draw(st.sampled_from([0.05, 0.5]))
    q, n = draw(st.integers(1, 9)), draw(st.integers(1, 40))
    return pool[rng.integers(0, len(pool), q)], pool[rng.integers(0, len(pool), n)]


@given(code_sets())
@settings(max_examples=60)
def test_a_metric(sets):
    words = pack(np.concatenate(sets))
    between = distances(words, words).astype(np.int64)
    same = (words[:, None] == words[None]).all(axis=2)
    assert (between >= 0).all()
    assert ((between == 0) == same).all()
    assert (between == between.T).all()
    assert (between[:, None, :] <= between[:, :, None] + between[None, :, :]).all()


@given(code_sets(), st.integers(1, 60))
@settings(max_examples=100)
def test_nearest_against_loops(sets, k):
    queries, gallery = sets
    found_distances, found_rows = nearest(pack(queries), pack(gallery), k)
    expected = reference.nearest(
        [reference.code_of(code) for code in queries], [reference.code_of(code) for code in gallery], k
    )
    pairs = zip(found_distances.tolist(), found_rows.tolist(), strict=True)
    assert [list(zip(*pair, strict=True)) for pair in pairs] == expected


@pytest.fixture
def compiled(monkeypatch):
    """All work goes to compiled code, and any of it is worth a thread."""
    monkeypatch.setattr(search, "WORTH", 1)
    monkeypatch.setattr(scan, "PART", 1)


@given(code_sets(), st.data())
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_every_path_gives_the_same(compiled, sets, data):
    queries, gallery = (pack(bits) for bits in sets)
    if data.draw(st.booleans(), "many codes"):
        gallery = np.tile(gallery, (70, 1))
    bits = sets[0].shape[1]
    k, radius = data.draw(st.integers(1, len(gallery) + 5), "k"), data.draw(st.integers(0, bits + 1), "radius")
    threads = data.draw(st.integers(1, 4), "threads")
    rng = np.random.default_rng(data.draw(st.integers(0, 2**32), "rows"))
    mask = rng.random(len(gallery)) < data.draw(st.sampled_from([0.02, 0.3, 1]), "share")
    which = data.draw(st.sampled_from([None, mask, np.flatnonzero(mask)]), "filter")
    rows = choose(gallery, which)
    wanted = plain.nearest(queries[:, None], rows, min(k, rows.count))
    found = nearest(queries, gallery, k, rows=which, threads=threads)
    for one, other in zip(found, wanted, strict=True):
        assert one.tolist() == other.tolist()
    for found, wanted in zip(
        within(queries, gallery, radius, rows=which, threads=threads), plain.within(queries, rows, radius), strict=True
    ):
        assert found[0].tolist() == wanted[0].tolist()
        assert found[1].tolist() == wanted[1].tolist()


@given(code_sets(), st.integers(1, 60), st.integers(0, 40), st.integers(0, 2**32))
@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_groups_and_tables_give_the_same(monkeypatch, sets, k, radius, seed):
    monkeypatch.setattr(multiindex, "LEAST", 2)
    monkeypatch.setattr(multiindex, "DEAR", 1e-6)
    assume(sets[0].shape[1] <= 64 * search.LONGEST)
    queries, gallery = pack(sets[0]), np.tile(pack(sets[1]), (6, 1))
    rows = choose(gallery, np.random.default_rng(seed).random(len(gallery)) < 0.7)
    k = min(k, rows.count)
    near, inside = plain.nearest(queries[:, None], rows, max(k, 1)) if k else None, plain.within(queries, rows, radius)
    groups = grouping.group(rows) if k else None
    if groups is not None:
        found = groups.nearest(scan.nearest(queries[:, None], groups.rows, min(k, groups.rows.count), 1), k)
        assert [part.tolist() for part in found] == [part.tolist() for part in near]
        for one, wanted in zip(scan.within(queries, groups.rows, radius, 1), inside, strict=True):
            assert [part.tolist() for part in groups.within(one)] == [part.tolist() for part in wanted]
    tables = multiindex.tables(rows, queries, radius) if queries.any() and gallery.any() else None
    if tables is not None:
        for one, wanted in zip(tables.within(queries, radius), inside, strict=True):
            assert [part.tolist() for part in one] == [part.tolist() for part in wanted]


@given(code_sets())
@settings(max_examples=60)
def test_ties_stand_in_order_of_insertion(sets):
    queries, gallery = sets
    found_distances, rows = nearest(pack(queries), pack(gallery), len(gallery))
    steps, order = np.diff(found_distances, axis=1), np.diff(rows, axis=1)
    assert (steps >= 0).all()
    assert (order[steps == 0] > 0).all()


@given(code_sets(), st.integers(0, 200))
@settings(max_examples=60)
def test_within_is_the_head_of_nearest(sets, radius):
    queries, gallery = sets
    all_distances, all_rows = nearest(pack(queries), pack(gallery), len(gallery))
    for query, (near, rows) in enumerate(within(pack(queries), pack(gallery), radius)):
        count = int((all_distances[query] <= radius).sum())
        assert near.tolist() == all_distances[query, :count].tolist()
        assert rows.tolist() == all_rows[query, :count].tolist()
