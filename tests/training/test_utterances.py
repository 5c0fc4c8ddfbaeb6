"""A network of utterances: its loss as loops have it, tiny training, and the exported one."""

from __future__ import annotations

import math

import numpy as np
import onnxruntime
import pytest
import torch

from dtbh.encoders.utterance_encoder import UtteranceEncoder
from dtbh.media.utterance import WIDTH
from dtbh.training.utterances import Clips, exported, loss, padded, train_utterances
from tests.reference.utterances import loss_by_loops


def clips(count: int, seed: int) -> Clips:
    """Clips that each have one of four sounds somewhere in them, which stands for a sentence."""
    rng, sounds = np.random.default_rng(seed), np.random.default_rng(7).normal(size=(2, 4, WIDTH))
    frames = [rng.normal(size=(rng.integers(3, 9), WIDTH)) * 0.5 for _ in range(count)]
    for row, own in enumerate(frames):
        own[rng.integers(len(own))] += 3 * sounds[0, row % 4]
    meant = sounds[1, np.arange(count) % 4].astype(np.float32)
    return Clips([own.astype(np.float16) for own in frames], meant)


@pytest.fixture(scope="module")
def network() -> UtteranceEncoder:
    steps = []
    found = train_utterances(
        clips(128, 0), epochs=12, seed=0, device=torch.device("cpu"), each=lambda *step: steps.append(step)
    )
    assert steps == [(step, 24) for step in range(1, 25)]
    return found


def test_what_is_heard_is_what_is_meant(network):
    new = clips(40, 1)
    with torch.inference_mode():
        vectors = network(*padded(new.frames)).numpy()
    assert np.linalg.norm(vectors, axis=1) == pytest.approx(np.ones(40), abs=1e-5)
    names = new.meant[:4] / np.linalg.norm(new.meant[:4], axis=1, keepdims=True)
    assert ((vectors @ names.T).argmax(axis=1) == np.arange(40) % 4).mean() > 0.9


def test_the_exported_network_hears_nearly_the_same(network):
    data = exported(network)
    assert len(data) < 2.5e6
    session = onnxruntime.InferenceSession(data)
    for count in (1, 5):
        frames, lengths = padded(clips(count, 2).frames)
        (found,) = session.run(None, {"frames": frames.numpy(), "lengths": lengths.numpy()})
        with torch.inference_mode():
            wanted = network(frames, lengths).numpy()
        assert (found * wanted).sum(axis=1).min() > 0.999, "weights have 8 bits"


def test_loss_as_loops_have_it():
    rng = np.random.default_rng(0)
    found, wanted = rng.normal(size=(6, 5)), rng.normal(size=(6, 5))
    wanted /= np.linalg.norm(wanted, axis=1, keepdims=True)
    value = loss(torch.from_numpy(found), torch.from_numpy(wanted)).item()
    assert value == pytest.approx(loss_by_loops(found.tolist(), wanted.tolist()), rel=1e-9)
    assert loss(torch.from_numpy(wanted), torch.from_numpy(wanted)).item() < value
    assert math.isfinite(value)
