"""The maps that tell images of one class apart, and heads that have them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

import dtbh
from dtbh.config import Concepts
from dtbh.encoders.concept_head import ConceptHead
from dtbh.media.image import load_pixels
from dtbh.models.torch_encoder import TorchEncoder
from dtbh.stages.export import export
from dtbh.stages.train import train
from dtbh.training.pair_space import fit_pairs, rows_of
from tests.training.test_sentence_space import any_words

N, CLASSES = 120, 4


def scene() -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Images of four classes, two views each, whose captions say the class loudly and the image quietly."""
    rng = np.random.default_rng(0)
    own = rng.normal(size=(N, 6))
    loud = 2 * np.eye(CLASSES)[np.arange(N) % CLASSES]
    said = np.concatenate([loud, own], axis=1) @ rng.normal(size=(CLASSES + 6, 384))
    said /= np.linalg.norm(said, axis=1, keepdims=True)
    seen = np.concatenate([10 * loud, own], axis=1) @ rng.normal(size=(CLASSES + 6, 30))
    views = np.repeat(seen, 2, axis=0) + 0.1 * rng.normal(size=(2 * N, 30))
    return views, np.repeat(np.arange(N), 2), said, np.arange(N)


def found_first(image: nn.Linear, text: nn.Linear) -> float:
    """How often an image's own caption is the nearest."""
    views, _, said, _ = scene()
    with torch.inference_mode():
        a = nn.functional.normalize(image(torch.from_numpy(views[::2]).float()))
        b = nn.functional.normalize(text(torch.from_numpy(said).float()))
    return float(((a @ b.T).argmax(1) == torch.arange(N)).float().mean())


def fitted(seed: int = 0) -> tuple[nn.Linear, nn.Linear]:
    torch.manual_seed(5)
    image, text = nn.Linear(30, 384), nn.Linear(384, 384)
    nn.init.eye_(text.weight)
    views, of_pair, said, said_of = scene()
    order = np.random.default_rng(1).permutation(len(views))  # rows in any order
    fit_pairs(image, text, views[order], of_pair[order], said, said_of, seed=seed)
    return image, text


def test_a_pair_s_rows_are_drawn_alike() -> None:
    rng = np.random.default_rng(0)
    of = rng.permutation(np.repeat([3, 5, 8, 9], [1, 4, 2, 3]))
    pairs, asked = np.array([3, 5, 9]), rng.integers(0, 3, 9000)
    drawn = rows_of(pairs, of).drawn(asked, rng)
    assert (of[drawn] == pairs[asked]).all()
    for place, pair in enumerate(pairs.tolist()):
        rows, times = np.unique(drawn[asked == place], return_counts=True)
        expected = (asked == place).sum() / (of == pair).sum()
        assert rows.tolist() == np.flatnonzero(of == pair).tolist()
        assert (np.abs(times - expected) < 5 * expected**0.5).all()


def test_a_caption_finds_its_own_image() -> None:
    torch.manual_seed(5)
    assert found_first(nn.Linear(30, 384), nn.Linear(384, 384)) < 0.1
    image, text = fitted()
    assert found_first(image, text) > 0.5
    again, _ = fitted()
    assert torch.equal(image.weight, again.weight)
    other, _ = fitted(seed=1)
    assert not torch.equal(image.weight, other.weight)


def test_a_head_with_pairs_hashes_both_parts() -> None:
    torch.manual_seed(0)
    head = ConceptHead(5, Concepts(count=4, pairs=2.0), bits=6, temperature=0.2)
    head.concepts.data = torch.randn(4, 384)
    x = torch.randn(3, 5)
    encoded = head(x)
    vectors = nn.functional.normalize(head.pair(x))
    assert torch.allclose(encoded.features, vectors)
    both = torch.cat([head.placed(x), 2 * vectors], dim=1)
    assert torch.allclose(encoded.codes, torch.tanh(both @ head.hash[0].weight.T + head.hash[0].bias))


def test_a_run_with_pairs(tiny_data: Path, tmp_path: Path) -> None:
    settings = any_words(concepts={"count": 3, "pairs": 1.0})
    path = train(settings, tiny_data, tmp_path / "run")
    model = dtbh.load(path)
    assert isinstance(model, TorchEncoder)
    files = sorted((tiny_data / "images").glob("*.png"))[:4]
    with torch.inference_mode():
        pixels = torch.stack([torch.from_numpy(load_pixels(file, 16)) for file in files])
        features = model.twin.image(pixels).features
    assert features.norm(dim=1).tolist() == pytest.approx([1.0] * 4, abs=1e-5)
    exported = export(path, out=tmp_path / "exported")
    assert np.array_equal(exported.encode_images(files).words, model.encode_images(files).words)
    plain = dtbh.load(train(any_words(), tiny_data, tmp_path / "plain"))
    assert plain.fingerprint != model.fingerprint
