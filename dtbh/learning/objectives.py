"""The terms of the objective, as functions, and DTBH's sum of them.

Comes in: distances and the triplets selected from them; hash-like codes. No function here selects.
A new term is one function and one line in ``OBJECTIVES``.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from dtbh.config import Learning
from dtbh.encoders.heads import Encoded
from dtbh.errors import ConfigError
from dtbh.learning.distances import code_distance, cosine_distance
from dtbh.learning.selection import SELECTIONS, Triplets


class Loss(NamedTuple):
    """What one batch costs.

    Attributes:
        total: Scalar with gradient.
        terms: Each term before its weight.
    """

    total: Tensor
    terms: dict[str, Tensor]


def relative_triplet(distances: Tensor, triplets: Triplets, *, margin: float) -> Tensor:
    """Mean of max(0, d(a, p) - d(a, n) + margin) over the triplets: the relative similarity of the paper.

    Args:
        distances: float [a, c].
        triplets: Indices into it.
        margin: How much nearer the positive must be.

    Returns:
        A scalar; zero, with zero gradient, where there are no triplets.
    """
    if len(triplets) == 0:
        return distances.sum() * 0
    positive = distances[triplets.anchors, triplets.positives]
    negative = distances[triplets.anchors, triplets.negatives]
    return F.relu(positive - negative + margin).mean()


def approximate_l1(codes: Tensor) -> Tensor:
    """Mean of log cosh(|h| - 1) over hash-like codes h: a smooth L1 distance to their binary codes.

    Written as x + softplus(-2x) - log 2, which does not overflow.
    """
    x = (codes.abs() - 1).abs()
    return (x + F.softplus(-2 * x) - torch.log(torch.tensor(2.0, device=codes.device))).mean()


def code_balance(codes: Tensor) -> Tensor:
    """Mean over bits of the squared mean over items: zero where each bit is set for half of them."""
    return codes.mean(dim=0).square().mean()


def dtbh_objective(
    images: Encoded,
    sounds: Encoded,
    image_labels: Tensor,
    sound_labels: Tensor,
    *,
    settings: Learning,
    select: str,
) -> Loss:
    """DTBH's objective over one batch, both ways: images as anchors to sounds, and sounds to images.

    Args:
        images: What the image tower says of a images.
        sounds: What the sound tower says of b sounds.
        image_labels: int64 [a].
        sound_labels: int64 [b].
        settings: The weights of the terms and the margin.
        select: A key of ``SELECTIONS``; during a warm-up another than the settings'.
    """
    labels = (image_labels, sound_labels)

    def triplet(distances: Tensor, rows: Tensor, columns: Tensor, *, same: bool = False) -> Tensor:
        chosen = SELECTIONS[select](distances.detach(), rows, columns, margin=settings.margin, same=same)
        return relative_triplet(distances, chosen, margin=settings.margin)

    terms: dict[str, Tensor] = {}
    weights = {"quantization": settings.quantization, "balance": settings.balance}
    for name, measure in (("features", cosine_distance), ("codes", code_distance)):
        weight = getattr(settings, name)
        a, b = getattr(images, name), getattr(sounds, name)
        if weight:
            distances = measure(a, b)
            terms[name] = (triplet(distances, *labels) + triplet(distances.T, *labels[::-1])) / 2
            weights[name] = weight
        if weight and settings.within:
            own = [triplet(measure(x, x), y, y, same=True) for x, y in zip((a, b), labels, strict=True)]
            terms[f"{name}_within"] = (own[0] + own[1]) / 2
            weights[f"{name}_within"] = weight * settings.within
    terms["quantization"] = (approximate_l1(images.codes) + approximate_l1(sounds.codes)) / 2
    terms["balance"] = (code_balance(images.codes) + code_balance(sounds.codes)) / 2
    total = sum((weights[name] * term for name, term in terms.items()), start=images.codes.new_zeros(()))
    return Loss(total, {name: term.detach() for name, term in terms.items()})


OBJECTIVES: dict[str, Callable[..., Loss]] = {"relative_triplet": dtbh_objective}
"""Each takes what both towers say, both labels, and ``settings`` and ``select``, as `dtbh_objective` does."""


def objective(name: str) -> Callable[..., Loss]:
    """The objective of a name.

    Raises:
        ConfigError: No such objective; names the nearest.
    """
    if name not in OBJECTIVES:
        near = difflib.get_close_matches(name, OBJECTIVES, n=1, cutoff=0)[0]
        raise ConfigError(f"learning.objective: no objective {name!r}; did you mean {near}?")
    return OBJECTIVES[name]
