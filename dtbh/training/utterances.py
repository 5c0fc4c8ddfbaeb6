"""A network learns what utterances mean: clips of speech against the sentence vectors of the words that were spoken.

Each vector is to point where that of its words does, seen from the middle of all, and to be told from the others of its
batch, as far as those mean something else.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from dtbh.encoders.utterance_encoder import UtteranceEncoder
from dtbh.models.export import traced

BATCH = 64
RATE, WARM_UP, DECAY, CLIP = 1.5e-3, 0.1, 0.02, 1.0
"""Of AdamW: the highest learning rate, the share of steps towards it, weight decay, and the longest gradient."""
DIRECTION, APART = 2.0, 0.5
"""Weights of the two parts of the loss."""
TEMPERATURE, ALIKE = 0.07, 0.03
"""Of the cosines to the batch's sentences, and of those between these, which say what is nearly right."""
LOST = 0.05  # of the frames, in training
SORTED = 16  # batches among which clips of like length are put together


class Clips(NamedTuple):
    """Spoken clips.

    Attributes:
        frames: Of each, float16 [t, 384], as `dtbh.media.utterance.averaged` gives them.
        meant: What the sentence encoder gives of its words, float32 [n, 384].
    """

    frames: Sequence[NDArray[np.float16]]
    meant: NDArray[np.float32]


def train_utterances(
    clips: Clips, *, epochs: float, seed: int, device: torch.device,
    each: Callable[[int, int], None] = lambda *_: None,
) -> UtteranceEncoder:  # fmt: skip
    """Train the network.

    Args:
        clips: Two at least.
        epochs: Above 0; a part of one is as many batches of it.
        seed: 0 or more.
        device: Where to compute.
        each: Called after every step with its number, and how many there are.
    """
    torch.manual_seed(seed)
    network = UtteranceEncoder()
    seen = np.concatenate([frames.astype(np.float32) for frames in clips.frames[:1500]])
    meant = F.normalize(torch.from_numpy(clips.meant))
    network.offset.copy_(torch.from_numpy(seen.mean(axis=0)))
    network.scale.copy_(torch.from_numpy(seen.std(axis=0).clip(1e-3)))
    network.middle.copy_(meant.mean(dim=0))
    wanted = F.normalize(meant - network.middle)
    network.to(device).train()
    steps = max(1, math.ceil(epochs * len(clips.frames) / BATCH))
    search = torch.optim.AdamW(network.parameters(), lr=RATE, weight_decay=DECAY)
    pace = torch.optim.lr_scheduler.OneCycleLR(search, RATE, total_steps=steps + 1, pct_start=WARM_UP)
    rng = np.random.default_rng(seed)
    batches: Iterator[NDArray[np.int64]] = iter(())
    for step in range(1, steps + 1):
        rows = next(batches, None)
        if rows is None:
            batches = iter(_batches(clips, rng))
            rows = next(batches)
        frames, lengths = (x.to(device) for x in padded([clips.frames[row] for row in rows]))
        kept = torch.rand(*frames.shape[:2], 1, device=device) > LOST
        found = loss(network.apart(frames * kept, lengths), wanted[rows].to(device))
        search.zero_grad()
        found.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(network.parameters(), CLIP)
        search.step()
        pace.step()
        each(step, steps)
    return network.eval().cpu()


def loss(found: Tensor, wanted: Tensor) -> Tensor:
    """How far utterances are from what they mean.

    Args:
        found: Float [n, 384].
        wanted: Of length one, float [n, 384].
    """
    found = F.normalize(found)
    right = torch.softmax(wanted @ wanted.T / ALIKE, dim=1)
    told = F.log_softmax(found @ wanted.T / TEMPERATURE, dim=1)
    return DIRECTION * (1 - (found * wanted).sum(1)).mean() - APART * (right * told).sum(1).mean()


def padded(frames: Sequence[NDArray[Any]]) -> tuple[Tensor, Tensor]:
    """Clips as float [n, t, 384], zero beyond each, and int64 [n]."""
    together = [torch.from_numpy(one.astype(np.float32)) for one in frames]
    return nn.utils.rnn.pad_sequence(together, batch_first=True), torch.tensor([len(one) for one in frames])


def exported(network: UtteranceEncoder) -> bytes:
    """The network as ONNX with weights of 8 bits, one scale a row; what it computes stays in floats."""
    import onnx
    from onnx import helper, numpy_helper

    free = torch.export.Dim.DYNAMIC
    example = torch.zeros(2, 50, network.offset.shape[0]), torch.tensor([50, 20])
    shapes = {0: free, 1: free}, {0: free}
    whole = traced(network, example, ["frames", "lengths"], ["vectors"], shapes, "utterance")
    model = onnx.load_from_string(whole)
    graph = model.graph
    for weights in [*graph.initializer]:
        values = numpy_helper.to_array(weights)
        if values.dtype == np.float32 and values.ndim == 2 and values.size > 10_000:
            scale = (np.abs(values).max(axis=1).clip(1e-12) / 127).astype(np.float32)
            rounded = np.round(values / scale[:, None]).astype(np.int8)
            graph.initializer.remove(weights)
            names = [f"{weights.name}_{part}" for part in ("whole", "scale", "zero")]
            for name, array in zip(names, (rounded, scale, np.zeros(len(scale), np.int8)), strict=True):
                graph.initializer.append(numpy_helper.from_array(array, name))
            graph.node.insert(0, helper.make_node("DequantizeLinear", names, [weights.name], axis=0))
    data: bytes = model.SerializeToString(deterministic=True)
    return data


def _batches(clips: Clips, rng: np.random.Generator) -> list[NDArray[np.int64]]:
    """The clips of an epoch in batches, those of like length together."""
    order = rng.permutation(len(clips.frames))
    found: list[NDArray[np.int64]] = []
    for start in range(0, len(order), BATCH * SORTED):
        some = order[start : start + BATCH * SORTED]
        some = some[np.argsort([len(clips.frames[row]) for row in some], kind="stable")]
        found += [some[first : first + BATCH] for first in range(0, len(some), BATCH)]
    return [found[place] for place in rng.permutation(len(found))]
