"""Vectors of texts in any language to vectors that tell the meaning and not the language."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dtbh.encoders.sentence_encoder import WIDTH
from dtbh.media.any_language import language_directions


class AnyLanguage(nn.Module):
    """A projection that takes out the directions in which languages differ.

    Args:
        pretrained: Find the directions, instead of leaving the projection as it is for a state dict.

    Attributes:
        out_dim: 384.

    Raises:
        MissingExtraError: The extra ``languages`` is not installed.
    """

    out_dim: ClassVar[int] = WIDTH

    def __init__(self, *, pretrained: bool) -> None:
        super().__init__()
        self.kept = nn.Parameter(torch.eye(WIDTH), requires_grad=False)
        if pretrained:
            directions = language_directions()
            self.kept.data -= torch.from_numpy((directions.T @ directions).astype(np.float32))

    def forward(self, vectors: Tensor, counts: Tensor) -> Tensor:
        """Map float [n, 384] to the same, of length one; ``counts`` are those of readers of tokens, and not used."""
        return F.normalize(vectors @ self.kept)
