"""One thing seen or heard in several ways: orientations of an image, speeds of a sound.

View 0 is as it is. Codes may be averaged over the first views.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

FLIPS_AND_TURNS = ((False, 0), (True, 1), (False, 2), (True, 3), (False, 1), (True, 0), (False, 3), (True, 2))
"""The eight orientations of an image as (flip, quarter turns)."""
SPEEDS = (100, 92, 108, 85, 117)
"""The speeds of a sound in percent; tempo, pitch and formants follow, as with another speaker."""


def viewed(media: Sequence[Tensor], view: int) -> tuple[Tensor, ...]:
    """What a tower takes, images or sounds with their lengths, in one of its views."""
    return (oriented(media[0], view),) if len(media) == 1 else paced(media[0], media[1], view)


def oriented(x: Tensor, view: int) -> Tensor:
    """An image, or any tensor [..., h, w], in one of the eight orientations."""
    flip, turns = FLIPS_AND_TURNS[view]
    return torch.rot90(x.flip(-1) if flip else x, turns, (-2, -1))


def paced(waveforms: Tensor, lengths: Tensor, view: int) -> tuple[Tensor, Tensor]:
    """Sounds at one of the speeds, by linear interpolation between a clip's own samples.

    Args:
        waveforms: float [n, samples], zero beyond each length.
        lengths: int [n], 1 or more.
        view: Which speed.

    Returns:
        Waveforms of another length, and their lengths. What comes of a clip does not hang on its padding.
    """
    percent = SPEEDS[view]
    if percent == 100:
        return waveforms, lengths
    samples = waveforms.shape[1]
    places = torch.arange((samples - 1) * 100 // percent + 1, device=waveforms.device) * percent
    before = places // 100
    part = (places - before * 100).to(waveforms.dtype) / 100
    after = (before + 1).clamp(max=samples - 1)
    return waveforms[:, before] * (1 - part) + waveforms[:, after] * part, (lengths - 1) * 100 // percent + 1
