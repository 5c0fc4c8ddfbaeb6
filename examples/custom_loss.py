"""A term of one's own for the objective: one function, one line, and its weight in the config.

    python examples/custom_loss.py data/demo runs/own

Here: each image among all sounds of the batch, and the other way round, as a softmax over cosines.
"""

from __future__ import annotations

import sys
from pathlib import Path

import torch.nn.functional as F
from torch import Tensor

from dtbh.config import read_config
from dtbh.stages.train import train
from dtbh.training.losses.base import Outputs, Positive, Sides, loss, over_directions

CONFIG = Path(__file__).parent.parent / "configs" / "dtbh" / "demo.yaml"


@loss("softmax_match")
def softmax_match(sides: Sides, *, temperature: Positive) -> Tensor:
    """All items of a class share the probability; nothing is selected."""

    def of(rows: Outputs, columns: Outputs, same: bool) -> Tensor:
        similar = F.normalize(rows.codes) @ F.normalize(columns.codes).T / temperature
        alike = (rows.labels[:, None] == columns.labels[None]).float()
        return F.cross_entropy(similar, alike / alike.sum(dim=1, keepdim=True))

    return over_directions(sides, of, intra_modal_weight=0)


SETTING = "learning.losses={softmax_match: {weight: 1, temperature: 0.1}, approximate_l1: 0.01}"


if __name__ == "__main__":
    data, out = map(Path, sys.argv[1:3])
    train(read_config(CONFIG, [SETTING]), data, out)
