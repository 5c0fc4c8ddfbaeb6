"""Hamming search in loops over Python integers. Imports nothing from dtbh."""

from __future__ import annotations


def code_of(bits):
    """The bits of one code as one Python integer, bit j of weight 2 ** j."""
    return sum(1 << place for place, bit in enumerate(bits) if bit)


def code_of_words(words):
    """The words of one code as one Python integer."""
    return sum(int(word) << (64 * place) for place, word in enumerate(words))


def distance(first, second):
    """How many bits differ."""
    return bin(first ^ second).count("1")


def nearest(queries, gallery, k):
    """For each query the (distance, row) pairs of the nearest k, by distance and then by row."""
    return [within(query, gallery, radius=None)[:k] for query in queries]


def within(query, gallery, radius, passing=None):
    """All (distance, row) pairs within a radius (None: all) of the rows that pass, by distance, then by row."""
    found = []
    for row, code in enumerate(gallery):
        here = distance(query, code)
        if (radius is None or here <= radius) and (passing is None or row in passing):
            found.append((here, row))
    return sorted(found)
