"""The term that contrasts a batch with the codes of batches before it.

What is kept of it is held in buffers, so that a resumed training goes on with the same memory.
"""

from __future__ import annotations

from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor, nn

from dtbh.training.losses.base import Positive, Sides, alike, loss
from dtbh.training.losses.contrastive import softmax_loss

MODALITIES = 2


@loss("memory_contrast")
class MemoryContrast(nn.Module):
    """Contrast of hash-like codes, as ``code_contrast`` has it, against the last ``memory`` codes of each modality.

    The cross-batch memory of Wang, Zhang, Huang and Scott (XBM, CVPR 2020), from each modality to the other's
    memory, or to its own where there is one alone. Codes in the memory have no gradient, and are older than the
    towers. Where we differ: a batch enters after it was contrasted, so that no item meets itself.

    Args:
        bits: Length of a code.
        memory: Codes kept of each modality.
        temperature: Of the softmax over cosines.
    """

    codes: Tensor
    labels: Tensor

    def __init__(self, *, bits: int, memory: Annotated[int, Field(ge=1)], temperature: Positive) -> None:
        super().__init__()
        self.temperature = temperature
        self.register_buffer("codes", torch.zeros(MODALITIES, memory, bits))
        self.register_buffer("labels", torch.full((MODALITIES, memory), -1))

    def forward(self, sides: Sides) -> Tensor:
        """Mean over modalities; zero before there is a memory. The batch then takes the place of the oldest codes."""
        costs = []
        for own, side in enumerate(sides):
            other = len(sides) - 1 - own
            known, labels = self.codes[other], self.labels[other]
            right = alike(side.labels, labels, side.shared)
            costs.append(softmax_loss(side.codes, known, right, (labels >= 0).expand_as(right), self.temperature))
        for own, side in enumerate(sides):
            self._keep(own, side.codes.detach(), side.labels)
        return torch.stack(costs).mean()

    def _keep(self, own: int, codes: Tensor, labels: Tensor) -> None:
        """Put these first, and drop what no longer fits."""
        size = self.codes.shape[1]
        self.codes[own] = torch.cat([codes.to(self.codes), self.codes[own]])[:size]
        self.labels[own] = torch.cat([labels, self.labels[own]])[:size]
