"""Average precision as other code defines it, so that a published figure can be met on its own terms.

What differs is how far one looks and what the sum of precisions is divided by; ties are averaged over all orders here
too, but for ``stable_order``, which is one order. Over a whole ranking (k at its end) the first four all equal
``ranking.average_precision``.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from dtbh.evaluation.metrics.counts import Floats, Ints, stable_order
from dtbh.evaluation.metrics.factorials import harmonic_numbers, log_choose, log_factorials
from dtbh.evaluation.metrics.ranking import before, check_k, cut, per_relevant, precision_sums

__all__ = ["CONVENTIONS", "Convention", "all_relevant", "first_k_relevant", "hits_in_top_k", "min_r_k", "stable_order"]

K = 20  # the k of MiLaN's figures, and of those in a report


def hits_in_top_k(relevant: Ints, total: Ints, k: int) -> Floats:
    """Average precision of the first k, divided by the relevant items among them; 0 where there is none.

    Used by MiLaN and MHCLN (mAP@20), by DeepHash-style code (``CalcTopMap``) and by torchmetrics with
    ``top_k``. A query with one hit, at rank 1, has 1 here, however much it misses.

    The number of hits in the bucket that k cuts is random over the orders (hypergeometric), and the mean is
    taken over it.

    Args:
        relevant: Relevant items at each distance, int64 [q, d].
        total: All items at each distance, int64 [q, d].
        k: From 1 to the ranking's length.

    Returns:
        float64 [q] in [0, 1]; NaN for a query without relevant items.
    """
    check_k(total, [k])
    has = relevant.sum(axis=1) > 0
    relevant, total = _front(relevant, total, reached=np.cumsum(total, axis=1) >= k)
    bucket, places = cut(total, [k])
    n, r, n_before, r_before = (
        np.take_along_axis(a, bucket, axis=1) for a in (total, relevant, before(total), before(relevant))
    )
    whole = precision_sums(relevant, total, np.where(before(total) + total < k, total, 0))[:, None]
    hits = np.arange(k + 1)[None, :]
    log = log_factorials(int(total.sum(axis=1).max(initial=0)))
    possible = (hits <= r) & (hits <= places) & (places - hits <= n - r)
    some = np.where(possible, hits, np.maximum(places - (n - r), 0))
    chance = np.where(possible, np.exp(log_choose(log, r, some) + log_choose(log, n - r, places - some)
                                       - log_choose(log, n, places)), 0.0)  # fmt: skip
    harmonic = harmonic_numbers(int(total.sum(axis=1).max(initial=0)))
    slope = (hits - 1) / np.maximum(places - 1, 1) * (places > 1)
    stretch = harmonic[n_before + places] - harmonic[n_before]
    part = hits / np.maximum(places, 1) * ((r_before + 1 - slope * (n_before + 1)) * stretch + slope * places)
    values = (chance * (whole + part) / np.maximum(r_before + hits, 1)).sum(axis=1)
    return np.where(has, np.minimum(values, 1.0), np.nan)


def all_relevant(relevant: Ints, total: Ints, k: int) -> Floats:
    """Average precision of the first k, divided by all relevant items of the query, found or not.

    Used by trec_eval (``map_cut``) and ranx. Where a query has more than k relevant items, not even a perfect
    ranking has 1. Arguments and result as in ``hits_in_top_k``.
    """
    return np.minimum(per_relevant(_sum_to(relevant, total, k), relevant), 1.0)


def min_r_k(relevant: Ints, total: Ints, k: int) -> Floats:
    """Average precision of the first k, divided by min(R, k), the most that could be found among them.

    Used by Kaggle's competitions, such as the Google Landmarks retrieval (mAP@100); with k = R it is MAP@R
    (Musgrave et al. 2020). Arguments and result as in ``hits_in_top_k``.
    """
    wanted = np.minimum(relevant.sum(axis=1), k)
    with np.errstate(invalid="ignore"):
        return np.asarray(np.minimum(_sum_to(relevant, total, k) / wanted, 1.0))


def first_k_relevant(relevant: Ints, total: Ints, k: int) -> Floats:
    """The mean precision at the first k relevant items, at whatever depth they stand.

    Used by the ``calc_map_k`` of DCMH and the cross-modal hashing code that came after it (DJSRH and others).
    What stands behind the k-th relevant item does not count. Arguments and result as in ``hits_in_top_k``.

    In the bucket of n items, r of them relevant, of which only the first m count, the item at place t is the
    relevant one number h + 1 where h of the r - 1 others stand before it; with the hypergeometric
    distribution of h this place adds ``r/n * E[(R + 1 + h); h < m] / (N + t)``.
    """
    check_k(total, [k])
    wanted = np.minimum(relevant.sum(axis=1), k)[:, None]
    relevant, total = _front(relevant, total, reached=np.cumsum(relevant, axis=1) >= wanted)
    r_before = before(relevant)
    whole = r_before + relevant <= wanted
    sums = precision_sums(relevant, total, np.where(whole, total, 0))
    rows, buckets = np.nonzero(~whole & (r_before < wanted))
    if len(rows):
        n, r, n_before, found = (a[rows, buckets] for a in (total, relevant, before(total), r_before))
        sums[rows] += _first_of_bucket(n, r, n_before, found, wanted[rows, 0] - found)
    with np.errstate(invalid="ignore"):
        return np.asarray(np.minimum(sums / wanted[:, 0], 1.0))


def _first_of_bucket(n: Ints, r: Ints, n_before: Ints, r_before: Ints, m: Ints) -> Floats:
    """What the first m < r relevant items of each bucket add, float64 [b]; all places of all buckets in one row."""
    log = log_factorials(int(n.max()))
    places = _reach(n, r, m)
    start = np.cumsum(places) - places
    each = np.repeat(np.arange(len(n)), places)
    drawn = np.arange(places.sum()) - start[each]  # places before this one
    few = _at_most(log, n - 1, r - 1, m - 1, each, drawn, start)
    fewer = _at_most(log, n - 2, r - 2, m - 2, each, drawn - 1, start)
    mean = drawn * ((r - 1) / np.maximum(n - 1, 1))[each]
    added = ((r_before + 1)[each] * few + mean * fewer) / (n_before[each] + drawn + 1)
    return np.add.reduceat(added, start) * r / n


def _reach(n: Ints, r: Ints, m: Ints) -> Ints:
    """How many of n places to look at for the first m of r relevant items.

    Behind them fewer than m were met with a probability below exp(-42), which no sum in float64 notices: by Chernoff's
    bound ``exp(-(mean - m)^2 / (2 mean))``, which holds for the hypergeometric distribution too.
    """
    mean = m + 42 + np.sqrt(42**2 + 84 * m)
    return np.minimum(n, np.ceil(mean * n / np.maximum(r - 2, 1)).astype(np.int64) + 2)


def _at_most(log: Floats, size: Ints, marked: Ints, most: Ints, each: Ints, drawn: Ints, start: Ints) -> Floats:
    """P(at most ``most`` marked ones among those drawn), for 0, 1, 2, ... drawn: 1 less what tips it over, summed.

    With one more drawn, the probability falls by ``P(exactly most so far) * P(the next is marked)``.
    """
    size, marked, most = size[each], marked[each], most[each]
    rest = size - marked
    possible = (most >= 0) & (drawn >= most) & (drawn - most <= rest) & (drawn < size)
    safe, taken = np.where(possible, most, 0), np.where(possible, drawn, 0)
    exactly = np.exp(log_choose(log, np.maximum(marked, 0), np.minimum(safe, np.maximum(marked, 0)))
                     + log_choose(log, np.maximum(rest, 0), np.where(possible, taken - safe, 0))
                     - log_choose(log, np.maximum(size, 0), taken))  # fmt: skip
    falls = np.where(possible, exactly * (marked - safe) / np.maximum(size - taken, 1), 0.0)
    fallen = np.cumsum(falls) - falls
    return np.where(most >= 0, np.clip(1 - (fallen - fallen[start][each]), 0.0, 1.0), 0.0)


@dataclass(frozen=True)
class Convention:
    """One of them: what it is and who uses it, for readers; ``at_k`` is None for the stable order."""

    meaning: str
    used_by: str
    at_k: Callable[[Ints, Ints, int], Floats] | None


CONVENTIONS = {
    "hits_in_top_k": Convention(
        f"first {K}, divided by the hits in them", "MiLaN, DeepHash, torchmetrics", hits_in_top_k
    ),
    "all_relevant": Convention(f"first {K}, divided by all relevant ones", "trec_eval, ranx", all_relevant),
    "min_r_k": Convention(f"first {K}, divided by min(R, {K})", "Kaggle, MAP@R", min_r_k),
    "first_k_relevant": Convention(f"first {K} relevant ones at any depth", "DCMH, DJSRH and others", first_k_relevant),
    "stable_order": Convention("whole ranking, ties in the gallery's order", "every plain argsort", None),
}


def _sum_to(relevant: Ints, total: Ints, k: int) -> Floats:
    """The expected sum of precisions at the relevant items among the first k, float64 [q]."""
    check_k(total, [k])
    relevant, total = _front(relevant, total, reached=np.cumsum(total, axis=1) >= k)
    return precision_sums(relevant, total, np.clip(k - before(total), 0, total))


def _front(relevant: Ints, total: Ints, *, reached: npt.NDArray[np.bool_]) -> tuple[Ints, Ints]:
    """The buckets up to the first that every query has reached: what stands behind it changes nothing."""
    end = int(np.argmax(reached, axis=1).max(initial=0)) + 1
    return relevant[:, :end], total[:, :end]
