"""Harmonic numbers and logarithms of factorials, as tables, exact to rounding.

The first are summed up; the others come from the series of Stirling and Euler with Bernoulli's numbers (Abramowitz and
Stegun 1964, 6.1.40 and 6.3.18), whose first term left out is below 1e-17.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import numpy as np

from dtbh.evaluation.metrics.counts import Floats, Ints

FIRST = 16
BERNOULLI = (1 / 6, -1 / 30, 1 / 42, -1 / 30, 5 / 66, -691 / 2730, 7 / 6)


def table_to(n: int) -> int:
    """Where a table that is looked up at 0..n ends: at a power of two, so that one table serves many galleries."""
    return 1 << int(n).bit_length()


def harmonic_numbers(n: int) -> Floats:
    """H[0], H[1], ... to H[n] at least."""
    return _harmonic(table_to(n))


def log_factorials(n: int) -> Floats:
    """Log 0!, log 1!, ... to log n! at least."""
    return _log_factorials(table_to(n))


def log_choose(log: Floats, n: Ints, k: Ints) -> Floats:
    """Log C(n, k) for 0 <= k <= n, from ``log_factorials``."""
    return np.asarray(log[n] - log[k] - log[n - k])


@lru_cache(maxsize=4)
def _harmonic(n: int) -> Floats:
    few = np.cumsum([0.0, *(1 / x for x in range(1, FIRST))])
    x = np.arange(FIRST, n + 1, dtype=np.float64)
    rest = _series(x, [b / (2 * k) for k, b in enumerate(BERNOULLI, 1)]) / x
    return np.concatenate([few, np.log(x) + (np.euler_gamma + (0.5 / x - rest))])[: n + 1]


@lru_cache(maxsize=4)
def _log_factorials(n: int) -> Floats:
    few = np.cumsum([0.0, *(np.log(x) for x in range(1, FIRST))])
    x = np.arange(FIRST, n + 1, dtype=np.float64)
    rest = _series(x, [b / (2 * k * (2 * k - 1)) for k, b in enumerate(BERNOULLI, 1)])
    return np.concatenate([few, (x + 0.5) * np.log(x) - x + (0.5 * np.log(2 * np.pi) + rest)])[: n + 1]


def _series(x: Floats, factors: Sequence[float]) -> Floats:
    """The sum of ``factors[0] / x``, ``factors[1] / x^3``, ``factors[2] / x^5`` and so on."""
    square, total = 1 / (x * x), np.zeros_like(x)
    for factor in reversed(factors):
        total = total * square + factor
    return total / x
