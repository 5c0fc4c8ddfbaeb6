"""Terms of the objective that pull triplets apart, and those that make hash-like codes binary and balanced.

Comes in: what the towers say of a batch, one ``Outputs`` a modality. Each term gives a scalar and says where
its formula comes from. No function here selects: selection hands out indices.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import permutations
from typing import Annotated, Literal, NamedTuple

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor

from dtbh.learning.distances import code_distance, cosine_distance
from dtbh.learning.selection import SELECTIONS, Triplets

Positive = Annotated[float, Field(gt=0)]
NotNegative = Annotated[float, Field(ge=0)]
Selection = Literal["all", "semi_hard", "hard", "active"]


class Outputs(NamedTuple):
    """What a tower says of the items of one modality in a batch, and what is known of them.

    Attributes:
        features: float [n, feature_dim], the deep features.
        codes: float [n, bits] in (-1, 1), the hash-like codes.
        labels: int64 [n], class numbers.
        pairs: int64 [n]; the same number in two modalities is a true pair, and in one the same item.
    """

    features: Tensor
    codes: Tensor
    labels: Tensor
    pairs: Tensor


Sides = tuple[Outputs, ...]
"""One for each modality that learns: images and sounds, or one of them alone."""


def over_ways(sides: Sides, loss: Callable[[Outputs, Outputs, bool], Tensor], *, within: float) -> Tensor:
    """Mean of a loss over all ways from one side to another, and ``within`` times its mean over each with itself.

    Of one side alone there is no other, and the loss is that of the side with itself.

    Args:
        sides: One or more.
        loss: Of rows, columns, and whether they are the same items.
        within: Weight beside the ways across.
    """
    across = [loss(rows, columns, False) for rows, columns in permutations(sides, 2)]
    own = [loss(side, side, True) for side in sides] if within or not across else []
    means = [torch.stack(values).mean() for values in (across, own) if values]
    return means[0] if len(means) == 1 else means[0] + within * means[1]


def relative_triplet(distances: Tensor, triplets: Triplets, *, margin: float) -> Tensor:
    """Mean of max(0, d(a, p) - d(a, n) + margin) over the triplets: the relative similarity of DTBH's paper.

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


def feature_triplets(sides: Sides, *, margin: Positive, selection: Selection, within: NotNegative) -> Tensor:
    """DTBH's triplet term on deep features, by the cosine, in [0, 1] (Chen and Lu 2020).

    Taken from images to sounds and from sounds to images; within each modality too, which goes beyond the paper.
    """
    return _selected(sides, "features", cosine_distance, margin=margin, selection=selection, within=within)


def code_triplets(sides: Sides, *, margin: Positive, selection: Selection, within: NotNegative) -> Tensor:
    """DTBH's triplet term on hash-like codes, by their share of differing bits; otherwise as on features."""
    return _selected(sides, "codes", code_distance, margin=margin, selection=selection, within=within)


def _selected(
    sides: Sides, on: str, measure: Callable[[Tensor, Tensor], Tensor], *, margin: float, selection: str, within: float
) -> Tensor:
    """The relative-triplet loss over the triplets selected from one measure's distances, all ways."""

    def loss(rows: Outputs, columns: Outputs, same: bool) -> Tensor:
        distances = measure(getattr(rows, on), getattr(columns, on))
        chosen = SELECTIONS[selection](distances.detach(), rows.labels, columns.labels, margin=margin, same=same)
        return relative_triplet(distances, chosen, margin=margin)

    return over_ways(sides, loss, within=within)


def approximate_l1(sides: Sides) -> Tensor:
    """DTBH's regulariser: mean of log cosh(|h| - 1) over hash-like codes h, a smooth L1 distance to their signs.

    Written as x + softplus(-2x) - log 2, which does not overflow.
    """

    def one(codes: Tensor) -> Tensor:
        x = (codes.abs() - 1).abs()
        return (x + F.softplus(-2 * x) - torch.log(torch.tensor(2.0, device=codes.device))).mean()

    return torch.stack([one(side.codes) for side in sides]).mean()


def balance(sides: Sides) -> Tensor:
    """Mean over bits of the squared mean over items: zero where each bit is set for half of them.

    DTBH's paper names code balance as future work; the form is MiLaN's (Roy et al.) for codes around zero.
    """
    return torch.stack([side.codes.mean(dim=0).square().mean() for side in sides]).mean()
