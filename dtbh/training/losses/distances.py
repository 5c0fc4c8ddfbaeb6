"""Distance matrices between anchors (rows) and candidates (columns), all in [0, 1].

One scale for both, so that one margin means the same on features and on codes.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor


def code_distance(anchors: Tensor, candidates: Tensor) -> Tensor:
    """Half of one minus the mean product of hash-like codes: float [a, c] in [0, 1].

    For codes of -1 and +1 this is the Hamming distance divided by the number of bits.
    """
    return (1 - anchors @ candidates.T / anchors.shape[1]) / 2


def cosine_distance(anchors: Tensor, candidates: Tensor) -> Tensor:
    """Half of one minus the cosine of the angle between vectors: float [a, c] in [0, 1].

    For unit vectors this is a quarter of the squared Euclidean distance.
    """
    return (1 - F.normalize(anchors) @ F.normalize(candidates).T) / 2


def euclidean_distance(anchors: Tensor, candidates: Tensor) -> Tensor:
    """Half of the Euclidean distance between vectors brought to length one: float [a, c] in [0, 1].

    The square root of ``cosine_distance``; where two vectors are the same, its gradient is zero.
    """
    squared = cosine_distance(anchors, candidates)
    apart = squared > 1e-12
    return torch.where(apart, torch.where(apart, squared, 1.0).sqrt(), 0.0)
