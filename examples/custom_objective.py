"""An objective of one's own: one function, one line, one setting.

    python examples/custom_objective.py data/demo runs/contrastive

Here: each image among all sounds of the batch, and the other way round, as a softmax over cosines.
"""

from __future__ import annotations

import sys
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor

from dtbh.config import Learning, read_config
from dtbh.encoders.heads import Encoded
from dtbh.learning.objectives import OBJECTIVES, Loss, approximate_l1
from dtbh.learning.trainer import train

CONFIG = Path(__file__).parent.parent / "configs" / "dtbh" / "demo.yaml"
TEMPERATURE = 0.1


def contrastive(
    images: Encoded, sounds: Encoded, image_labels: Tensor, sound_labels: Tensor, *, settings: Learning, select: str
) -> Loss:
    """All items of a class share the probability; nothing is selected."""
    similar = F.normalize(images.codes) @ F.normalize(sounds.codes).T / TEMPERATURE
    same = (image_labels[:, None] == sound_labels[None]).float()
    ways = [(similar, same), (similar.T, same.T)]
    match = torch.stack([F.cross_entropy(s, p / p.sum(dim=1, keepdim=True)) for s, p in ways]).mean()
    quantization = (approximate_l1(images.codes) + approximate_l1(sounds.codes)) / 2
    total = match + settings.quantization * quantization
    return Loss(total, {"match": match.detach(), "quantization": quantization.detach()})


OBJECTIVES["contrastive"] = contrastive


if __name__ == "__main__":
    data, out = map(Path, sys.argv[1:3])
    train(read_config(CONFIG, ["learning.objective=contrastive"]), data, out)
