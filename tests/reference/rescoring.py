"""The second stage of a search in loops over Python integers. Imports nothing from dtbh."""

from __future__ import annotations

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
