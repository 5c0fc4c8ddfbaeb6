"""What is trained on the frames of a sequence backbone: sequences to one vector a clip.

What stands beyond a clip's frames doesn't matter.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dtbh.config import SoundAugmentation, TemporalHead
from dtbh.encoders.hash_head import glorot_
from dtbh.features.augment import spec_augment


class TemporalPooling(nn.Module):
    """Convolutions over time with a way around each, then attention and maximum pooling.

    Attention pooling takes the words that matter, maximum pooling those that occur at all.

    Args:
        inputs: Width of a frame.
        settings: Widths and layers.
        masks: Masks in time in training.

    Attributes:
        out_dim: Width of the vector.
    """

    def __init__(self, inputs: int, settings: TemporalHead, masks: SoundAugmentation) -> None:
        super().__init__()
        width, kernel = settings.width, settings.kernel
        self.masks = masks
        self.scale = nn.BatchNorm1d(inputs)
        self.first = nn.Conv1d(inputs, width, kernel, padding=kernel // 2)
        self.norms = nn.ModuleList(nn.BatchNorm1d(width) for _ in range(settings.layers))
        self.layers = nn.ModuleList(
            nn.Sequential(
                nn.ReLU(),
                nn.Dropout1d(settings.dropout),
                nn.Conv1d(width, width, kernel, padding=kernel // 2),
            )
            for _ in range(settings.layers)
        )
        self.norm = nn.BatchNorm1d(width)
        self.attention = nn.Conv1d(width, 1, 1)
        self.out_dim = 2 * width
        glorot_(self)

    def forward(self, frames: Tensor, counts: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """Map float [n, t, d] and int [n] to float [n, out_dim]; a generator masks spans of time."""
        inside = (torch.arange(frames.shape[1], device=frames.device) < counts[:, None])[:, None]
        x = _normed(self.scale, frames.mT, inside)
        if generator is not None:
            m = self.masks
            x = spec_augment(x, counts, generator, time_masks=m.time_masks, time_width=m.time_mask, freq_masks=0)
        x = self.first(x) * inside
        for norm, layer in zip(self.norms, self.layers, strict=True):
            x = x + layer(_normed(norm, x, inside)) * inside
        x = F.relu(_normed(self.norm, x, inside))
        weights = torch.softmax(self.attention(x).float().masked_fill(~inside, float("-inf")), dim=2)
        highest = x.masked_fill(~inside, float("-inf")).amax(dim=2)
        return torch.cat([(x * weights).sum(dim=2), highest], dim=1)


def _normed(norm: nn.Module, x: Tensor, inside: Tensor) -> Tensor:
    """Batch-normalised over the clips' own frames alone; zero beyond them."""
    if not norm.training:
        return norm(x) * inside  # type: ignore[no-any-return]
    own = inside[:, 0]
    rows = x.mT
    result = torch.zeros_like(rows)
    result[own] = norm(rows[own])
    return result.mT
