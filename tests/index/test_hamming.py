"""Exact search against loops, in its order of ties, at its edges, and what it refuses."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest

from dtbh.errors import CodesError, ConfigError
from dtbh.index import hamming
from tests.reference import hamming as reference


def random_words(rng, n, w, distinct):
    """Codes [n, w] of which at most ``distinct`` differ, so that distances tie."""
    pool = rng.integers(0, 2**64, (distinct, w), np.uint64, endpoint=False)
    return pool[rng.integers(0, distinct, n)]


CASES = [  # queries, gallery, words, distinct codes, k
    (1, 1, 1, 1, 1),
    (1, 1, 1, 1, 5),
    (3, 40, 1, 40, 7),
    (3, 60, 1, 2, 10),
    (5, 64, 2, 5, 64),
    (4, 50, 8, 4, 13),
    (2, 30, 3, 30, 100),
    (6, 200, 1, 3, 33),
]


def check_nearest(nearest):
    """What any exact search must pass: reference answers, order of ties, dtypes, shapes."""
    rng = np.random.default_rng(7)
    tied = 0
    for q, n, w, distinct, k in CASES:
        gallery, queries = random_words(rng, n, w, distinct), random_words(rng, q, w, max(1, q // 2))
        queries[0] = gallery[-1]
        distances, rows = nearest(queries, gallery, k)
        assert distances.dtype == np.int32
        assert rows.dtype == np.int64
        assert distances.shape == rows.shape == (q, min(k, n))
        expected = reference.nearest(
            [reference.code_of_words(query) for query in queries],
            [reference.code_of_words(code) for code in gallery],
            k,
        )
        found = [list(zip(d.tolist(), r.tolist(), strict=True)) for d, r in zip(distances, rows, strict=True)]
        assert found == expected
        tied += sum(pairs[0][0] == pairs[-1][0] and len(pairs) > 1 for pairs in expected)
    assert tied > 3, "the cases have no ties to get wrong"


@pytest.mark.parametrize("block", [7, 64, 1 << 16])
def test_nearest_conforms(monkeypatch, block):
    monkeypatch.setattr(hamming, "GALLERY_BLOCK", block)
    monkeypatch.setattr(hamming, "CELLS", 3 * block)
    check_nearest(hamming.nearest)


def last_row_first(queries, gallery, k):
    all_distances = hamming.distances(queries, gallery)
    flipped = np.argsort(all_distances[:, ::-1], axis=1, kind="stable")[:, :k]
    rows = len(gallery) - 1 - flipped
    return np.take_along_axis(all_distances, rows, axis=1), rows


def unsorted_within_k(queries, gallery, k):
    distances, rows = hamming.nearest(queries, gallery, k)
    return distances[:, ::-1], rows[:, ::-1]


def first_word_only(queries, gallery, k):
    return hamming.nearest(queries[:, :1].copy(), gallery[:, :1].copy(), k)


def ties_cut_anywhere(queries, gallery, k):
    all_distances = hamming.distances(queries, gallery)
    chosen = np.argpartition(all_distances, min(k, len(gallery)) - 1, axis=1)[:, :k]
    order = np.argsort(np.take_along_axis(all_distances, chosen, axis=1), axis=1, kind="stable")
    rows = np.take_along_axis(chosen, order, axis=1)
    return np.take_along_axis(all_distances, rows, axis=1), rows


def another_dtype(queries, gallery, k):
    distances, rows = hamming.nearest(queries, gallery, k)
    return distances.astype(np.int64), rows


@pytest.mark.parametrize(
    "broken", [last_row_first, unsorted_within_k, first_word_only, ties_cut_anywhere, another_dtype]
)
def test_the_check_rejects_broken_searches(broken):
    with pytest.raises(AssertionError):
        check_nearest(broken)


def test_distances_against_loops(monkeypatch):
    monkeypatch.setattr(hamming, "GALLERY_BLOCK", 5)
    monkeypatch.setattr(hamming, "CELLS", 10)
    rng = np.random.default_rng(1)
    queries, gallery = random_words(rng, 7, 2, 7), random_words(rng, 13, 2, 9)
    found = hamming.distances(queries, gallery)
    assert found.dtype == np.int32
    assert found.tolist() == [
        [reference.distance(reference.code_of_words(a), reference.code_of_words(b)) for b in gallery] for a in queries
    ]


def test_the_largest_distance_of_long_codes():
    zeros, ones = np.zeros((1, 8), np.uint64), np.full((1, 8), 2**64 - 1, np.uint64)
    assert hamming.distances(zeros, ones).tolist() == [[512]]
    assert hamming.nearest(zeros, ones, 1)[0].tolist() == [[512]]


@pytest.mark.parametrize("radius", [0, 3, 30, 64])
@pytest.mark.parametrize("block", [7, 1 << 16])
def test_within_against_loops(monkeypatch, radius, block):
    monkeypatch.setattr(hamming, "GALLERY_BLOCK", block)
    rng = np.random.default_rng(2)
    gallery = random_words(rng, 90, 1, 12)
    queries = np.concatenate([gallery[:2] ^ np.uint64(5), gallery[5:6]])
    found = hamming.within(queries, gallery, radius)
    codes = [reference.code_of_words(code) for code in gallery]
    for query, (distances, rows) in zip(queries, found, strict=True):
        assert (distances.dtype, rows.dtype) == (np.int32, np.int64)
        pairs = list(zip(distances.tolist(), rows.tolist(), strict=True))
        assert pairs == reference.within(reference.code_of_words(query), codes, radius)
    assert len(found[2][0]) > 0


def test_nothing_to_search():
    none, one = np.empty((0, 1), np.uint64), np.zeros((1, 1), np.uint64)
    assert hamming.nearest(one, none, 3)[1].shape == (1, 0)
    assert hamming.nearest(none, one, 3)[0].shape == (0, 1)
    assert hamming.distances(one, none).shape == (1, 0)
    assert hamming.within(none, one, 3) == []
    (distances, rows) = hamming.within(one, none, 3)[0]
    assert (len(distances), len(rows)) == (0, 0)


def test_memory_does_not_grow_with_queries():
    rng = np.random.default_rng(3)
    gallery = random_words(rng, 20_000, 1, 20_000)
    peaks = []
    for q in (100, 400):
        queries = random_words(rng, q, 1, q)
        tracemalloc.start()
        hamming.nearest(queries, gallery, 10)
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] < 1.2 * peaks[0]


@pytest.mark.parametrize("name", ["queries", "gallery"])
@pytest.mark.parametrize(
    ("words", "message"),
    [
        (np.zeros((2, 1), np.int64), "must be packed uint64 words, found int64"),
        (np.zeros((2, 1), bool), "must be packed uint64 words, found bool"),
        ([[1]], "must be packed uint64 words, found list"),
        (np.zeros(2, np.uint64), r"must be \[number, words\], found \[2\]"),
        (np.zeros((2, 0), np.uint64), r"must be \[number, words\], found \[2, 0\]"),
    ],
)
def test_refuses_other_arrays(name, words, message):
    good = np.zeros((2, 1), np.uint64)
    both = {"queries": good, "gallery": good, name: words}
    for call in (
        hamming.distances,
        lambda q, g: hamming.nearest(q, g, 1),
        lambda q, g: hamming.within(q, g, 1),
    ):
        with pytest.raises(CodesError, match=f"{name} {message}"):
            call(both["queries"], both["gallery"])


def test_refuses_other_numbers_of_words():
    with pytest.raises(CodesError, match="queries have 1 words a code, the gallery 2"):
        hamming.distances(np.zeros((1, 1), np.uint64), np.zeros((1, 2), np.uint64))


@pytest.mark.parametrize("wrong", [0, -1, 1.5, True, "3"])
def test_refuses_k(wrong):
    words = np.zeros((1, 1), np.uint64)
    with pytest.raises(ConfigError, match=f"k, .* from 1, found {wrong!r}"):
        hamming.nearest(words, words, wrong)


@pytest.mark.parametrize("wrong", [-1, 1.5, False])
def test_refuses_a_radius(wrong):
    words = np.zeros((1, 1), np.uint64)
    with pytest.raises(ConfigError, match=f"radius must be a whole number from 0, found {wrong!r}"):
        hamming.within(words, words, wrong)
