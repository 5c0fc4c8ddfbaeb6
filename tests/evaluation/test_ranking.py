"""The measures against every order of the ties, and against plain loops."""

from __future__ import annotations

import numpy as np
import pytest

from dtbh.errors import ConfigError, DataError
from dtbh.evaluation.metrics import counts as counting
from dtbh.evaluation.metrics import radius, ranking
from tests.reference import ranking as naive

BITS = 4
CASES = [
    ([0, 1, 2, 3], [True, False, True, False]),  # no ties
    ([2, 2, 2, 2], [True, False, False, False]),  # all tied
    ([1, 1, 1, 0, 4], [False, True, True, False, True]),
    ([3, 3, 3, 3, 3, 1], [True, True, False, False, True, False]),
    ([0, 0, 1, 1, 2, 2], [False, True, False, True, False, True]),
    ([4], [True]),
    ([0, 0, 0], [True, True, True]),
]
KS = [1, 2, 3, 4, 5]


def counts(distances, relevant):
    """One query's two count rows, [1, BITS + 1]."""
    tables = np.zeros((2, 1, BITS + 1), dtype=np.int64)
    for distance, good in zip(distances, relevant, strict=True):
        tables[0, 0, distance] += good
        tables[1, 0, distance] += 1
    return tables[0], tables[1]


def check_average_precision(function):
    """Raise AssertionError unless ``function(distances, relevant)`` is the mean over every order."""
    for distances, relevant in CASES:
        wanted = naive.over_orders(naive.average_precision, distances, relevant)
        assert function(distances, relevant) == pytest.approx(wanted, abs=1e-12), (distances, relevant)


def test_average_precision_is_the_mean_over_every_order_of_the_ties():
    check_average_precision(lambda d, r: ranking.average_precision(*counts(d, r))[0])


def test_the_same_check_rejects_one_stable_order():
    with pytest.raises(AssertionError):
        check_average_precision(lambda d, r: naive.stable(naive.average_precision, d, r))


def test_the_same_check_rejects_a_bucket_taken_at_its_mean_precision():
    """A tempting shortcut: every tied item gets the precision at the bucket's end."""

    def shortcut(distances, relevant):
        good, total = counts(distances, relevant)
        return float((np.cumsum(good) / np.maximum(np.cumsum(total), 1) * good[0]).sum() / good.sum())

    with pytest.raises(AssertionError):
        check_average_precision(shortcut)


@pytest.mark.parametrize(
    ("fast", "slow"),
    [
        (ranking.precision_at, naive.precision),
        (ranking.recall_at, naive.recall),
        (ranking.f1_at, naive.f1),
        (ranking.ndcg_at, naive.ndcg),
        (ranking.hit_at, naive.hit),
    ],
)
def test_measures_at_k_are_the_mean_over_every_order_of_the_ties(fast, slow):
    differs_from_stable = 0
    for distances, relevant in CASES:
        ks = [k for k in KS if k <= len(distances)]
        found = fast(*counts(distances, relevant), ks)
        assert found.shape == (1, len(ks))
        for value, k in zip(found[0], ks, strict=True):
            assert value == pytest.approx(naive.over_orders(slow, distances, relevant, k), abs=1e-12)
            differs_from_stable += abs(value - naive.stable(slow, distances, relevant, k)) > 1e-6
    assert differs_from_stable > 5, "the cases would not catch one stable order"


def test_first_rank_is_the_mean_over_every_order_of_the_ties():
    found = [ranking.first_rank(*counts(d, r))[0] for d, r in CASES]
    assert found == pytest.approx([naive.over_orders(naive.first, d, r) for d, r in CASES], abs=1e-12)


def test_without_ties_average_precision_is_the_textbook_one():
    rng = np.random.default_rng(0)
    good = rng.random((20, 300)) < 0.1
    found = ranking.average_precision(good.astype(np.int64), np.ones((20, 300), dtype=np.int64))
    assert found == pytest.approx([naive.average_precision(row.tolist()) for row in good], abs=1e-12)


def test_a_large_gallery_keeps_its_precision():
    """Closed form against the sum over t, bucket by bucket, at RSICD's size."""
    rng = np.random.default_rng(1)
    total = rng.integers(0, 3000, (1, 65))
    good = rng.binomial(total, 0.05)
    summed, n_before, r_before = 0.0, 0, 0
    for n, r in zip(total[0], good[0], strict=True):
        t = np.arange(1, n + 1)
        slope = (r - 1) / (n - 1) if n > 1 else 0.0
        summed += float((r / n * (r_before + 1 + (t - 1) * slope) / (n_before + t)).sum()) if n else 0.0
        n_before, r_before = n_before + n, r_before + r
    assert ranking.average_precision(good, total)[0] == pytest.approx(summed / good.sum(), rel=1e-11)


