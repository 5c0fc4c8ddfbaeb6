"""Terms of the objective that look at pairs of items, or at items and the centre or the logit of their class.

Each term gives a scalar and says where its formula comes from and where ours differs. Means stand where papers sum, so
that a weight does not hang on the size of a batch.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dtbh.encoders.hash_head import glorot_
from dtbh.training.losses.base import NotNegative, Outputs, Positive, Sides, alike, loss, over_directions


@loss("pairwise_likelihood")
def pairwise_likelihood(sides: Sides, *, alpha: Positive, intra_modal_weight: NotNegative, weighted: bool) -> Tensor:
    """Negative log-likelihood of which pairs are alike: mean of log(1 + exp(t)) - s t, with t = alpha <h, g>.

    s is 1 for items of one class, else 0. With alpha 1/2 and no weights this is the likelihood of DPSH (Li, Wang
    and Kang, IJCAI 2016) within a modality and of DCMH (Jiang and Li, CVPR 2017) from one to the other. ``weighted``
    is HashNet (Cao, Long, Wang and Yu, ICCV 2017): similar and dissimilar pairs have the same weight in sum.
    Where we differ: h and g are outputs of tanh, not unbounded; weights are of the batch, not of all data.
    """

    def loss(rows: Outputs, columns: Outputs, same: bool) -> Tensor:
        common, there = _alike(rows, columns, same)
        t = alpha * rows.codes @ columns.codes.T
        cost = F.softplus(t) - common * t
        if not weighted:
            return _mean(cost, there)
        return (_mean(cost, there * common) + _mean(cost, there * (1 - common))) / 2

    return over_directions(sides, loss, intra_modal_weight=intra_modal_weight)


@loss("pair_contrast")
def pair_contrast(sides: Sides, *, temperature: Positive, intra_modal_weight: NotNegative) -> Tensor:
    """Each item among all of the batch: its own pair is right, all others are wrong; classes are not looked at.

    Mean of -log(exp(c(h, g+) / T) / sum over g of exp(c(h, g) / T)), c being the cosine of hash-like codes, as in
    DUCH (Mikriukov, Ravanbakhsh and Demir, 2022; NT-Xent). Where one item has several pairs in the batch, each is
    right once and the others are no negatives of it. ``intra_modal_weight`` weighs the same between items of one
    modality that share a pair (two captions of an image). Where we differ: DUCH contrasts two augmentations of each
    item within a modality, and has an adversarial term, which we leave out.
    """

    def loss(rows: Outputs, columns: Outputs, same: bool) -> Tensor:
        similar = F.normalize(rows.codes) @ F.normalize(columns.codes).T / temperature
        pair = rows.pairs[:, None] == columns.pairs[None]
        own = torch.eye(len(similar), dtype=torch.bool, device=similar.device) if same else torch.zeros_like(pair)
        least = torch.finfo(similar.dtype).min  # not -inf, whose gradient would be none where nothing is left
        others = torch.logsumexp(similar.masked_fill(pair | own, least), dim=1, keepdim=True)
        cost = torch.logaddexp(similar, others) - similar
        return _mean(cost, (pair & ~own).to(cost.dtype))

    return over_directions(sides, loss, intra_modal_weight=intra_modal_weight)


@loss("central_similarity")
def central_similarity(sides: Sides, *, bits: int, classes: int) -> Tensor:
    """Binary cross-entropy between (h + 1) / 2 and the hash centre of the item's class, mean over bits and items.

    CSQ (Yuan, Wang, Zhang and others, CVPR 2020); for its quantisation take ``approximate_l1``, which
    is CSQ's too.
    """
    centres = _centres(sides[0].codes, classes, bits)

    def one(side: Outputs) -> Tensor:
        return F.binary_cross_entropy((side.codes + 1) / 2, (centres[side.labels] + 1) / 2)

    return torch.stack([one(side) for side in sides]).mean()


@loss("orthogonal_centres")
def orthogonal_centres(sides: Sides, *, bits: int, classes: int, scale: Positive, margin: NotNegative) -> Tensor:
    """Cross-entropy of scale (cos(h, c) - margin [c is the item's centre]) over the centres c of all classes.

    OrthoHash (Hoe, Ng, Zhang, Chan, Song and Xiang, NeurIPS 2021): one term does for classes and quantisation.
    Where we differ: h is the output of tanh (the paper batch-normalises instead).
    """
    centres = F.normalize(_centres(sides[0].codes, classes, bits))

    def one(side: Outputs) -> Tensor:
        cosines = F.normalize(side.codes) @ centres.T
        right = F.one_hot(side.labels, classes).to(cosines.dtype)
        return F.cross_entropy(scale * (cosines - margin * right), side.labels)

    return torch.stack([one(side) for side in sides]).mean()


@loss("classification")
class Classification(nn.Module):
    """Cross-entropy of a linear classifier on hash-like codes, shared by all modalities and trained with them.

    What DQH (Chen, Xiong, Mou and Zhu, TGRS 2022) calls the category-level semantics of hash codes; its exact
    form could not be read.
    """

    def __init__(self, *, bits: int, classes: int) -> None:
        super().__init__()
        self.linear = nn.Linear(bits, classes)
        glorot_(self)

    def forward(self, sides: Sides) -> Tensor:
        """Mean over modalities and items."""
        return torch.stack([F.cross_entropy(self.linear(side.codes), side.labels) for side in sides]).mean()


@lru_cache(maxsize=8)
def class_centres(classes: int, bits: int) -> Tensor:
    """Codes of -1 and +1, one a class, far from each other: float [classes, bits].

    As CSQ makes them: rows of a Hadamard matrix and of its negative where the length is a power of two and they
    suffice (at least half of the bits apart); else drawn, each bit with probability 1/2, always the same.
    """
    if bits & (bits - 1) == 0 and classes <= 2 * bits:
        from scipy.linalg import hadamard

        rows = np.concatenate([hadamard(bits), -hadamard(bits)])[:classes]
    else:
        rows = np.random.default_rng(0).integers(0, 2, (classes, bits)) * 2 - 1
    return torch.from_numpy(rows.astype(np.float32))


def _centres(like: Tensor, classes: int, bits: int) -> Tensor:
    return class_centres(classes, bits).to(like)


def _alike(rows: Outputs, columns: Outputs, same: bool) -> tuple[Tensor, Tensor]:
    """Float [a, c]: 1 where items share a class; and 1 where there is a pair, as an item is none with itself."""
    common = alike(rows.labels, columns.labels, rows.shared).to(rows.codes.dtype)
    there = torch.ones_like(common) - torch.eye(len(common), device=common.device) if same else torch.ones_like(common)
    return common, there


def _mean(cost: Tensor, weight: Tensor) -> Tensor:
    """Mean over what has weight; 0 where nothing has. Costs without weight may be infinite."""
    return torch.where(weight > 0, cost * weight, 0.0).sum() / weight.sum().clamp(min=1)
