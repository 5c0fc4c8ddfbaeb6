"""From a backbone's output to deep features and hash-like codes.

Both towers end in the same kind of head.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn

from dtbh.config import Encoders


class Encoded(NamedTuple):
    """What a tower says of n items.

    Attributes:
        features: float [n, feature_dim], the deep features; not negative after a ReLU.
        codes: float [n, bits] in (-1, 1), the hash-like codes.
    """

    features: Tensor
    codes: Tensor


class HashHead(nn.Module):
    """A layer of deep features, with others before it where the settings name some, and a hash layer with tanh.

    Weights start Glorot-uniform.

    Args:
        inputs: Width of the backbone's output.
        settings: ``hidden``, ``feature_dim``, ``bits``, ``dropout``, ``activation``, and ``normalize_features``:
            whether the deep features are batch-normalised before their ReLU. Without it, triplets selected among
            those that still teach tend to pull all codes to one point (the ablation in docs/dtbh.md).
        reader: Comes before all else, and says in ``out_dim`` what width it hands on.
    """

    def __init__(self, inputs: int, settings: Encoders, reader: DepthReader | None = None) -> None:
        super().__init__()
        self.reader = nn.Identity() if reader is None else reader
        inputs = inputs if reader is None else reader.out_dim
        layers: list[nn.Module] = []
        for width in (*settings.hidden, settings.feature_dim):
            if width:
                last = len(layers) == 4 * len(settings.hidden)
                norm = nn.BatchNorm1d(width) if last and settings.normalize_features else nn.Identity()
                activation = ACTIVATIONS[settings.activation]()
                layers += [nn.Dropout(settings.dropout), nn.Linear(inputs, width), norm, activation]
                inputs = width
        self.features = nn.Sequential(*layers)
        self.feature_dim = inputs
        """Width of the deep features."""
        self.hash = nn.Sequential(nn.Linear(inputs, settings.bits), nn.Tanh())
        self.tanh_scale = 1.0
        """Factor before the tanh, which training may change; signs do not depend on it."""
        glorot_(self)

    def forward(self, x: Tensor) -> Encoded:
        """Map float [n, inputs] to deep features and hash-like codes."""
        features = self.features(self.reader(x))
        linear, tanh = self.hash
        return Encoded(features, tanh(self.tanh_scale * linear(features)))


class DepthReader(nn.Module):
    """A recurrent network that reads pooled feature maps of several depths, the shallow ones first.

    Hierarchical deep hashing (Valaboju and Venkatesan 2020) reads them as a sequence; how they are brought to one
    width is our choice: layer normalisation and a linear layer each.

    Args:
        widths: Of the parts of its input, in order.
        width: Of the LSTM.
    """

    def __init__(self, widths: Sequence[int], width: int) -> None:
        super().__init__()
        self.widths, self.out_dim = list(widths), width
        self.bring = nn.ModuleList(nn.Sequential(nn.LayerNorm(w), nn.Linear(w, width)) for w in widths)
        self.recurrent = nn.LSTM(width, width, batch_first=True)

    def forward(self, x: Tensor) -> Tensor:
        """Map float [n, sum(widths)] to the last state, float [n, width]."""
        steps = [bring(part) for bring, part in zip(self.bring, torch.split(x, self.widths, dim=1), strict=True)]
        states, _ = self.recurrent(torch.stack(steps, dim=1))
        last: Tensor = states[:, -1]
        return last


ACTIVATIONS: dict[str, Callable[[], nn.Module]] = {
    "relu": nn.ReLU,
    "leaky_relu": lambda: nn.LeakyReLU(0.2),
    "linear": nn.Identity,
    "softmax": lambda: nn.Softmax(dim=1),
}


def glorot_(module: nn.Module) -> None:
    """Start every linear and convolution weight Glorot-uniform and every bias at zero, as the paper does."""
    for layer in module.modules():
        if isinstance(layer, nn.Linear | nn.Conv1d | nn.Conv2d):
            torch.nn.init.xavier_uniform_(layer.weight)
            if layer.bias is not None:
                torch.nn.init.zeros_(layer.bias)
