"""What utterances go through, by plain loops."""

from __future__ import annotations

import math


def averaged_by_loops(encoded, samples):
    """Of each clip its own frames every 80 ms, each the mean of four."""
    found = []
    for frames, count in zip(encoded, samples, strict=True):
        own = []
        for first in range(0, min(math.ceil(count / 1280), len(frames) // 4) * 4, 4):
            own.append([sum(frames[first + k][i] for k in range(4)) / 4 for i in range(len(frames[first]))])
        found.append(own)
    return found


def as_meant_by_loops(likelihoods, meanings, vectors, familiarity):
    """Sentences of words brought towards what is meant, each to length one."""
    found = []
    for likelihood, meant, words, near in zip(likelihoods, meanings, vectors, familiarity, strict=True):
        share = 1 / (1 + math.exp(-4 * (-0.6 - likelihood))) / (1 + math.exp(-12 * (near - 0.6)))
        words = _unit(words)
        found.append(_unit([w + share * (m - w) for w, m in zip(words, meant, strict=True)]))
    return found


def loss_by_loops(found, wanted):
    """Directions, and each one told from the others as far as they mean something else."""
    found = [_unit(row) for row in found]
    total = 0.0
    for row, target in zip(found, wanted, strict=True):
        total += 2 * (1 - _dot(row, target))
        right = _softmax([_dot(target, other) / 0.03 for other in wanted])
        told = _softmax([_dot(row, other) / 0.07 for other in wanted])
        total -= 0.5 * sum(r * math.log(t) for r, t in zip(right, told, strict=True))
    return total / len(found)


def _dot(a, b):
    return sum(x * y for x, y in zip(a, b, strict=True))


def _unit(row):
    length = math.sqrt(_dot(row, row))
    return [x / length for x in row]


def _softmax(row):
    raised = [math.exp(x - max(row)) for x in row]
    return [x / sum(raised) for x in raised]