def packed(bits):
    """0/1 [n, K] with K at most 64 as uint64 [n, 1]."""
    return (bits.astype(np.uint64) << np.arange(bits.shape[1], dtype=np.uint64)).sum(1, dtype=np.uint64)[:, None]


@pytest.mark.parametrize("bits", [1, 7, 16, 64])
@pytest.mark.parametrize("block", [1, 50, 10_000])
def test_distance_counts_equal_a_loop(bits, block, monkeypatch):
    monkeypatch.setattr(counting, "BLOCK", block)
    rng = np.random.default_rng(bits)
    queries, gallery = rng.integers(0, 2, (7, bits)), rng.integers(0, 2, (23, bits))
    query_labels, gallery_labels = rng.integers(-1, 4, 7), rng.integers(-1, 3, 23)
    query_labels[:2] = -1, 3  # not known; not in the gallery
    relevant = np.zeros((7, bits + 1), dtype=int)
    total = np.zeros((7, bits + 1), dtype=int)
    for i in range(7):
        for j in range(23):
            distance = naive.hamming(queries[i].tolist(), gallery[j].tolist())
            total[i, distance] += 1
            relevant[i, distance] += query_labels[i] == gallery_labels[j] and query_labels[i] >= 0
    found = counting.distance_counts(packed(queries), packed(gallery), query_labels, gallery_labels, bits)
    assert relevant.sum() > 0
    np.testing.assert_array_equal(found[0], relevant)
    np.testing.assert_array_equal(found[1], total)


