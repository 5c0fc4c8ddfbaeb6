"""Images to pixels: files to uint8 tensors of one size, and those to normalised floats."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor

from dtbh.media.image import load_pixels
from dtbh.media.raster import Tile


def load_image(path: Path | str | Tile, size: int) -> Tensor:
    """An image file as a tensor: what `load_pixels` reads, uint8 [3, size, size].

    Raises:
        MediaError: As there.
    """
    return torch.from_numpy(load_pixels(path, size))


def to_float(batch: Tensor, mean: Sequence[float], std: Sequence[float]) -> Tensor:
    """Pixels as an encoder wants them: scaled to [0, 1], less the mean, divided by the standard deviation.

    Args:
        batch: uint8 [images, 3, height, width].
        mean: Of each channel, in [0, 1].
        std: Of each channel, above 0.

    Returns:
        float32 [images, 3, height, width].

    Raises:
        ValueError: The batch is of another type or shape.
    """
    if batch.dtype != torch.uint8 or batch.ndim != 4 or batch.shape[1] != 3:
        raise ValueError(f"uint8 [images, 3, height, width] wanted, found {batch.dtype} {list(batch.shape)}")
    scale = 1 / (255 * torch.tensor(std, device=batch.device))
    shift = torch.tensor(mean, device=batch.device) * 255 * scale
    return batch.float().mul_(scale[:, None, None]).sub_(shift[:, None, None])
