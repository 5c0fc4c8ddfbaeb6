"""Search by asymmetric distance in loops over Python integers. Imports nothing from dtbh."""

from __future__ import annotations

from fractions import Fraction


def weights(values, most):
    """Magnitudes as whole numbers, the largest of them ``most``; halves go to the even number."""
    largest = max(abs(Fraction(value)) for value in values)
    return [round(abs(Fraction(value)) * most / largest) if largest else 1 for value in values]


def distance(query, weighed, code):
    """The weights of the bits that differ, of bits as lists of 0 and 1."""
    return sum(weight for one, weight, other in zip(query, weighed, code, strict=True) if one != other)


def nearest(query, weighed, gallery, k, passing=None):
    """The (distance, row) pairs of the nearest k rows that pass, by distance and then by row."""
    rows = range(len(gallery)) if passing is None else passing
    return sorted((distance(query, weighed, gallery[row]), row) for row in rows)[:k]
