"""An image backbone of one's own: one function, and its name in the config.

    python examples/custom_backbone.py data/demo runs/own-backbone

Here: colours alone. Means and deviations of the channels over a grid of cells; nothing is learned below the hash head.
"""

from __future__ import annotations

import sys
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dtbh.config import read_config
from dtbh.encoders.image_libraries import Network, image_backbone
from dtbh.stages.train import train

CONFIG = Path(__file__).parent.parent / "configs" / "dtbh" / "demo.yaml"
CELLS = 4


class Colours(nn.Module):
    """Mean and deviation of each channel in each cell."""

    def forward(self, pixels: Tensor) -> Tensor:
        """Map float [n, 3, h, w] to float [n, 6 * CELLS ** 2]."""
        mean = F.adaptive_avg_pool2d(pixels, CELLS)
        square = F.adaptive_avg_pool2d(pixels.square(), CELLS)
        return torch.cat([mean, (square - mean.square()).clamp(min=0).sqrt()], dim=1).flatten(1)


@image_backbone("colours")
def colours(name: str, size: int, pretrained: bool) -> Network:
    """Has no weights, so that it is the same whether they are wanted or not."""
    return Network(Colours(), 6 * CELLS**2, (0.5, 0.5, 0.5), (0.5, 0.5, 0.5))


SETTING = "encoders.image={backbone: colours, size: 64}"


if __name__ == "__main__":
    data, out = map(Path, sys.argv[1:3])
    train(read_config(CONFIG, [SETTING]), data, out)
