"""The measures of a ranking, each exact over all orders of tied items.

Comes in: packed codes and integer labels (or pair numbers), and from them two counts per query and
distance: how many gallery items stand at that distance (``total``) and how many of them are relevant
(``relevant``). Codes of K bits have only K + 1 distances, so ties are the rule: every measure here is its
mean over all orders of the tied items, in closed form, and no order is ever drawn. Ranks count from 1.
No torch in this room.

Sources: McSherry and Najork, Computing Information Retrieval Performance Measures Efficiently in the
Presence of Tied Scores, ECIR 2008; He, Cakir, Bargal and Sclaroff, Hashing as Tie-Aware Learning to Rank,
CVPR 2018. A query without any relevant item has no value: each measure gives NaN there, and ``mean`` says
what becomes of it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from dtbh.errors import ConfigError, DataError
from dtbh.index.hamming import distances
from dtbh.progress import track

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]
Empty = Literal["drop", "zero", "error"]
BLOCK = 4_000_000  # distances held at once: 16 MB


def group_numbers(query_names: Sequence[str | None], gallery_names: Sequence[str | None]) -> tuple[Ints, Ints]:
    """Class names or pair names as numbers that agree between queries and gallery; -1 for None.

    Returns:
        int64 [q] and int64 [n].
    """
    names = sorted({name for name in (*query_names, *gallery_names) if name is not None})
    number: dict[str | None, int] = {name: i for i, name in enumerate(names)}
    number[None] = -1
    return (
        np.array([number[name] for name in query_names], dtype=np.int64),
        np.array([number[name] for name in gallery_names], dtype=np.int64),
    )


def distance_counts(
    query_words: npt.NDArray[np.uint64],
    gallery_words: npt.NDArray[np.uint64],
    query_labels: Ints,
    gallery_labels: Ints,
    bits: int,
) -> tuple[Ints, Ints]:
    """Count, for each query and each Hamming distance, the gallery items and the relevant ones among them.

    An item is relevant to a query when the two numbers are equal and not negative. With class numbers this
    is relevance by class, with pair numbers relevance by true pair. Distances are held for a block of
    queries at a time, never for all.

    Args:
        query_words: Packed codes, uint64 [q, w].
        gallery_words: Packed codes, uint64 [n, w].
        query_labels: Class or pair numbers, int [q]; negative where not known.
        gallery_labels: The same numbers, int [n].
        bits: Length of a code, at least 1.

    Returns:
        ``relevant`` and ``total``, both int64 [q, bits + 1]; column d counts what stands at distance d.

    Raises:
        DataError: As many labels as codes were wanted, or the gallery is empty.
    """
    n_queries, n_gallery = len(query_words), len(gallery_words)
    if len(query_labels) != n_queries or len(gallery_labels) != n_gallery:
        raise DataError(
            f"labels: found {len(query_labels)} for {n_queries} queries and {len(gallery_labels)} for a "
            f"gallery of {n_gallery}; give one number for each code, -1 where none is known"
        )
    if n_gallery == 0:
        raise DataError("the gallery is empty: there is nothing to rank; choose a split that has items")
    # With the gallery sorted by label, what is relevant to a query is one slice of its row.
    order = np.argsort(gallery_labels, kind="stable")
    gallery, labels = gallery_words[order], gallery_labels[order]
    first = np.searchsorted(labels, query_labels, side="left")
    last = np.where(query_labels < 0, first, np.searchsorted(labels, query_labels, side="right"))
    relevant = np.zeros((n_queries, bits + 1), dtype=np.int64)
    total = np.zeros((n_queries, bits + 1), dtype=np.int64)
    step = max(1, BLOCK // n_gallery)
    starts = range(0, n_queries, step)
    for start in track(starts, "comparing codes", total=len(starts)):
        block = distances(query_words[start : start + step], gallery)
        for query, row in enumerate(block, start=start):
            total[query] = np.bincount(row, minlength=bits + 1)
            relevant[query] = np.bincount(row[first[query] : last[query]], minlength=bits + 1)
    return relevant, total


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
    from scipy.special import digamma

    n_before, r_before = _before(total), _before(relevant)
    slope = (relevant - 1) / np.maximum(total - 1, 1) * (total > 1)
    harmonic = digamma(np.arange(1, total.sum(axis=1).max(initial=0) + 2, dtype=np.float64))
    difference = harmonic[n_before + total] - harmonic[n_before]
    ratio = relevant / np.maximum(total, 1)
    added = ratio * ((r_before + 1 - slope * (n_before + 1)) * difference + slope * total)
    return np.minimum(_per_relevant(added.sum(axis=1), relevant), 1.0)


def mean(values: Floats, *, empty: Empty = "drop") -> float:
    """The mean over queries.

    Args:
        values: One figure per query, float64 [q]; NaN for queries without relevant items.
        empty: What becomes of those: ``"drop"`` leaves them out, ``"zero"`` counts them as 0, ``"error"``
            refuses.

    Raises:
        DataError: No query has a relevant item; or one has none and ``empty`` is ``"error"``.
        ConfigError: ``empty`` is none of the three.
    """
    if empty not in ("drop", "zero", "error"):
        raise ConfigError(f"empty must be drop, zero or error, found {empty!r}")
    without = np.isnan(values)
    if without.all() or (empty == "error" and without.any()):
        raise DataError(
            f"{int(without.sum())} of {len(values)} queries have no relevant item in the gallery; "
            "check the labels of both sides"
        )
    return float(np.where(without, 0.0, values).mean() if empty == "zero" else values[~without].mean())


def mean_average_precision(relevant: Ints, total: Ints, *, empty: Empty = "drop") -> float:
    """``mean`` of ``average_precision`` over the queries; arguments and errors as there."""
    return mean(average_precision(relevant, total), empty=empty)


def precision_at(relevant: Ints, total: Ints, k: Sequence[int]) -> Floats:
    """Expected share of relevant items among the first k: float64 [q, len(k)] in [0, 1].

    Inside the bucket that k cuts, the expected number of relevant items grows linearly (the mean of the
    hypergeometric distribution).

    Raises:
        ConfigError: A k below 1, or beyond the ranking's length.
    """
    found = _found_at(relevant, total, k) / np.asarray(k, dtype=np.float64)
    return np.where(_has_relevant(relevant)[:, None], found, np.nan)


def recall_at(relevant: Ints, total: Ints, k: Sequence[int]) -> Floats:
    """Expected share of a query's relevant items that stand among the first k: float64 [q, len(k)].

    Raises:
        ConfigError: A k below 1, or beyond the ranking's length.
    """
    return _per_relevant(_found_at(relevant, total, k), relevant)


def hit_at(relevant: Ints, total: Ints, k: Sequence[int]) -> Floats:
    """Probability that at least one relevant item stands among the first k: float64 [q, len(k)].

    This is the R@k of cross-modal retrieval by true pairs. Where m places of the cut bucket of n items, r
    relevant, fall within k, none of them is relevant with probability C(n - r, m) / C(n, m).

    Raises:
        ConfigError: A k below 1, or beyond the ranking's length.
    """
    from scipy.special import gammaln

    _check_k(total, k)
    bucket, places = _cut(total, k)
    n, r = (np.take_along_axis(counts, bucket, axis=1) for counts in (total, relevant))
    found_before = np.take_along_axis(_before(relevant), bucket, axis=1) > 0
    possible = places <= n - r
    left = np.where(possible, n - r - places, 0)
    log_none = gammaln(n - r + 1) - gammaln(left + 1) - gammaln(n + 1) + gammaln(n - places + 1)
    none = np.where(found_before | ~possible, 0.0, np.minimum(np.exp(log_none), 1.0))
    return np.where(_has_relevant(relevant)[:, None], 1.0 - none, np.nan)


def first_rank(relevant: Ints, total: Ints) -> Floats:
    """Expected rank of the first relevant item, float64 [q], from 1; NaN where there is none.

    Of n tied items with r relevant, after N others, the first relevant one is expected at
    N + (n + 1) / (r + 1).
    """
    has = _has_relevant(relevant)
    bucket = np.argmax(relevant > 0, axis=1)[:, None]
    n, r, before = (np.take_along_axis(a, bucket, axis=1)[:, 0] for a in (total, relevant, _before(total)))
    return np.where(has, before + (n + 1) / (r + 1), np.nan)


def median_rank(relevant: Ints, total: Ints) -> float:
    """The median over queries of ``first_rank``; queries without relevant items are left out.

    Raises:
        DataError: No query has a relevant item.
    """
    ranks = first_rank(relevant, total)
    if np.isnan(ranks).all():
        raise DataError(f"none of {len(ranks)} queries has a relevant item in the gallery; check the pairs")
    return float(np.nanmedian(ranks))


@dataclass(frozen=True)
class RadiusCurve:
    """Precision and recall of what lies within a Hamming radius, mean over queries.

    Attributes:
        radius: Radii in bits, increasing; only those at which some query retrieves something.
        precision: At each radius, the mean over the queries that retrieve something there.
        recall: At each radius, the mean over all queries that have a relevant item.
        retrieving: At each radius, the share of those queries that retrieve something.
    """

    radius: tuple[int, ...]
    precision: tuple[float, ...]
    recall: tuple[float, ...]
    retrieving: tuple[float, ...]

    def __post_init__(self) -> None:
        lengths = {len(self.radius), len(self.precision), len(self.recall), len(self.retrieving)}
        if len(lengths) != 1:
            raise DataError(f"a radius curve needs lists of one length, found lengths {sorted(lengths)}")
        if list(self.radius) != sorted(set(self.radius)):
            raise DataError(f"a radius curve needs increasing radii, found {self.radius}")

    def to_dict(self) -> dict[str, list[float]]:
        """The four lists by name."""
        return {name: list(getattr(self, name)) for name in ("radius", "precision", "recall", "retrieving")}

    @classmethod
    def from_dict(cls, entry: dict[str, Any]) -> RadiusCurve:
        """The curve that ``to_dict`` wrote."""
        return cls(**{name: tuple(values) for name, values in entry.items()})


def precision_recall_curve(relevant: Ints, total: Ints) -> RadiusCurve:
    """Precision and recall within each Hamming radius 0..bits; no ties arise, a radius takes whole buckets.

    A query that retrieves nothing at a radius has no precision there and is left out of that point, so the
    first points may stand on few queries: ``retrieving`` says on how many. Queries without relevant items
    are left out altogether.

    Raises:
        DataError: No query has a relevant item.
    """
    has = _has_relevant(relevant)
    if not has.any():
        raise DataError(f"none of {len(has)} queries has a relevant item in the gallery; check the labels")
    found, retrieved = np.cumsum(relevant[has], axis=1), np.cumsum(total[has], axis=1)
    some = (retrieved > 0).sum(axis=0)
    precision = (found / np.maximum(retrieved, 1)).sum(axis=0) / np.maximum(some, 1)
    recall = (found / found[:, -1:]).mean(axis=0)
    radius = np.flatnonzero(some)
    return RadiusCurve(
        tuple(radius.tolist()),
        tuple(precision[radius].tolist()),
        tuple(recall[radius].tolist()),
        tuple((some[radius] / has.sum()).tolist()),
    )


def all_tied(relevant: Ints, total: Ints) -> tuple[Ints, Ints]:
    """The same items in one bucket, int64 [q, 1] twice: any measure over it is that of a random ranking."""
    return relevant.sum(axis=1, keepdims=True), total.sum(axis=1, keepdims=True)


def chance_map(query_labels: Ints, gallery_labels: Ints, *, empty: Empty = "drop") -> float:
    """The mAP expected of a random ranking: exact, with every gallery item tied.

    Args:
        query_labels: Class numbers, int [q]; negative where not known.
        gallery_labels: Class numbers, int [n].
        empty: What becomes of queries without relevant items, as in ``mean``.
    """
    names, counts = np.unique(gallery_labels[gallery_labels >= 0], return_counts=True)
    known = {int(name): int(count) for name, count in zip(names, counts, strict=True)}
    relevant = np.array([[known.get(int(label), 0)] for label in query_labels], dtype=np.int64).reshape(-1, 1)
    total = np.full_like(relevant, len(gallery_labels))
    return mean_average_precision(relevant, total, empty=empty)


def _before(counts: Ints) -> Ints:
    """At each bucket, the count of all buckets before it."""
    return np.cumsum(counts, axis=1) - counts


def _has_relevant(relevant: Ints) -> npt.NDArray[np.bool_]:
    return np.asarray(relevant.sum(axis=1) > 0)


def _per_relevant(values: Floats, relevant: Ints) -> Floats:
    """Values [q] or [q, k] divided by each query's number of relevant items; NaN where there is none."""
    count = relevant.sum(axis=1).astype(np.float64).reshape(-1, *[1] * (values.ndim - 1))
    return np.asarray(np.divide(values, count, out=np.full(values.shape, np.nan), where=count > 0))


def _check_k(total: Ints, k: Sequence[int]) -> None:
    length = int(total.sum(axis=1).min(initial=np.iinfo(np.int64).max))
    wrong = [one for one in k if not 1 <= one <= length]
    if wrong:
        raise ConfigError(f"k = {wrong[0]}: the ranking has {length} items; choose k from 1 to {length}")


def _cut(total: Ints, k: Sequence[int]) -> tuple[Ints, Ints]:
    """For each query and k, the bucket that holds rank k, and how many of its places lie within k."""
    reached = np.cumsum(total, axis=1)
    ranks = np.asarray(k, dtype=np.int64)
    bucket = (reached[:, None, :] < ranks[:, None]).sum(axis=2)
    places = ranks - np.take_along_axis(_before(total), bucket, axis=1)
    return bucket, places


def _found_at(relevant: Ints, total: Ints, k: Sequence[int]) -> Floats:
    """Expected number of relevant items among the first k: [q, len(k)]."""
    _check_k(total, k)
    bucket, places = _cut(total, k)
    n, r, before = (np.take_along_axis(a, bucket, axis=1) for a in (total, relevant, _before(relevant)))
    return np.asarray(before + places * r / n, dtype=np.float64)
