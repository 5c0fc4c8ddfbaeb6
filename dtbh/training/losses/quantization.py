"""Losses that make hash-like codes binary and balanced."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from dtbh.training.losses.base import Sides, loss


@loss("approximate_l1")
def approximate_l1(sides: Sides) -> Tensor:
    """DTBH's regulariser: mean of log cosh(|h| - 1) over hash-like codes h, a smooth L1 distance to their signs.

    Written as x + softplus(-2x) - log 2, which does not overflow.
    """

    def one(codes: Tensor) -> Tensor:
        x = (codes.abs() - 1).abs()
        return (x + F.softplus(-2 * x) - torch.log(torch.tensor(2.0, device=codes.device))).mean()

    return torch.stack([one(side.codes) for side in sides]).mean()


@loss("quantization")
def quantization(sides: Sides) -> Tensor:
    """Mean of (|h| - 1)^2: the squared distance of hash-like codes to their signs (DPSH, DCMH, DUCH and others)."""
    return torch.stack([(side.codes.abs() - 1).square().mean() for side in sides]).mean()


@loss("push")
def push(sides: Sides) -> Tensor:
    """MiLaN's push away from the threshold: minus the mean of (u - 1/2)^2 over outputs u = (h + 1) / 2 in [0, 1]."""
    return -torch.stack([(side.codes / 2).square().mean() for side in sides]).mean()


@loss("balance")
def balance(sides: Sides) -> Tensor:
    """Mean over bits of the squared mean over items: zero where each bit is set for half of them.

    DTBH's paper names code balance as future work; the form is MiLaN's (Roy et al.), which has outputs in [0, 1]:
    a weight there is four times the weight here.
    """
    return torch.stack([side.codes.mean(dim=0).square().mean() for side in sides]).mean()


@loss("item_balance")
def item_balance(sides: Sides) -> Tensor:
    """Mean over items of the squared mean over bits: zero where each item has half of its bits set.

    What MiLaN's public code computes under the name of bit balance; the paper's form is ``balance``.
    """
    return torch.stack([side.codes.mean(dim=1).square().mean() for side in sides]).mean()
