"""Triplets in plain loops: selection, the relative loss and the regulariser. Imports nothing from dtbh."""

from __future__ import annotations

import math


def triplets(rows, columns, same=False):
    """All (anchor, positive, negative)."""
    found = []
    for a in range(len(rows)):
        for p in range(len(columns)):
            for n in range(len(columns)):
                if same and a == p:
                    continue
                if rows[a] == columns[p] and rows[a] != columns[n]:
                    found.append((a, p, n))
    return found


def select(name, distances, rows, columns, margin, same=False):
    """The triplets that a strategy selects."""
    every = triplets(rows, columns, same)
    if name == "all":
        return every
    if name == "active":
        return [t for t in every if distances[t[0]][t[1]] - distances[t[0]][t[2]] + margin > 0]
    if name == "semi_hard":
        return [t for t in every if 0 < distances[t[0]][t[1]] - distances[t[0]][t[2]] + margin < margin]
    hardest = []
    for a in range(len(rows)):
        own = [t for t in every if t[0] == a]
        if own:
            p = max(own, key=lambda t: distances[t[0]][t[1]])[1]
            n = min(own, key=lambda t: distances[t[0]][t[2]])[2]
            hardest.append((a, p, n))
    return hardest


def relative_triplet(distances, chosen, margin):
    """Mean hinge over triplets; 0 without any."""
    total = 0.0
    for a, p, n in chosen:
        total += max(0.0, distances[a][p] - distances[a][n] + margin)
    return total / len(chosen) if chosen else 0.0


def approximate_l1(codes):
    """Mean log cosh(|h| - 1)."""
    values = [math.log(math.cosh(abs(h) - 1)) for row in codes for h in row]
    return sum(values) / len(values)


def code_balance(codes):
    """Mean over bits of the squared mean over rows."""
    total = 0.0
    for j in range(len(codes[0])):
        total += (sum(row[j] for row in codes) / len(codes)) ** 2
    return total / len(codes[0])
