"""Ranking measures by their definitions: loops over one ranking, and every order of the ties.

Comes in: lists of distances and of True/False. Imports nothing from dtbh.
"""

from __future__ import annotations

import itertools
import math


def orders(distances, relevant):
    """Every order of the items that sorts them by distance, as lists of True/False."""
    buckets = [
        [good for other, good in zip(distances, relevant, strict=True) if other == distance]
        for distance in sorted(set(distances))
    ]
    for parts in itertools.product(*(itertools.permutations(bucket) for bucket in buckets)):
        yield [good for part in parts for good in part]


def over_orders(measure, distances, relevant, *arguments):
    """The mean of a measure over every order of the ties."""
    values = [measure(ranking, *arguments) for ranking in orders(distances, relevant)]
    return math.fsum(values) / len(values)


def average_precision(ranking):
    """The mean, over the relevant items, of the precision at each one's rank."""
    hits, precisions = 0, []
    for rank, good in enumerate(ranking, start=1):
        if good:
            hits += 1
            precisions.append(hits / rank)
    return math.fsum(precisions) / len(precisions)


def hits_in_top_k(ranking, k):
    """MiLaN's: the mean precision at the relevant items among the first k; 0 where there is none."""
    return average_precision(ranking[:k]) if any(ranking[:k]) else 0.0


def all_relevant(ranking, k):
    """trec_eval's: the sum of precisions among the first k over all relevant items."""
    return hits_in_top_k(ranking, k) * sum(ranking[:k]) / sum(ranking)


def min_r_k(ranking, k):
    """Kaggle's: the sum of precisions among the first k over min(R, k)."""
    return hits_in_top_k(ranking, k) * sum(ranking[:k]) / min(sum(ranking), k)


def first_k_relevant(ranking, k):
    """DCMH's: the mean precision at the first k relevant items."""
    ranks = [rank for rank, good in enumerate(ranking, start=1) if good][:k]
    return math.fsum(hits / rank for hits, rank in enumerate(ranks, start=1)) / len(ranks)


def nmrr(ranking):
    """MPEG-7's normalised modified retrieval rank, with K = 2 R."""
    count = sum(ranking)
    ranks = [rank if rank <= 2 * count else 2.5 * count for rank, good in enumerate(ranking, start=1) if good]
    best = (1 + count) / 2
    return (math.fsum(ranks) / count - best) / (2.5 * count - best)


def precision(ranking, k):
    """The share of relevant items among the first k."""
    hits = 0
    for good in ranking[:k]:
        hits += good
    return hits / k


def recall(ranking, k):
    """The share of the relevant items that stand among the first k."""
    hits = 0
    for good in ranking[:k]:
        hits += good
    return hits / sum(ranking)


def f1(ranking, k):
    """The harmonic mean of precision and recall of the first k."""
    p, r = precision(ranking, k), recall(ranking, k)
    return 2 * p * r / (p + r) if p + r else 0.0


def ndcg(ranking, k):
    """Discounted gain of the first k over that of the best order; gain 1, discount 1/log2(1 + rank)."""

    def gain(order):
        return math.fsum(good / math.log2(1 + rank) for rank, good in enumerate(order[:k], start=1))

    return gain(ranking) / gain(sorted(ranking, reverse=True))


def share_of_class(classes, label, k):
    """The share of one class among the first k of a ranking of classes."""
    count = 0
    for one in classes[:k]:
        count += one == label
    return count / k


def hit(ranking, k):
    """1 if a relevant item stands among the first k, else 0."""
    for good in ranking[:k]:
        if good:
            return 1
    return 0


def first(ranking):
    """The rank of the first relevant item."""
    for rank, good in enumerate(ranking, start=1):
        if good:
            return rank
    raise ValueError("no relevant item")


def stable(measure, distances, relevant, *arguments):
    """What the field's loop gives: one order of the ties, the gallery's own. Wrong, and kept to be caught."""
    ranking = [relevant[i] for i in sorted(range(len(distances)), key=lambda i: distances[i])]
    return measure(ranking, *arguments)


def hamming(one, other):
    """How many places of two lists of bits differ."""
    count = 0
    for a, b in zip(one, other, strict=True):
        count += a != b
    return count


def radius_point(rows, radius):
    """Mean precision (over queries that retrieve something) and mean recall within a radius.

    ``rows`` holds, for each query with a relevant item, its (distance, relevant) pairs.
    """
    precisions, recalls = [], []
    for row in rows:
        inside = [good for distance, good in row if distance <= radius]
        if inside:
            precisions.append(sum(inside) / len(inside))
        recalls.append(sum(inside) / sum(good for _, good in row))
    return (sum(precisions) / len(precisions) if precisions else None), sum(recalls) / len(recalls)
