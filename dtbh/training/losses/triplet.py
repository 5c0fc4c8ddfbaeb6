"""Losses that pull triplets apart. Each says where its formula comes from; none selects: mining hands out indices."""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from dtbh.training.losses.base import NotNegative, Outputs, Positive, Sides, loss, over_directions
from dtbh.training.losses.distances import code_distance, cosine_distance, euclidean_distance
from dtbh.training.losses.mining import Selection, Triplets, select

EXACT = "donot_use_mm_for_euclid_dist"
LOSSLESS = 1e-8  # the epsilon of the lossless triplet loss


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


@loss("feature_triplets")
def feature_triplets(
    sides: Sides, *, margin: Positive, selection: Selection, intra_modal_weight: NotNegative
) -> Tensor:
    """DTBH's triplet term on deep features, by the cosine, in [0, 1] (Chen and Lu 2020).

    Taken from images to sounds and from sounds to images; within each modality too, which goes beyond the paper.
    """
    return _selected(
        sides, "features", cosine_distance, margin=margin, selection=selection, intra_modal_weight=intra_modal_weight
    )


@loss("embedding_triplets")
def embedding_triplets(
    sides: Sides, *, margin: Positive, selection: Selection, intra_modal_weight: NotNegative
) -> Tensor:
    """The triplet term on deep features as embeddings of length one, by half their Euclidean distance, in [0, 1].

    Triplet deep metric learning (Cao, Zhang, Zhu and others, arXiv 1902.05818), which mines hard examples: take
    ``selection: hard``. Its margin and exact mining rule could not be read.
    """
    return _selected(
        sides, "features", euclidean_distance, margin=margin, selection=selection, intra_modal_weight=intra_modal_weight
    )


@loss("code_triplets")
def code_triplets(sides: Sides, *, margin: Positive, selection: Selection, intra_modal_weight: NotNegative) -> Tensor:
    """DTBH's triplet term on hash-like codes, by their share of differing bits; otherwise as on features."""
    return _selected(
        sides, "codes", code_distance, margin=margin, selection=selection, intra_modal_weight=intra_modal_weight
    )


@loss("unit_triplets")
def unit_triplets(sides: Sides, *, margin: Positive, selection: Selection, intra_modal_weight: NotNegative) -> Tensor:
    """MiLaN's triplet term: on squared Euclidean distances of outputs u in [0, 1], brought to length one.

    Roy, Sangineto, Demir and Sebe (IGARSS 2018; GRSL 2021), margin 0.2; u = (h + 1) / 2 of hash-like codes h.
    Where we differ: the public code draws 30 triplets at random for a batch of 90, here they are selected among
    all triplets of the batch.
    """

    def measure(a: Tensor, b: Tensor) -> Tensor:
        return 2 - 2 * F.normalize((a + 1) / 2) @ F.normalize((b + 1) / 2).T

    return _selected(sides, "codes", measure, margin=margin, selection=selection, intra_modal_weight=intra_modal_weight)


@loss("lossless_triplets")
def lossless_triplets(
    sides: Sides, *, selection: Selection, margin: Positive, intra_modal_weight: NotNegative
) -> Tensor:
    """Mean of -ln(1 + e - d(a, p) / N) - ln(1 + e - (N - d(a, n)) / N) over triplets, with e = 1e-8.

    The lossless triplet loss as hierarchical deep hashing takes it (Valaboju and Venkatesan 2020), with beta = N;
    d are squared Euclidean distances of the N outputs u = (h + 1) / 2 in [0, 1]. It never vanishes, so that
    ``selection: all`` is its own; the others select by d / N and the margin, which is no part of the loss.
    """

    def loss(rows: Outputs, columns: Outputs, same: bool) -> Tensor:
        distances = torch.cdist(rows.codes, columns.codes, compute_mode=EXACT).square() / (4 * rows.codes.shape[1])
        chosen = select(selection, distances, rows, columns, margin=margin, same=same)
        if len(chosen) == 0:
            return distances.sum() * 0
        near = distances[chosen.anchors, chosen.positives]
        far = distances[chosen.anchors, chosen.negatives]
        return -(torch.log(1 - near + LOSSLESS) + torch.log(far + LOSSLESS)).mean()

    return over_directions(sides, loss, intra_modal_weight=intra_modal_weight)


def _selected(
    sides: Sides,
    on: str,
    measure: Callable[[Tensor, Tensor], Tensor],
    *,
    margin: float,
    selection: str,
    intra_modal_weight: float,
) -> Tensor:
    """The relative-triplet loss over the triplets selected from one measure's distances, all ways."""

    def loss(rows: Outputs, columns: Outputs, same: bool) -> Tensor:
        distances = measure(getattr(rows, on), getattr(columns, on))
        chosen = select(selection, distances, rows, columns, margin=margin, same=same)
        return relative_triplet(distances, chosen, margin=margin)

    return over_directions(sides, loss, intra_modal_weight=intra_modal_weight)