@pytest.mark.parametrize("bits", [5, 64, 100])
@pytest.mark.parametrize("classes", [0, 4])
def test_compiled_counts_are_those_of_numpy(bits, classes, monkeypatch):
    pytest.importorskip("numba", reason="the extra search is not installed")
    rng = np.random.default_rng(bits)
    words = -(-bits // 64)
    codes = [rng.integers(0, 2 ** min(bits, 63), (n, words), dtype=np.uint64) for n in (40, 60)]
    codes[1][:20] = codes[0][:20]
    for side in codes:
        side[:, -1] &= np.uint64(2 ** (bits % 64 or 64) - 1)
    labels = [rng.integers(-1, 4, n) for n in (40, 60)]
    labels[0][5] = 3
    labels[1][labels[1] == 3] = 2  # nothing is relevant to this query
    own = np.where(np.arange(40) < 10, np.arange(40), -1)
    found = []
    for many, queries in ((1, 7), (10**9, 512)):
        monkeypatch.setattr(counting, "MANY", many)
        monkeypatch.setattr(counting, "QUERIES", queries)
        blocks = list(counting.each_block(lambda block: block, *codes, *labels, bits, own=own, classes=classes))
        found.append([np.concatenate([getattr(block, name) for block in blocks]) for name in
                      ("relevant", "total", "classes", "stable")])  # fmt: skip
        assert [block.rows.start for block in blocks] == list(range(0, 40, queries))
    for compiled, plain in zip(*found, strict=True):
        np.testing.assert_allclose(compiled, plain, atol=1e-12)
    assert np.isnan(found[0][3]).any()
    assert found[0][0].sum() > 0


def test_queries_without_relevant_items_have_no_value():
    relevant, total = np.array([[0, 0], [1, 0]]), np.array([[1, 2], [1, 2]])
    for values in (
        ranking.average_precision(relevant, total),
        ranking.precision_at(relevant, total, [1])[:, 0],
        ranking.recall_at(relevant, total, [1])[:, 0],
        ranking.hit_at(relevant, total, [1])[:, 0],
        ranking.f1_at(relevant, total, [1])[:, 0],
        ranking.ndcg_at(relevant, total, [1])[:, 0],
        ranking.first_rank(relevant, total),
    ):
        np.testing.assert_array_equal(values, [np.nan, 1.0])
    assert ranking.median_rank(relevant, total) == 1.0


def test_what_becomes_of_queries_without_relevant_items_is_an_argument():
    values = np.array([np.nan, 0.5, 1.0])
    assert ranking.mean(values) == 0.75
    assert ranking.mean(values, without="zero") == 0.5
    with pytest.raises(DataError, match="1 of 3 queries"):
        ranking.mean(values, without="error")
    with pytest.raises(DataError, match="2 of 2 queries"):
        ranking.mean(np.full(2, np.nan), without="zero")
    assert ranking.settled(values[:, None], "zero").tolist() == [[0.0], [0.5], [1.0]]
    with pytest.raises(ConfigError, match="drop, zero or error"):
        ranking.mean(values, without="skip")


def test_k_must_fit_the_ranking():
    relevant, total = counts([0, 1, 1], [True, False, True])
    for k in (0, 4):
        with pytest.raises(ConfigError, match=f"k = {k}: the ranking has 3 items"):
            ranking.precision_at(relevant, total, [1, k])
    assert ranking.precision_at(relevant, total, []).shape == (1, 0)


def test_wrong_numbers_of_labels_and_empty_galleries_are_named():
    codes, labels = np.zeros((3, 1), dtype=np.uint64), np.zeros(3, dtype=np.int64)
    with pytest.raises(DataError, match="found 2 for 3 queries"):
        counting.distance_counts(codes, codes, labels[:2], labels, 8)
    with pytest.raises(DataError, match="gallery is empty"):
        counting.distance_counts(codes, codes[:0], labels, labels[:0], 8)


def test_chance_is_the_mean_over_every_order_of_everything():
    tables = counts([0, 1, 1, 2, 3, 3], [False, True, True, False, True, False])
    wanted = naive.over_orders(naive.average_precision, [0] * 6, [False, True, True, False, True, False])
    assert ranking.mean_average_precision(*ranking.all_tied(*tables)) == pytest.approx(wanted, abs=1e-12)


def test_within_a_radius_equals_a_loop():
    rows = [
        [(1, True), (1, False), (3, True)],
        [(2, False), (3, True), (4, False)],
        [(2, True), (2, False), (2, False)],
    ]
    tables = [counts(*zip(*row, strict=True)) for row in rows]
    tables.append(counts([1, 2, 2], [False] * 3))  # nothing relevant: left out, or counted as 0
    both = [np.concatenate(side) for side in zip(*tables, strict=True)]
    points = radius.within_radius(*both)
    assert [point.radius for point in points] == [1, 2, 3, 4]
    assert [point.answered for point in points] == pytest.approx([1 / 3, 1, 1, 1])
    for point in points:
        assert (point.precision, point.recall) == pytest.approx(naive.radius_point(rows, point.radius))
    zeros = radius.within_radius(*both, without="zero")
    assert [point.answered for point in zeros] == pytest.approx([2 / 4, 1, 1, 1])
    assert [point.recall for point in zeros] == pytest.approx([3 / 4 * point.recall for point in points])
    assert zeros[0].precision == pytest.approx((1 / 2 + 0) / 2)
    with pytest.raises(DataError, match="none of the queries"):
        radius.within_radius(*counts([1], [False]))
    halves = radius.radius_sums(*(side[:2] for side in both)) + radius.radius_sums(*(side[2:] for side in both))
    assert radius.radius_points(halves) == points


def test_ranks_of_a_curve_are_different_and_reach_both_ends():
    assert ranking.log_spaced(1) == [1]
    assert ranking.log_spaced(7) == [1, 2, 3, 4, 5, 6, 7]
    ranks = ranking.log_spaced(10_921)
    assert (ranks[0], ranks[-1]) == (1, 10_921)
    assert 30 < len(ranks) <= 40


def test_an_item_is_no_part_of_its_own_ranking():
    rng = np.random.default_rng(4)
    codes, labels = rng.integers(0, 16, (9, 1), dtype=np.uint64), rng.integers(0, 3, 9)
    own = np.arange(9)
    own[4] = -1  # a query that does not stand in the gallery
    relevant, total = counting.distance_counts(codes, codes, labels, labels, BITS, own=own)
    for row in range(9):
        kept = [j for j in range(9) if j != own[row]]
        alone = counting.distance_counts(codes[row : row + 1], codes[kept], labels[row : row + 1], labels[kept], BITS)
        np.testing.assert_array_equal((relevant[row], total[row]), (alone[0][0], alone[1][0]))
    assert (total.sum(axis=1) == [8, 8, 8, 8, 9, 8, 8, 8, 8]).all()


def test_shares_of_classes_are_the_mean_over_every_order_of_the_ties():
    rng = np.random.default_rng(5)
    gallery, labels = rng.integers(0, 4, (6, 1), dtype=np.uint64), np.array([0, 1, 1, 2, 0, 2])
    queries, query_labels = rng.integers(0, 4, (4, 1), dtype=np.uint64), np.array([0, 1, 2, 3])
    own = np.array([4, -1, -1, -1])
    args = queries, gallery, query_labels, labels, BITS
    (block,) = counting.each_block(lambda block: block, *args, own=own, classes=4)
    for row, label in enumerate(query_labels.tolist()):
        kept = [j for j in range(6) if j != own[row]]
        distances = [int(queries[row, 0] ^ gallery[j, 0]).bit_count() for j in kept]
        classes = labels[kept].tolist()
        wanted = [
            naive.over_orders(naive.share_of_class, distances, classes, one, classes.count(label))
            if label in classes
            else 0.0
            for one in range(4)
        ]
        assert block.classes[row] == pytest.approx(wanted, abs=1e-12)


def test_names_become_numbers_that_agree_on_both_sides():
    queries, gallery = counting.group_numbers(["river", None, "beach"], ["beach", "forest", None])
    assert queries.tolist() == [2, -1, 0]
    assert gallery.tolist() == [0, 1, -1]
    assert queries.dtype == gallery.dtype == np.int64
