"""What every loss is given: the towers' outputs for a batch, one `Outputs` a modality."""

from __future__ import annotations

from collections.abc import Callable
from itertools import permutations
from typing import Annotated, Any, NamedTuple, TypeVar

import torch
from pydantic import Field
from torch import Tensor

from dtbh.utils.registry import load_modules, load_plugins, register

Positive = Annotated[float, Field(gt=0)]


NotNegative = Annotated[float, Field(ge=0)]


class Outputs(NamedTuple):
    """What a tower says of the items of one modality in a batch, and what is known of them.

    Attributes:
        features: float [n, feature_dim], the deep features.
        codes: float [n, bits] in (-1, 1), the hash-like codes.
        labels: int64 [n], class numbers.
        pairs: int64 [n]; the same number in two modalities is a true pair, and in one the same item.
        words: int8 [n, words], which words of the vocabulary each item says; rows of -1 where that is not known, and
            None where no item says anything.
        shared: bool [c + 1, c + 1], which class numbers have a label in common; the last row and column, which are
            those of -1, are False. None where each item has one label: then a number has it with itself alone.
    """

    features: Tensor
    codes: Tensor
    labels: Tensor
    pairs: Tensor
    words: Tensor | None = None
    shared: Tensor | None = None


def alike(rows: Tensor, columns: Tensor, shared: Tensor | None) -> Tensor:
    """Which items have a label in common: bool [a, c], from class numbers [a] and [c] and ``Outputs.shared``."""
    return rows[:, None] == columns[None] if shared is None else shared[rows[:, None], columns[None]]


Sides = tuple[Outputs, ...]
"""One for each modality that learns: images and sounds, or one of them alone."""


def over_directions(
    sides: Sides, loss: Callable[[Outputs, Outputs, bool], Tensor], *, intra_modal_weight: float
) -> Tensor:
    """Mean of a loss over all directions, and ``intra_modal_weight`` times its mean over each side with itself.

    Of one side alone there is no other, and the loss is that of the side with itself.

    Args:
        sides: One or more.
        loss: Of rows, columns, and whether they are the same items.
        intra_modal_weight: Weight beside the ways across.
    """
    across = [loss(rows, columns, False) for rows, columns in permutations(sides, 2)]
    own = [loss(side, side, True) for side in sides] if intra_modal_weight or not across else []
    means = [torch.stack(values).mean() for values in (across, own) if values]
    return means[0] if len(means) == 1 else means[0] + intra_modal_weight * means[1]


LOSSES: dict[str, Callable[..., Any]] = {}
"""Every loss by its name in a config: functions of `Sides` that give a scalar tensor; or, where a loss has weights or
a memory of its own, classes of ``nn.Module`` that do so when called.

Parameters are keyword-only and are given by name in the config; ``margin``, ``selection`` and ``intra_modal_weight``
come from ``learning`` where they are not given, and ``bits``, ``classes`` (their number), ``feature_dim`` and ``words``
(the size of the vocabulary) from the run."""

Registered = TypeVar("Registered", bound=Callable[..., Any])


def loss(name: str) -> Callable[[Registered], Registered]:
    """A decorator that makes a function or class a loss of this name."""
    return register(LOSSES, name)  # type: ignore[return-value]


def known_losses() -> dict[str, Callable[..., Any]]:
    """`LOSSES`, once every file of this folder, and every package that brings more (``dtbh.losses``), was read."""
    load_modules("dtbh.training.losses")
    load_plugins("dtbh.losses")
    return LOSSES
