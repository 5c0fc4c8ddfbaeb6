"""The second stage of a search in loops over Python integers. Imports nothing from dtbh."""

from __future__ import annotations

import math
from fractions import Fraction


def rounded(vector, most):
    """Whole numbers of nearly the same direction, the largest of them ``most``; halves go to the even number."""
    largest = max((abs(Fraction(value)) for value in vector), default=0)
    return [round(Fraction(value) * most / largest) if largest else 0 for value in vector]


def cosine(first, second):
    """Cosine of two vectors of whole numbers; 0 where one has no length."""
    product = sum(int(a) * int(b) for a, b in zip(first, second, strict=True))
    lengths = [sum(int(a) ** 2 for a in vector) for vector in (first, second)]
    return product / (lengths[0] * lengths[1]) ** 0.5 if all(lengths) else 0.0


def rescored(query, candidates, k):
    """The first k (cosine, distance, row) of candidates (distance, row, vector): the highest cosine first."""
    found = [(-cosine(query, vector), distance, row) for distance, row, vector in candidates]
    return [(-alike, distance, row) for alike, distance, row in sorted(found)[:k]]


def unit(vector):
    """The vector at length one; one of zeros stays so."""
    length = sum(value * value for value in vector) ** 0.5
    return [value / length if length else 0.0 for value in vector]


def expanded(query, candidates, k, first, bits):
    """The first k (likeness, distance, row) of candidates (distance, row, vector), whose first ones are examples.

    By the mean of how alike the codes are, of so many bits, and of the cosine to the query as it is then: the direction
    of the mean of the examples' directions, each weighing less the further it is behind the first, and a quarter of its
    own.
    """
    near = [1 - 2 * distance / bits for distance, _, _ in candidates]
    likely = [alike + 0.25 * cosine(query, vector) for alike, (_, _, vector) in zip(near, candidates, strict=True)]
    examples = sorted(range(len(candidates)), key=lambda place: -likely[place])[:first]
    weights = [math.exp((likely[place] - likely[examples[0]]) / 0.1) for place in examples]
    scaled = [[w * x for x in unit(candidates[place][2])] for w, place in zip(weights, examples, strict=True)]
    mean = unit([sum(values) for values in zip(*scaled, strict=True)])
    meant = rounded([there + 0.25 * own for there, own in zip(mean, unit(query), strict=True)], 32767)
    found = [
        (-(alike + cosine(meant, vector)) / 2, place, distance, row)
        for place, (alike, (distance, row, vector)) in enumerate(zip(near, candidates, strict=True))
    ]
    return [(-alike, distance, row) for alike, _, distance, row in sorted(found)[:k]]
