"""The sound backbone: waveforms to one vector a clip.

The clip's end is masked throughout, so a clip's vector does not depend on what it is batched with.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from dtbh.config import SoundTower
from dtbh.encoders.hash_head import glorot_
from dtbh.features.augment import spec_augment
from dtbh.features.sound import SoundFeatures


class SoundBackbone(nn.Module):
    """Convolutions over MFCC or log-mel frames, then attention and maximum pooling over time.

    Five one-dimensional convolutions (channels of the features as input channels) bring the frame rate down
    eight times. Attention pooling takes the words that matter, maximum pooling those that occur at all.

    Args:
        settings: The sound tower's settings.
    """

    STRIDES = (2, 2, 1, 2, 1)

    def __init__(self, settings: SoundTower) -> None:
        super().__init__()
        self.settings = settings
        self.features = SoundFeatures(**settings.features.model_dump())
        width = settings.width
        channels = (self.features.channels, width, width, 2 * width, 2 * width, 2 * width)
        kernels = (5, 5, 3, 3, 3)
        self.convolutions = nn.ModuleList(
            nn.Sequential(
                nn.Conv1d(channels[i], channels[i + 1], kernels[i], self.STRIDES[i], kernels[i] // 2, bias=False),
                nn.BatchNorm1d(channels[i + 1]),
                nn.ReLU(),
            )
            for i in range(len(kernels))
        )
        self.attention = nn.Conv1d(channels[-1], 1, 1)
        self.out_dim = 2 * channels[-1]
        glorot_(self)

    def forward(self, waveforms: Tensor, lengths: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """Map float [n, samples] and int lengths [n] to float [n, out_dim].

        Args:
            waveforms: In [-1, 1], zero beyond each length.
            lengths: Samples each clip has.
            generator: For masks in time and frequency (SpecAugment); None for none.
        """
        x, frames = self.features(waveforms, lengths)
        if generator is not None:
            masks = self.settings.augmentation
            frequencies = self.settings.features.kind == "logmel"  # the channels of MFCC are none
            x = spec_augment(
                x,
                frames,
                generator,
                time_masks=masks.time_masks,
                time_width=masks.time_mask,
                freq_masks=masks.freq_masks if frequencies else 0,
                freq_width=masks.freq_mask,
            )
        for convolution, stride in zip(self.convolutions, self.STRIDES, strict=True):
            frames = (frames - 1) // stride + 1
            x = convolution(x)
            x = x * _mask(frames, x)
        mask = _mask(frames, x)
        weights = torch.softmax(self.attention(x).float().masked_fill(~mask, float("-inf")), dim=2)
        attended = (x * weights).sum(dim=2)
        highest = x.masked_fill(~mask, float("-inf")).amax(dim=2)
        return torch.cat([attended, highest], dim=1)


def _mask(frames: Tensor, x: Tensor) -> Tensor:
    """Boolean [n, 1, t]: which of x's [n, c, t] frames are the clip's own."""
    return (torch.arange(x.shape[2], device=x.device)[None] < frames[:, None])[:, None]
