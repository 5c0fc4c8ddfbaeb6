"""Where an image and its own caption meet: a linear map of each modality, learned by contrast with graded relevance.

Concepts name the class and take out what tells one image from another of it. These maps keep that: they order within
the class, as vectors of a second stage of search and as a part of what the bits are made of. They start at the ridge
regression to what captions mean, and at the captions themselves.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from dtbh.training.graded import graded_contrast, graded_targets, learned_temperature
from dtbh.training.shallow import Floats, Ints

STEPS, BATCH, RATE, DECAY = 400, 512, 1e-3, 1e-4
"""Of AdamW, whose rate falls as a cosine."""
IMAGE_DROPOUT, TEXT_DROPOUT = 0.2, 0.1
TARGETS, CONTRAST = 0.05, 0.07
"""Temperatures: of the graded targets, and of the contrast at its start."""


@torch.inference_mode(mode=False)
def fit_pairs(
    image: nn.Linear, text: nn.Linear, images: Floats, of_pair: Ints, texts: Floats, said_of: Ints, *, seed: int
) -> None:
    """Learn both maps; they are given their start, and changed.

    Args:
        image: Of what the image backbone gives.
        text: Of sentence vectors.
        images: One row a view of an image, float64 [n, d].
        of_pair: The number of each one's pair, int64 [n]; each has a text.
        texts: Sentence vectors of captions, float64 [m, 384].
        said_of: The number of each one's pair, int64 [m].
        seed: Of the order, and of what is left out.
    """
    seen, said = torch.from_numpy(images).float(), torch.from_numpy(texts).float()
    pairs = np.unique(of_pair)
    views, captions = rows_of(pairs, of_pair), rows_of(pairs, said_of)
    first, second = _learner(image), _learner(text)
    sharpness = nn.Parameter(torch.tensor(-math.log(CONTRAST)))
    weights = [first.weight, first.bias, second.weight, second.bias]
    optimiser = torch.optim.AdamW([*weights, sharpness], lr=RATE, weight_decay=DECAY)
    batch = min(BATCH, len(pairs))
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimiser, lambda step: min(1.0, (step + 1) / 50) * (1 + math.cos(math.pi * step / STEPS)) / 2
    )
    rng, drops = np.random.default_rng(seed), torch.Generator().manual_seed(seed)
    order = np.empty(0, np.int64)
    for _ in range(STEPS):
        if len(order) < batch:
            order = rng.permutation(len(pairs))
        chosen, order = order[:batch], order[batch:]
        x = _dropped(seen[views.drawn(chosen, rng)], IMAGE_DROPOUT, drops)
        meaning = said[captions.drawn(chosen, rng)]
        targets = graded_targets(meaning, TARGETS)
        texts_seen = second(_dropped(meaning, TEXT_DROPOUT, drops))
        found = graded_contrast(first(x), texts_seen, targets, learned_temperature(sharpness))
        optimiser.zero_grad()
        found.backward()  # type: ignore[no-untyped-call]
        optimiser.step()
        schedule.step()
    for layer, learned in ((image, first), (text, second)):
        with torch.no_grad():
            layer.weight.copy_(learned.weight)
            layer.bias.copy_(learned.bias)


class RowsOf(NamedTuple):
    """The rows of each pair, one pair after the other.

    Attributes:
        rows: int64 [n].
        first: int64 [pairs], where in ``rows`` those of a pair begin.
        many: int64 [pairs], how many a pair has, from 1.
    """

    rows: Ints
    first: Ints
    many: Ints

    def drawn(self, pairs: Ints, rng: np.random.Generator) -> Ints:
        """For each of these pairs, int64 [m] by place, one of its rows: each is as likely as any other."""
        found: Ints = self.rows[self.first[pairs] + rng.integers(self.many[pairs])]
        return found


def rows_of(pairs: Ints, of: Ints) -> RowsOf:
    """The rows of these pairs, of which row i belongs to number ``of[i]``; ``pairs`` ascends, and each has a row."""
    rows = np.argsort(of, kind="stable")
    first = np.searchsorted(of[rows], pairs)
    return RowsOf(rows, first, np.searchsorted(of[rows], pairs, "right") - first)


def _learner(layer: nn.Linear) -> nn.Linear:
    """A copy of a layer that is told to learn."""
    copy = nn.Linear(layer.in_features, layer.out_features)
    copy.load_state_dict({name: x.detach().clone() for name, x in layer.state_dict().items()})
    return copy


def _dropped(x: Tensor, share: float, draw: torch.Generator) -> Tensor:
    """Dropout whose chances come from a generator."""
    kept = torch.rand(x.shape, generator=draw) >= share
    return x * kept / (1 - share)
