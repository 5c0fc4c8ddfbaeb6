"""The field's conventions, each against its definition over every order of the ties."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import hypergeom

from dtbh.errors import ConfigError
from dtbh.evaluation.metrics import map_variants, ranking
from tests.evaluation.test_ranking import CASES, counts
from tests.reference import ranking as naive

NAMED = [(one.at_k, getattr(naive, name)) for name, one in map_variants.CONVENTIONS.items() if one.at_k is not None]
LONG = [([0, 1, 1, 1, 1, 1, 2], [False, True, True, False, True, False, True]), ([3] * 7, [True] * 4 + [False] * 3)]


@pytest.mark.parametrize(("fast", "slow"), NAMED)
def test_a_convention_is_the_mean_over_every_order_of_the_ties(fast, slow):
    for distances, relevant in CASES + LONG:
        for k in range(1, len(distances) + 1):
            wanted = naive.over_orders(slow, distances, relevant, k)
            found = fast(*counts(distances, relevant), k)
            assert found == pytest.approx([wanted], abs=1e-12), (distances, relevant, k)


def test_the_conventions_differ():
    """The cases could not tell them apart otherwise."""
    tables = counts(*LONG[0])
    values = [fast(*tables, 3)[0] for fast, _ in NAMED]
    assert len({round(value, 6) for value in values}) == len(NAMED)


@pytest.mark.parametrize(("fast", "slow"), NAMED)
def test_large_buckets_keep_their_precision(fast, slow):
    """Against many drawn orders; first_k_relevant has sums over thousands of places."""
    rng = np.random.default_rng(0)
    relevant, total = np.array([[2, 30, 40]]), np.array([[5, 900, 600]])
    found = fast(relevant, total, 20)[0]
    drawn = []
    for _ in range(2000):
        order = [
            rng.permutation(np.arange(n) < r) for n, r in zip(total[0].tolist(), relevant[0].tolist(), strict=True)
        ]
        drawn.append(slow(np.concatenate(order).tolist(), 20))
    assert found == pytest.approx(np.mean(drawn), abs=5 * np.std(drawn) / len(drawn) ** 0.5)
    assert np.std(drawn) > 0


@pytest.mark.parametrize("fast", [fast for fast, _ in NAMED])
def test_over_the_whole_ranking_all_agree(fast):
    rng = np.random.default_rng(1)
    relevant = rng.integers(0, 6, (5, 9))
    total = relevant + rng.integers(1, 9, (5, 9))
    total[:, -1] += total.sum(axis=1).max() - total.sum(axis=1)
    relevant[3] = 0
    found = fast(relevant, total, int(total[0].sum()))
    np.testing.assert_allclose(found, ranking.average_precision(relevant, total), atol=1e-12)
    assert np.isnan(found[3])
    with pytest.raises(ConfigError, match="k = 0"):
        fast(relevant, total, 0)


def test_one_stable_order_is_that_of_a_loop_and_shuffling_changes_it():
    distances, relevant = [[1, 1, 1, 2], [3, 1, 1, 3]], [[True, False, False, True], [False] * 4]
    found = map_variants.stable_order(distances, relevant)
    assert found[0] == pytest.approx(naive.stable(naive.average_precision, distances[0], relevant[0]))
    assert np.isnan(found[1])
    order = [2, 1, 0, 3]
    shuffled = map_variants.stable_order([[distances[0][i] for i in order]], [[relevant[0][i] for i in order]])
    assert abs(shuffled[0] - found[0]) > 0.1


def test_nmrr_is_the_mean_over_every_order_of_the_ties():
    for distances, relevant in CASES + LONG:
        wanted = naive.over_orders(naive.nmrr, distances, relevant)
        assert ranking.nmrr(*counts(distances, relevant)) == pytest.approx([wanted], abs=1e-12)
    assert ranking.nmrr(*counts([0, 1, 2], [True, False, False])) == [0.0]
    assert ranking.nmrr(*counts([0, 1, 2], [False, False, True])) == [1.0]
    assert np.isnan(ranking.nmrr(*counts([0], [False])))


@pytest.mark.parametrize(("fast", "slow"), NAMED)
def test_chance_is_the_mean_over_every_order_of_everything(fast, slow):
    for distances, relevant in CASES + LONG:
        tables = ranking.all_tied(*counts(distances, relevant))
        for k in range(1, len(distances) + 1):
            wanted = naive.over_orders(slow, [0] * len(distances), relevant, k)
            assert fast(*tables, k) == pytest.approx([wanted], abs=1e-12)


@pytest.mark.parametrize(("n", "r", "k"), [(3000, 600, 20), (4000, 1200, 1), (3000, 1400, 40), (3000, 21, 20)])
def test_the_first_relevant_ones_of_a_large_bucket_are_found_without_all_its_places(n, r, k):
    """Against the distribution of each one's rank: the i-th is at t where i - 1 of r stand among the t - 1 before."""
    t = np.arange(1, n + 1)
    wanted = np.mean([
        (i / t * hypergeom(n, r, t - 1).pmf(i - 1) * (r - i + 1) / (n - t + 1)).sum() for i in range(1, k + 1)
    ])  # fmt: skip
    assert map_variants.first_k_relevant(np.array([[r]]), np.array([[n]]), k) == pytest.approx([wanted], rel=1e-9)
    looked = map_variants._reach(*(np.array([one]) for one in (n, r, k)))[0]
    assert looked < n if r > 100 else looked == n


@pytest.mark.parametrize("front", [(1, 3, 1), (2, 11, 1), (1, 8, 1)])  # their sums were above 1 by a rounding
def test_a_perfect_ranking_is_never_more_than_perfect(front):
    relevant, total = np.array([[*front, 0]]), np.array([[*front, 5]])
    for measure in (map_variants.all_relevant, map_variants.hits_in_top_k, map_variants.min_r_k):
        assert measure(relevant, total, 20 if sum(front) > 15 else sum(front))[0] == 1
