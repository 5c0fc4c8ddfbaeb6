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


def expanded(query, candidates, k, first, bits, most=300):
    """The first k (likeness, distance, row) of candidates (distance, row, vector), whose first ones are examples.

    By the mean of how alike the codes are, of so many bits, and of the cosine to the query as it is then: the direction
    of the mean of the examples' directions, each weighing less the further it is behind the first, and a quarter of its
    own. Of the first of all, the vector and the likeness of codes are those of its neighbours too. What is all but the
    query itself keeps that.
    """
    near = [1 - 2 * distance / bits for distance, _, _ in candidates]
    likely = [alike + 0.25 * cosine(query, vector) for alike, (_, _, vector) in zip(near, candidates, strict=True)]
    among = sorted(range(len(candidates)), key=lambda place: -likely[place])[:most]
    own = augmented([(candidates[place][2], near[place]) for place in among])
    likely = [alike + 0.25 * cosine(query, vector) for vector, alike in own]
    examples = sorted(range(len(own)), key=lambda place: -likely[place])[:first]
    weights = [math.exp((likely[place] - likely[examples[0]]) / 0.1) for place in examples]
    scaled = [[w * x for x in unit(own[place][0])] for w, place in zip(weights, examples, strict=True)]
    mean = unit([sum(values) for values in zip(*scaled, strict=True)])
    meant = rounded([there + 0.25 * part for there, part in zip(mean, unit(query), strict=True)], 32767)
    shown = dict(zip(among, own, strict=True))
    found = []
    for place, (distance, row, vector) in enumerate(candidates):
        its, alike = shown.get(place, (vector, near[place]))
        likeness, same = (alike + cosine(meant, its)) / 2, cosine(query, vector)
        found.append((-max(likeness, same) if same > 0.95 else -likeness, place, distance, row))
    return [(-alike, distance, row) for alike, _, distance, row in sorted(found)[:k]]


def augmented(pairs):
    """Pairs (vector, likeness) averaged with the five nearest by vector, themselves among these, near ones more."""
    found = []
    for own, (vector, _) in enumerate(pairs):
        lone = -math.inf if not any(vector) else 0.0
        alike = [1.0 if place == own else cosine(vector, other) or lone for place, (other, _) in enumerate(pairs)]
        nearest = sorted(range(len(pairs)), key=lambda place: -alike[place])[:5]
        weights = [math.exp((alike[place] - 1) / 0.2) for place in nearest]
        shares = [weight / sum(weights) for weight in weights]
        scaled = [[s * x for x in unit(pairs[place][0])] for s, place in zip(shares, nearest, strict=True)]
        mean = [sum(values) for values in zip(*scaled, strict=True)]
        likeness = sum(share * pairs[place][1] for share, place in zip(shares, nearest, strict=True))
        found.append((rounded(mean, 32767), likeness))
    return found
