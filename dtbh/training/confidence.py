"""Tables of how often an item at a distance is right, from the validation split."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import product

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import isotonic_regression

from dtbh.data.manifest import Modality
from dtbh.evaluation.metrics.counts import distance_counts
from dtbh.evaluation.metrics.labels import SharedLabels
from dtbh.models.confidence import Confidence

Words = NDArray[np.uint64]
Ints = NDArray[np.int64]


def fit_confidence(
    words: Mapping[Modality, Words],
    labels: Mapping[Modality, Ints],
    bits: int,
    shared: SharedLabels | None = None,
) -> Confidence:
    """Isotonic regression of "right" on the distance, for every direction.

    One item at the share of right ones over all distances is counted at each distance beside those that are there.

    Args:
        words: Packed codes of each modality, uint64 [n, words].
        labels: Class numbers of the same, int64 [n].
        bits: Length of a code.
        shared: As in ``counts.each_block``: what the numbers share, where they are of several labels.
    """
    right = {}
    for query, gallery in product(words, repeat=2):
        own = np.arange(len(words[query])) if query == gallery else None
        both = labels[query], labels[gallery]
        counts = distance_counts(words[query], words[gallery], *both, bits, own=own, shared=shared)
        relevant, total = (part.sum(axis=0) for part in counts)
        share = relevant.sum() / max(1, total.sum())
        found = isotonic_regression((relevant + share) / (total + 1), weights=total + 1.0, increasing=False)
        right[f"{query}->{gallery}"] = np.asarray(found.x, dtype=np.float64)
    return Confidence(right)
