"""Naming and grouping of codes in loops. Imports nothing from dtbh."""

from __future__ import annotations

import math


def probabilities(likenesses, temperature):
    """The softmax of one item's likenesses to all words."""
    raised = [math.exp((value - max(likenesses)) / temperature) for value in likenesses]
    return [value / sum(raised) for value in raised]


def together(first, second):
    """The geometric mean of two distributions, brought to sum up to one."""
    roots = [(a * b) ** 0.5 for a, b in zip(first, second, strict=True)]
    return [root / sum(roots) for root in roots]


def of_neighbours(each, alike, most, nearness):
    """The mean of the distributions of the items that are most alike, by weights that fall with their cosine."""
    near = ranked(alike)[:most]
    weights = [math.exp((alike[place] - 1) / nearness) for place in near]
    shares = [weight / sum(weights) for weight in weights]
    return [
        sum(share * each[place][word] for share, place in zip(shares, near, strict=True))
        for word in range(len(each[0]))
    ]


def cosine_of_codes(first, second, bits):
    """Cosine of two codes, whole numbers, whose bits stand for +1 and -1."""
    return sum(1 if (first >> j & 1) == (second >> j & 1) else -1 for j in range(bits)) / bits


def ranked(values):
    """Places of the values, the highest first; of those alike the first."""
    return sorted(range(len(values)), key=lambda place: (-values[place], place))


def assigned(codes, centres):
    """For each code, a whole number, the first of the nearest centres."""
    return [min(range(len(centres)), key=lambda c: (bin(code ^ centres[c]).count("1"), c)) for code in codes]


def majority(codes, bits):
    """The code that has of each bit what most codes have; 1 where as many have 0."""
    return sum(1 << j for j in range(bits) if 2 * sum(code >> j & 1 for code in codes) >= len(codes))


def settled(codes, centres, bits, rounds):
    """Centres after rounds of going to the nearest and taking the majority, until nothing changes."""
    before = None
    for _ in range(rounds):
        groups = assigned(codes, centres)
        if groups == before:
            break
        kept = sorted(set(groups))
        centres = [majority([c for c, g in zip(codes, groups, strict=True) if g == kind], bits) for kind in kept]
        before = [kept.index(group) for group in groups]
    return centres
