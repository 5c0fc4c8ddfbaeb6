"""Terms of the objective that contrast: what is alike against everything else of the batch, by a softmax.

``pairwise.pair_contrast`` is their kin without classes.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dtbh.training.losses.base import NotNegative, Outputs, Positive, Sides, alike, loss, over_directions


@loss("feature_contrast")
def feature_contrast(sides: Sides, *, temperature: Positive, intra_modal_weight: NotNegative) -> Tensor:
    """Mean of -log softmax(c / T) over items of the anchor's class, c being cosines of deep features.

    The supervised contrastive loss (Khosla, Teterwak, Wang and others, NeurIPS 2020, the form with the sum outside
    the logarithm), from each modality to the other; ``intra_modal_weight`` weighs it within a modality, where an anchor
    is no candidate of its own. Every candidate of the batch is in the sum under the softmax.
    """
    return _contrast(sides, "features", temperature=temperature, intra_modal_weight=intra_modal_weight)


@loss("code_contrast")
def code_contrast(sides: Sides, *, temperature: Positive, intra_modal_weight: NotNegative) -> Tensor:
    """The same of hash-like codes."""
    return _contrast(sides, "codes", temperature=temperature, intra_modal_weight=intra_modal_weight)


@loss("pair_in_class")
def pair_in_class(sides: Sides, *, temperature: Positive, intra_modal_weight: NotNegative) -> Tensor:
    """Each item among those of its own class: its pair is right, the others of the class are wrong.

    Mean of -log softmax(c / T) over pairs, c being cosines of hash-like codes. What tells pairs apart where the
    class does not; it leaves other classes to the other terms. Ours.
    """

    def loss(rows: Outputs, columns: Outputs, same: bool) -> Tensor:
        candidates = _there(rows, same) & alike(rows.labels, columns.labels, rows.shared)
        return softmax_loss(
            rows.codes, columns.codes, rows.pairs[:, None] == columns.pairs[None], candidates, temperature
        )

    return over_directions(sides, loss, intra_modal_weight=intra_modal_weight)


@loss("learned_centres")
class LearnedCentres(nn.Module):
    """Cross-entropy of which class's centre a hash-like code lies at: softmax of ``scale`` times cosines.

    The centres are shared by both modalities and learned with them, in the space of codes (NormFace: Wang, Xiang,
    Cheng and Yuille, ACM MM 2017). Where codes are short, contrast alone leaves classes too near to each other.
    """

    def __init__(self, *, bits: int, classes: int, scale: Positive) -> None:
        super().__init__()
        self.scale = scale
        self.centres = nn.Parameter(torch.randn(classes, bits) / bits**0.5)

    def forward(self, sides: Sides) -> Tensor:
        """Mean over items, then over modalities."""
        centres = F.normalize(self.centres)
        costs = [F.cross_entropy(self.scale * F.normalize(side.codes) @ centres.T, side.labels) for side in sides]
        return torch.stack(costs).mean()


@loss("decorrelation")
def decorrelation(sides: Sides) -> Tensor:
    """Mean squared covariance of different bits over the items of a batch: zero where no bit tells of another.

    The covariance term of VICReg (Bardes, Ponce and LeCun, ICLR 2022), on codes; there the sum is divided by the
    number of bits, here by its square.
    """

    def one(codes: Tensor) -> Tensor:
        centred = codes - codes.mean(dim=0)
        covariance = centred.T @ centred / len(codes)
        return (covariance - torch.diag(torch.diag(covariance))).square().mean()

    return torch.stack([one(side.codes) for side in sides]).mean()


@loss("variance_in_class")
def variance_in_class(sides: Sides, *, least: Positive) -> Tensor:
    """Keeps room within a class: mean over items of how far their class's bits lack the variance ``least``, in [0, 1].

    Of each item the mean over bits of their variance among the items of its class and modality, divided by ``least``,
    is wanted to be 1 or more. Triplets of classes alone draw a class to one code; where a term of pairs says along what
    items differ, this one lets them. VICReg's variance term (Bardes, Ponce and LeCun, ICLR 2022) is a hinge on each
    bit's deviation over all items; this one, on the mean over bits within classes, is ours.
    """

    def one(side: Outputs) -> Tensor:
        own = alike(side.labels, side.labels, side.shared).to(side.codes.dtype)
        own = own / own.sum(dim=1, keepdim=True)
        variance = (own @ side.codes.square() - (own @ side.codes).square()).mean(dim=1)
        return F.relu(1 - variance / least).mean()

    return torch.stack([one(side) for side in sides]).mean()


def _contrast(sides: Sides, on: str, *, temperature: float, intra_modal_weight: float) -> Tensor:
    def loss(rows: Outputs, columns: Outputs, same: bool) -> Tensor:
        common = alike(rows.labels, columns.labels, rows.shared)
        a, b = getattr(rows, on), getattr(columns, on)
        return softmax_loss(a, b, common, _there(rows, same).expand_as(common), temperature)

    return over_directions(sides, loss, intra_modal_weight=intra_modal_weight)


def _there(rows: Outputs, same: bool) -> Tensor:
    """Which columns are candidates of a row: all, but for the row itself; bool [a, a] or [1, 1]."""
    n = len(rows.labels) if same else 1
    own = torch.eye(n, dtype=torch.bool, device=rows.labels.device)
    return ~own if same else own


def softmax_loss(rows: Tensor, columns: Tensor, right: Tensor, candidates: Tensor, temperature: float) -> Tensor:
    """Mean over rows of the mean over their right candidates of -log softmax; rows without one don't count."""
    similar = F.normalize(rows) @ F.normalize(columns).T / temperature
    least = torch.finfo(similar.dtype).min  # not -inf, whose gradient would be none where nothing is left
    cost = torch.logsumexp(similar.masked_fill(~candidates, least), dim=1, keepdim=True) - similar
    wanted = (right & candidates).to(cost.dtype)
    each = torch.where(wanted > 0, cost, 0.0).sum(1) / wanted.sum(1).clamp(min=1)
    return each.sum() / (wanted.sum(1) > 0).sum().clamp(min=1)
