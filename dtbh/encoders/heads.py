"""From a backbone's output to deep features and hash-like codes.

Comes in: float tensors [n, d]. Both towers end in the same kind of head.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn


class Encoded(NamedTuple):
    """What a tower says of n items.

    Attributes:
        features: float [n, feature_dim], the deep features; not negative.
        codes: float [n, bits] in (-1, 1), the hash-like codes.
    """

    features: Tensor
    codes: Tensor


class HashHead(nn.Module):
    """A layer of deep features and a hash layer with tanh.

    Weights start Glorot-uniform.

    Args:
        inputs: Width of the backbone's output.
        feature_dim: Width of the deep features.
        bits: Length of the codes.
        dropout: Share of inputs dropped in training.
        normalize: Batch-normalise the deep features before their ReLU. Without it, triplets selected among
            those that still teach tend to pull all codes to one point (the ablation in the README).
    """

    def __init__(self, inputs: int, *, feature_dim: int, bits: int, dropout: float, normalize: bool) -> None:
        super().__init__()
        norm = nn.BatchNorm1d(feature_dim) if normalize else nn.Identity()
        self.features = nn.Sequential(nn.Dropout(dropout), nn.Linear(inputs, feature_dim), norm, nn.ReLU())
        self.hash = nn.Sequential(nn.Linear(feature_dim, bits), nn.Tanh())
        glorot_(self)

    def forward(self, x: Tensor) -> Encoded:
        """Map float [n, inputs] to deep features and hash-like codes."""
        features = self.features(x)
        return Encoded(features, self.hash(features))


def glorot_(module: nn.Module) -> None:
    """Start every linear and convolution weight Glorot-uniform and every bias at zero, as the paper does."""
    for layer in module.modules():
        if isinstance(layer, nn.Linear | nn.Conv1d | nn.Conv2d):
            torch.nn.init.xavier_uniform_(layer.weight)
            if layer.bias is not None:
                torch.nn.init.zeros_(layer.bias)
