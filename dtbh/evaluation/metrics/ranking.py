"""The measures of a ranking, each exact over all orders of tied items.

Codes of K bits have only K + 1 distances, so ties are the rule: every measure here is its mean over all orders of the
tied items, in closed form, and no order is ever drawn. Ranks count from 1.

Sources: McSherry and Najork, Computing Information Retrieval Performance Measures Efficiently in the
Presence of Tied Scores, ECIR 2008; He, Cakir, Bargal and Sclaroff, Hashing as Tie-Aware Learning to Rank,
CVPR 2018. A query without any relevant item has no value: each measure gives NaN there, and ``mean`` says
what becomes of it.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Literal

import numpy as np
import numpy.typing as npt

from dtbh.errors import ConfigError, DataError
from dtbh.evaluation.metrics.counts import Floats, Ints
from dtbh.evaluation.metrics.factorials import harmonic_numbers, log_choose, log_factorials, table_to

Without = Literal["drop", "zero", "error"]


def average_precision(relevant: Ints, total: Ints) -> Floats:
    """Average precision of each query: its mean over all orders of tied items.

    A bucket of n items, r of them relevant, that comes after N items with R relevant adds
    ``sum over t = 1..n of r/n * (R + 1 + (t - 1) (r - 1) / (n - 1)) / (N + t)``; the sum over buckets is
    divided by all relevant items of the query (McSherry and Najork 2008, section 2.3; He et al. 2018, eq. 6).
    With a = (r - 1) / (n - 1) and harmonic numbers H this is
    ``r/n * ((R + 1 - a (N + 1)) (H[N + n] - H[N]) + a n)``.

    Args:
        relevant: Relevant items at each distance, int64 [q, d].
        total: All items at each distance, int64 [q, d].

    Returns:
        float64 [q] in [0, 1]; NaN for a query without relevant items.
    """
    return np.minimum(per_relevant(precision_sums(relevant, total, total), relevant), 1.0)


def precision_sums(relevant: Ints, total: Ints, places: Ints) -> Floats:
    """The expected sum of the precisions at relevant items, float64 [q], over the first ``places`` of each bucket."""
    n_before, r_before = before(total), before(relevant)
    slope = (relevant - 1) / np.maximum(total - 1, 1) * (total > 1)
    harmonic = harmonic_numbers(int(total.sum(axis=1).max(initial=0)))
    stretch = harmonic[n_before + places] - harmonic[n_before]
    added = relevant / np.maximum(total, 1) * ((r_before + 1 - slope * (n_before + 1)) * stretch + slope * places)
    return np.asarray(added.sum(axis=1))


@lru_cache(maxsize=4)
def _discounts(n: int) -> Floats:
    """The sums of 1/log2(1 + rank) over the first 0, 1, ..., n ranks."""
    return np.concatenate([[0.0], np.cumsum(1 / np.log2(2 + np.arange(n)))])


def mean(values: Floats, *, without: Without = "drop") -> float:
    """The mean over queries.

    Args:
        values: One figure per query, float64 [q]; NaN for queries without relevant items.
        without: What becomes of those: ``"drop"`` leaves them out, ``"zero"`` counts them as 0, ``"error"``
            refuses.

    Raises:
        DataError: No query has a relevant item; or one has none and ``without`` is ``"error"``.
        ConfigError: ``without`` is none of the three.
    """
    return float(settled(values, without).mean())


def settled(values: Floats, without: Without) -> Floats:
    """The figures that count, float64 [q] or [q, k]: queries without relevant items dropped, or as 0; errors as above.

    Rows are kept in order; ``"drop"`` leaves fewer of them.
    """
    if without not in ("drop", "zero", "error"):
        raise ConfigError(f"without must be drop, zero or error, found {without!r}")
    none = np.isnan(values if values.ndim == 1 else values[:, 0])
    if none.all() or (without == "error" and none.any()):
        raise DataError(
            f"{int(none.sum())} of {len(values)} queries have no relevant item in the gallery; "
            "check the labels of both sides"
        )
    return np.nan_to_num(values, nan=0.0) if without == "zero" else values[~none]


def mean_average_precision(relevant: Ints, total: Ints, *, without: Without = "drop") -> float:
    """``mean`` of ``average_precision`` over the queries; arguments and errors as there."""
    return mean(average_precision(relevant, total), without=without)


def hits_at(relevant: Ints, total: Ints, k: Sequence[int]) -> Floats:
    """Expected number of relevant items among the first k: float64 [q, len(k)].

    Inside the bucket that k cuts it grows linearly (the mean of the hypergeometric distribution), so over ranks
    it goes straight from one bucket's end to the next one's. All queries are looked up behind each other.

    Raises:
        ConfigError: A k below 1, or beyond the ranking's length.
    """
    check_k(total, k)
    rows = np.arange(len(total))[:, None] * (total.sum(axis=1).max(initial=0) + 1)
    ends, found = (np.pad(np.cumsum(counts, axis=1), ((0, 0), (1, 0))) for counts in (total, relevant))
    ranks = rows + np.asarray(k, dtype=np.int64).reshape(1, -1)
    return np.asarray(np.interp(ranks.ravel(), (rows + ends).ravel(), found.ravel()).reshape(ranks.shape))


def precision_at(relevant: Ints, total: Ints, k: Sequence[int]) -> Floats:
    """Expected share of relevant items among the first k: float64 [q, len(k)] in [0, 1].

    Raises:
        ConfigError: A k below 1, or beyond the ranking's length.
    """
    found = hits_at(relevant, total, k) / np.asarray(k, dtype=np.float64)
    return np.where(has_relevant(relevant)[:, None], found, np.nan)


def recall_at(relevant: Ints, total: Ints, k: Sequence[int]) -> Floats:
    """Expected share of a query's relevant items that stand among the first k: float64 [q, len(k)].

    Raises:
        ConfigError: A k below 1, or beyond the ranking's length.
    """
    return per_relevant(hits_at(relevant, total, k), relevant)


def f1_at(relevant: Ints, total: Ints, k: Sequence[int]) -> Floats:
    """Expected F1 of the first k: float64 [q, len(k)] in [0, 1].

    With h hits among the first k and R relevant items in all, precision h/k and recall h/R have the
    harmonic mean ``2 h / (k + R)``, which is linear in h: its mean over the orders is that at the mean h.

    Raises:
        ConfigError: A k below 1, or beyond the ranking's length.
    """
    all_relevant = relevant.sum(axis=1, keepdims=True)
    found = 2 * hits_at(relevant, total, k) / (np.asarray(k, dtype=np.float64) + all_relevant)
    return np.where(all_relevant > 0, found, np.nan)


def ndcg_at(
    relevant: Ints, total: Ints, k: Sequence[int], *, gains: Ints | None = None, grades: Ints | None = None
) -> Floats:
    """Expected NDCG of the first k: float64 [q, len(k)] in [0, 1]. Gain 1 if relevant, discount 1/log2(1 + rank).

    Each place of a bucket of n items, r relevant, has the expected gain r/n (McSherry and Najork 2008; He et
    al. 2018); the ideal ranking has all relevant items first, at most k. With graded gains, which sum up to s in the
    bucket, it is s/n, and the ideal ranking has the largest gains first (Järvelin and Kekäläinen 2002).

    Args:
        relevant: Relevant items at each distance, int64 [q, d].
        total: All items at each distance, int64 [q, d].
        k: Each from 1 to the ranking's length.
        gains: The sum of the gains at each distance, int64 [q, d]; None: 1 for each relevant item.
        grades: How many items of each ranking have gain 1, 2, ..., int64 [q, g]; None likewise.

    Raises:
        ConfigError: A k below 1, or beyond the ranking's length.
    """
    check_k(total, k)
    columns = [_ndcg(relevant, total, one, gains, grades) for one in k]
    return np.stack(columns, axis=1) if columns else np.zeros((len(total), 0))


def ndcg(relevant: Ints, total: Ints, *, gains: Ints | None = None, grades: Ints | None = None) -> Floats:
    """Expected NDCG of the whole ranking, float64 [q]; arguments as in `ndcg_at`."""
    return _ndcg(relevant, total, int(total.sum(axis=1).max(initial=0)), gains, grades)


def _ndcg(relevant: Ints, total: Ints, k: int, gains: Ints | None, grades: Ints | None) -> Floats:
    """The expected NDCG of the first k, float64 [q]."""
    discounts = _discounts(table_to(total.sum(axis=1).max(initial=0)))
    n_before, gain = before(total), (relevant if gains is None else gains) / np.maximum(total, 1)
    reached = discounts[np.minimum(n_before + total, k)] - discounts[np.minimum(n_before, k)]
    if grades is None:
        ideal = discounts[np.minimum(relevant.sum(axis=1), k)]
    else:
        largest = grades[:, ::-1]
        first = before(largest)
        each = discounts[np.minimum(first + largest, k)] - discounts[np.minimum(first, k)]
        ideal = each @ np.arange(grades.shape[1], 0, -1)
    with np.errstate(invalid="ignore"):
        return np.asarray(np.minimum((gain * reached).sum(axis=1) / ideal, 1.0))


def hit_at(relevant: Ints, total: Ints, k: Sequence[int]) -> Floats:
    """Probability that at least one relevant item stands among the first k: float64 [q, len(k)].

    This is the R@k of cross-modal retrieval by true pairs. Where m places of the cut bucket of n items, r
    relevant, fall within k, none of them is relevant with probability C(n - r, m) / C(n, m).

    Raises:
        ConfigError: A k below 1, or beyond the ranking's length.
    """
    check_k(total, k)
    bucket, places = cut(total, k)
    n, r = (np.take_along_axis(counts, bucket, axis=1) for counts in (total, relevant))
    found_before = np.take_along_axis(before(relevant), bucket, axis=1) > 0
    possible = places <= n - r
    log = log_factorials(int(total.max(initial=0)))
    log_none = log_choose(log, n - r, np.where(possible, places, 0)) - log_choose(log, n, places)
    none = np.where(found_before | ~possible, 0.0, np.minimum(np.exp(log_none), 1.0))
    return np.where(has_relevant(relevant)[:, None], 1.0 - none, np.nan)


def first_rank(relevant: Ints, total: Ints) -> Floats:
    """Expected rank of the first relevant item, float64 [q], from 1; NaN where there is none.

    Of n tied items with r relevant, after N others, the first relevant one is expected at
    N + (n + 1) / (r + 1).
    """
    has = has_relevant(relevant)
    bucket = np.argmax(relevant > 0, axis=1)[:, None]
    n, r, n_before = (np.take_along_axis(a, bucket, axis=1)[:, 0] for a in (total, relevant, before(total)))
    return np.where(has, n_before + (n + 1) / (r + 1), np.nan)


def median_rank(relevant: Ints, total: Ints) -> float:
    """The median over queries of ``first_rank``; queries without relevant items are left out.

    Raises:
        DataError: No query has a relevant item.
    """
    ranks = first_rank(relevant, total)
    if np.isnan(ranks).all():
        raise DataError(f"none of {len(ranks)} queries has a relevant item in the gallery; check the pairs")
    return float(np.nanmedian(ranks))


def nmrr(relevant: Ints, total: Ints) -> Floats:
    """Normalised modified retrieval rank of MPEG-7, float64 [q]: 0 is best, 1 is worst. Its mean is the ANMRR.

    Each of a query's R relevant items has its rank, or 1.25 K where that is beyond K = 2 R; of their mean
    rank, ``(mean - (1 + R) / 2) / (1.25 K - (1 + R) / 2)``. K = 2 R is what remote sensing retrieval takes (Cao
    et al., arXiv 1902.05818, among others); MPEG-7 itself takes min(4 R, 2 max R).
    """
    wanted = relevant.sum(axis=1, keepdims=True)
    last, first = before(total) + total, before(total)
    inside, start = np.minimum(last, 2 * wanted), np.minimum(first, 2 * wanted)
    ranks = (inside * (inside + 1) - start * (start + 1)) / 2 + 2.5 * wanted * (total - (inside - start))
    summed = (relevant / np.maximum(total, 1) * ranks).sum(axis=1)
    best = (1 + wanted[:, 0]) / 2
    return np.asarray((per_relevant(summed, relevant) - best) / (2.5 * wanted[:, 0] - best))


def log_spaced(length: int, points: int = 40) -> list[int]:
    """About ``points`` different ranks from 1 to ``length``, evenly spaced on a log scale."""
    return sorted(set(np.round(np.geomspace(1, length, points)).astype(int).tolist()))


def all_tied(relevant: Ints, total: Ints) -> tuple[Ints, Ints]:
    """The same items in one bucket, int64 [q, 1] twice: any measure over it is that of a random ranking."""
    return relevant.sum(axis=1, keepdims=True), total.sum(axis=1, keepdims=True)


def before(counts: Ints) -> Ints:
    """At each bucket, the count of all buckets before it."""
    return np.cumsum(counts, axis=1) - counts


def has_relevant(relevant: Ints) -> npt.NDArray[np.bool_]:
    """Which queries have anything relevant, bool [b]."""
    return np.asarray(relevant.sum(axis=1) > 0)


def per_relevant(values: Floats, relevant: Ints) -> Floats:
    """Values [q] or [q, k] divided by each query's number of relevant items; NaN where there is none."""
    count = relevant.sum(axis=1).astype(np.float64).reshape(-1, *[1] * (values.ndim - 1))
    return np.asarray(np.divide(values, count, out=np.full(values.shape, np.nan), where=count > 0))


def check_k(total: Ints, k: Sequence[int]) -> None:
    """Raise `ConfigError` unless each k is from 1 to the length of the shortest ranking."""
    length = int(total.sum(axis=1).min(initial=np.iinfo(np.int64).max))
    wrong = [one for one in k if not 1 <= one <= length]
    if wrong:
        raise ConfigError(f"k = {wrong[0]}: the ranking has {length} items; choose k from 1 to {length}")


def cut(total: Ints, k: Sequence[int]) -> tuple[Ints, Ints]:
    """For each query and k, the bucket that holds rank k, and how many of its places lie within k."""
    reached = np.cumsum(total, axis=1)
    ranks = np.asarray(k, dtype=np.int64)
    bucket = (reached[:, None, :] < ranks[:, None]).sum(axis=2)
    places = ranks - np.take_along_axis(before(total), bucket, axis=1)
    return bucket, places
