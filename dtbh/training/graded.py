"""Contrast with graded relevance: each row's right answers weigh as much as what they mean is alike.

Captions of two images of one class may say nearly the same, or differ; classes alone can't tell, and pairs alone call
every other image wrong. The targets here are softmax(cosine of meanings / T), so that near captions are soft positives
and far ones of the same class are hard negatives. Ours; kin are the soft targets of Andonian, Chen and Hamid (*Robust
Cross-Modal Representation Learning with Progressive Self-Distillation*, CVPR 2022).
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

LARGEST = 100.0  # of one over a temperature that is learned


def graded_targets(meanings: Tensor, temperature: float) -> Tensor:
    """How right each column is for each row.

    Args:
        meanings: Sentence vectors, float [n, d].
        temperature: Of the softmax over their cosines; near 0 leaves what means the same alone.

    Returns:
        float [n, n], rows adding up to 1.
    """
    unit = F.normalize(meanings)
    return torch.softmax(unit @ unit.T / temperature, dim=1)


def learned_temperature(sharpness: Tensor) -> Tensor:
    """The temperature of a contrast that is learned: one over exp(``sharpness``), a hundredth at least, as in CLIP."""
    return 1 / sharpness.exp().clamp(max=LARGEST)


def graded_contrast(rows: Tensor, columns: Tensor, targets: Tensor, temperature: float | Tensor) -> Tensor:
    """Cross-entropy of softmax(cosines / T) against the targets, the mean of both ways.

    Args:
        rows: float [n, d].
        columns: float [n, d].
        targets: How right columns are for rows, float [n, n], rows adding up to 1. Of the other way they are turned
            round, and scaled to add up to 1.
        temperature: Of the softmax over cosines.

    Returns:
        Scalar.
    """
    likeness = F.normalize(rows) @ F.normalize(columns).T / temperature
    back = targets.T / targets.sum(0)[:, None]
    ways = ((targets, likeness), (back, likeness.T))
    return torch.stack([-(wanted * F.log_softmax(found, dim=1)).sum(1).mean() for wanted, found in ways]).mean()
