"""Where an image and its own caption meet: a linear map of each modality, learned by contrast with graded relevance.

Concepts name the class and take out what tells one image from another of it. These maps keep that: they order within
the class, as vectors of a second stage of search and as a part of what the bits are made of. They start at the ridge
regression to what captions mean, and at the captions themselves.
"""

from __future__ import annotations

import math

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
    views, captions = _rows(of_pair), _rows(said_of)
    pairs = np.unique(of_pair)
    first, second = _learner(image), _learner(text)
    sharpness = nn.Parameter(torch.tensor(-math.log(CONTRAST)))
    weights = [first.weight, first.bias, second.weight, second.bias]
    optimiser = torch.optim.AdamW([*weights, sharpness], lr=RATE, weight_decay=DECAY)
    batch = min(BATCH, len(pairs))
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimiser, lambda step: min(1.0, (step + 1) / 50) * (1 + math.cos(math.pi * step / STEPS)) / 2
    )
    rng, drops = np.random.default_rng(seed), torch.Generator().manual_seed(seed)
    order: list[int] = []
    for _ in range(STEPS):
        if len(order) < batch:
            order = rng.permutation(pairs).tolist()
        chosen, order = order[:batch], order[batch:]
        x = _dropped(seen[[int(rng.choice(views[pair])) for pair in chosen]], IMAGE_DROPOUT, drops)
        meaning = said[[int(rng.choice(captions[pair])) for pair in chosen]]
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


def _rows(pairs: Ints) -> dict[int, Ints]:
    """The rows of each pair."""
    order = np.argsort(pairs, kind="stable")
    numbers, starts = np.unique(pairs[order], return_index=True)
    return dict(zip(numbers.tolist(), np.split(order, starts[1:]), strict=True))


def _learner(layer: nn.Linear) -> nn.Linear:
    """A copy of a layer that is told to learn."""
    copy = nn.Linear(layer.in_features, layer.out_features)
    copy.load_state_dict({name: x.detach().clone() for name, x in layer.state_dict().items()})
    return copy


def _dropped(x: Tensor, share: float, draw: torch.Generator) -> Tensor:
    """Dropout whose chances come from a generator."""
    kept = torch.rand(x.shape, generator=draw) >= share
    return x * kept / (1 - share)
