"""Paired tests as loops: every change of signs, one after another."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product


def sums_by_cluster(differences: Sequence[float], clusters: Sequence[int]) -> list[float]:
    """The sum of each cluster."""
    sums: dict[int, float] = {}
    for difference, cluster in zip(differences, clusters, strict=True):
        sums[cluster] = sums.get(cluster, 0.0) + difference
    return list(sums.values())


def p_value(sums: Sequence[float]) -> float:
    """The share of all changes of signs under which the sum is at least as far from 0."""
    observed, far, count = abs(sum(sums)), 0, 0
    for signs in product((-1, 1), repeat=len(sums)):
        count += 1
        far += abs(sum(sign * value for sign, value in zip(signs, sums, strict=True))) >= observed - 1e-12
    return far / count


def holm(values: Sequence[float]) -> list[float]:
    """Each value times the number of those not smaller, ties by order, and never below a smaller one's."""
    corrected = []
    for n, value in enumerate(values):
        bound = 0.0
        for m, other in enumerate(values):
            if (other, m) <= (value, n):
                later = sum(1 for k, third in enumerate(values) if (third, k) >= (other, m))
                bound = max(bound, min(1.0, later * other))
        corrected.append(bound)
    return corrected
