"""What is a few lines of NumPy here, beside SciPy's: tables of factorials, the bootstrap, the permutation test."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.special import digamma, gammaln
from scipy.stats import bootstrap, permutation_test

from dtbh.evaluation.comparison import RESAMPLES, paired_test
from dtbh.evaluation.metrics import intervals
from dtbh.evaluation.metrics.factorials import harmonic_numbers, log_choose, log_factorials


@pytest.mark.parametrize("n", [0, 1, 3, 15, 16, 100_000])
def test_tables_are_scipy_s_to_rounding(n):
    places = np.arange(1.0, len(harmonic_numbers(n)) + 1)
    assert len(places) > n
    np.testing.assert_allclose(harmonic_numbers(n), digamma(places) + np.euler_gamma, rtol=1e-15, atol=1e-15)
    np.testing.assert_allclose(log_factorials(n), gammaln(places), rtol=2e-15)


def test_binomials():
    assert np.exp(log_choose(log_factorials(50), np.array([50, 7, 3]), np.array([25, 0, 3]))) == pytest.approx(
        [126410606437752, 1, 1], rel=1e-12
    )


@pytest.mark.parametrize("alike", [True, False])
@pytest.mark.parametrize("cells", [1000, 4_000_000])
def test_intervals_are_scipy_s(alike, cells, monkeypatch):
    monkeypatch.setattr(intervals, "CELLS", cells)
    rng = np.random.default_rng(3)
    clusters = np.arange(60) // 2 if alike else rng.integers(0, 20, 60)
    values = rng.random(60)
    inverse = np.unique(clusters, return_inverse=True)[1]
    sums, counts = np.bincount(inverse, values), np.bincount(inverse)
    wanted = bootstrap(
        (sums, counts), lambda sums, counts, axis: sums.sum(axis=axis) / counts.sum(axis=axis), paired=True,
        n_resamples=intervals.RESAMPLES, batch=max(1, cells // len(sums)), method="percentile", vectorized=True,
        random_state=np.random.default_rng(5),
    ).confidence_interval  # fmt: skip
    found = intervals.interval(values, clusters, 5)
    assert found == pytest.approx((wanted.low, wanted.high), rel=1e-12)
    assert found[0] < found[1]


@pytest.mark.parametrize("n", [2, 13, 14, 40])  # up to 13 all signs are tried
@pytest.mark.parametrize("digits", [1, 9])  # rounded ones tie
def test_the_paired_test_is_scipy_s(n, digits):
    gaps = np.random.default_rng(n).normal(0.1, 0.3, n).round(digits)
    gaps = np.where(gaps == 0, 0.1, gaps)
    wanted = permutation_test(
        (gaps,), lambda x, axis: x.sum(axis=axis), permutation_type="samples", vectorized=True,
        n_resamples=RESAMPLES, batch=1000, random_state=np.random.default_rng(7),
    ).pvalue  # fmt: skip
    assert paired_test(gaps, np.arange(n), 7) == pytest.approx(wanted, abs=0.02)
    if n <= 13:
        assert paired_test(gaps, np.arange(n), 7) == wanted
