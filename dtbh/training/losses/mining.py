"""Triplet mining: a distance matrix and labels in, indices out. The paper and the settings call it selection.

Distances are float [a, c] from anchors (rows) to candidates (columns), and their labels int [a] and
[c]; where items may have several labels, ``alike``, bool [a, c], says which have one in common. Anchors index rows;
positives and negatives index columns, so unequal numbers of images and sounds are ordinary. Where rows and columns are
the same items, ``same`` keeps an item from being its own positive. Mining never sees a gradient and no loss selects.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated

import torch
from pydantic import AfterValidator
from torch import Tensor

from dtbh.config import hint
from dtbh.training.losses.base import Outputs, alike
from dtbh.utils.registry import register


@dataclass(frozen=True)
class Triplets:
    """Indices of n triplets.

    Attributes:
        anchors: int64 [n], rows.
        positives: int64 [n], columns of the anchor's label, or of one of its labels.
        negatives: int64 [n], columns of none of its labels.
    """

    anchors: Tensor
    positives: Tensor
    negatives: Tensor

    def __post_init__(self) -> None:
        shapes = {tuple(t.shape) for t in (self.anchors, self.positives, self.negatives)}
        assert len(shapes) == 1, "three index vectors of one length"

    def __len__(self) -> int:
        return len(self.anchors)


MINERS: dict[str, Callable[..., Triplets]] = {}
"""Triplet selections by their name in ``learning.selection``: of distances, labels of rows and columns, a margin,
whether rows and columns are the same items and, where items have several labels, which have one in common."""


def miner(name: str) -> Callable[[Callable[..., Triplets]], Callable[..., Triplets]]:
    """A decorator that makes a function a selection of this name."""
    return register(MINERS, name)


@miner("all")
def select_all(
    distances: Tensor, rows: Tensor, columns: Tensor, *, margin: float, same: bool = False, alike: Tensor | None = None
) -> Triplets:
    """Every triplet there is."""
    pairs = _pairs(rows, columns, same, alike)
    return _where(distances, pairs, lambda violation: torch.ones_like(violation, dtype=torch.bool), margin)


@miner("active")
def select_active(
    distances: Tensor, rows: Tensor, columns: Tensor, *, margin: float, same: bool = False, alike: Tensor | None = None
) -> Triplets:
    """The triplets that still teach: d(a, n) < d(a, p) + margin.

    This is how we read the paper's selection strategy (Chen and Lu 2020); its exact rule could not be read.
    """
    return _where(distances, _pairs(rows, columns, same, alike), lambda violation: violation > 0, margin)


@miner("semi_hard")
def select_semi_hard(
    distances: Tensor, rows: Tensor, columns: Tensor, *, margin: float, same: bool = False, alike: Tensor | None = None
) -> Triplets:
    """Those whose negative lies behind the positive, but by less than the margin (Schroff et al. 2015)."""
    pairs = _pairs(rows, columns, same, alike)
    return _where(distances, pairs, lambda violation: (violation > 0) & (violation < margin), margin)


@miner("hard")
def select_hard(
    distances: Tensor, rows: Tensor, columns: Tensor, *, margin: float, same: bool = False, alike: Tensor | None = None
) -> Triplets:
    """One triplet an anchor: its farthest positive and its nearest negative (Hermans et al. 2017).

    Anchors without a positive or a negative among the columns have none.
    """
    positive, negative = _pairs(rows, columns, same, alike)
    far = distances.masked_fill(~positive, float("-inf")).argmax(dim=1)
    near = distances.masked_fill(~negative, float("inf")).argmin(dim=1)
    anchors = torch.nonzero(positive.any(dim=1) & negative.any(dim=1)).flatten()
    return Triplets(anchors, far[anchors], near[anchors])


def select(name: str, distances: Tensor, rows: Outputs, columns: Outputs, *, margin: float, same: bool) -> Triplets:
    """What the selection of this name in `MINERS` chooses between two sides."""
    several = {} if rows.shared is None else {"alike": alike(rows.labels, columns.labels, rows.shared)}
    return MINERS[name](distances.detach(), rows.labels, columns.labels, margin=margin, same=same, **several)


def _pairs(rows: Tensor, columns: Tensor, same: bool, common: Tensor | None) -> tuple[Tensor, Tensor]:
    """Boolean [a, c]: which columns are positives, and which negatives, of each row."""
    common = alike(rows, columns, None) if common is None else common
    positive = common & ~torch.eye(len(rows), dtype=torch.bool, device=rows.device) if same else common
    return positive, ~common


def _where(
    distances: Tensor, pairs: tuple[Tensor, Tensor], wanted: Callable[[Tensor], Tensor], margin: float
) -> Triplets:
    """The triplets whose violation d(a, p) - d(a, n) + margin is wanted, looked for among the positive pairs alone."""
    positive, negative = pairs
    anchors, positives = torch.nonzero(positive, as_tuple=True)
    violation = distances[anchors, positives][:, None] - distances[anchors] + margin
    chosen, negatives = torch.nonzero(wanted(violation) & negative[anchors], as_tuple=True)
    return Triplets(anchors[chosen], positives[chosen], negatives)


def _known(selection: str) -> str:
    """The name of a selection, if it is one."""
    if selection not in MINERS:
        raise ValueError(f"no selection {selection!r}; {hint(selection, list(MINERS))}")
    return selection


Selection = Annotated[str, AfterValidator(_known)]
"""A name of `MINERS`, as losses take it."""
