"""Baselines fitted in closed form: what each promises, and runs that hold them."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

import dtbh
from dtbh.config import Config, make_config
from dtbh.data.manifest import read_manifest
from dtbh.errors import ConfigError, DataError
from dtbh.stages.evaluate import evaluate
from dtbh.stages.train import train
from dtbh.training.losses.pairwise import class_centres
from dtbh.training.shallow import (
    SHALLOW_METHODS,
    Sample,
    cca_itq,
    class_codes,
    fitted,
    itq,
    lsh,
    pca_rotated,
    quantizing_rotation,
)


def clouds(n=300, d=12, classes=3, seed=0, spread=1.0):
    """Classes around corners, in directions of unequal variance."""
    rng = np.random.default_rng(seed)
    labels = np.arange(n) % classes
    centres = rng.normal(size=(classes, d)) * 3
    vectors = centres[labels] + rng.normal(size=(n, d)) * np.linspace(0.2, 2, d) * spread + 5
    return Sample(vectors, labels, np.arange(n))


def project(layers, x):
    for weight, bias in layers:
        x = x @ weight.T + bias
    return x


def quantization_error(projected, rotation):
    """In loops: the squared distance of turned projections to their signs."""
    total = 0.0
    for row in projected:
        for axis in rotation:
            value = sum(a * b for a, b in zip(row, axis, strict=True))
            total += (value - (1 if value >= 0 else -1)) ** 2
    return total


@pytest.mark.parametrize("name", ["lsh", "pca_rotated", "itq"])
def test_projections_are_centred_and_repeatable(name):
    sample = clouds()
    layers = fitted(name, {"image": sample}, bits=6, seed=3)["image"]
    again = fitted(name, {"image": sample}, bits=6, seed=3)["image"]
    other = fitted(name, {"image": sample}, bits=6, seed=4)["image"]
    assert np.array_equal(layers[0][0], again[0][0])
    assert not np.allclose(layers[0][0], other[0][0])
    assert np.abs(project(layers, sample.vectors).mean(axis=0)).max() < 1e-9


def test_pca_keeps_the_most_variance_and_spreads_it():
    sample = clouds()
    weight = pca_rotated({"image": sample}, bits=6, rng=np.random.default_rng(0))["image"][0][0]
    assert np.allclose(weight @ weight.T, np.eye(6), atol=1e-9)
    values, axes = np.linalg.eigh(np.cov(sample.vectors.T, bias=True))
    top = axes[:, -6:]
    assert np.allclose(weight.T @ weight, top @ top.T, atol=1e-8)
    spread = project([(weight, -weight @ sample.vectors.mean(axis=0))], sample.vectors).var(axis=0)
    assert spread.max() / spread.min() < values[-1] / values[-6]


def test_itq_lies_nearer_to_its_signs_than_a_random_rotation():
    rng = np.random.default_rng(1)
    projected = rng.laplace(size=(60, 5)) * [3, 2, 1, 1, 0.5]
    projected -= projected.mean(axis=0)
    found = quantizing_rotation(projected, np.random.default_rng(2))
    assert np.allclose(found @ found.T, np.eye(5), atol=1e-9)
    start = np.linalg.qr(np.random.default_rng(2).normal(size=(5, 5)))[0]
    assert quantization_error(projected, found) < 0.97 * quantization_error(projected, start)
    signs = np.where(projected @ found.T >= 0, 1.0, -1.0)
    u, _, v = np.linalg.svd(signs.T @ projected)
    assert quantization_error(projected, u @ v) <= quantization_error(projected, found) + 1e-9


def test_cca_finds_what_two_modalities_share():
    rng = np.random.default_rng(0)
    shared = rng.normal(size=(500, 3))
    x = np.concatenate([shared, 1.5 * rng.normal(size=(500, 6))], axis=1) @ np.linalg.qr(rng.normal(size=(9, 9)))[0]
    y = np.concatenate([shared + 0.1 * rng.normal(size=(500, 3)), 1.5 * rng.normal(size=(500, 4))], axis=1)
    y = y @ np.linalg.qr(rng.normal(size=(7, 7)))[0] + 3
    numbers, order = np.arange(500), rng.permutation(500)
    samples = {"image": Sample(x, numbers, numbers), "sound": Sample(y[order], numbers[order], numbers[order])}
    layers = cca_itq(samples, bits=3, rng=rng)
    a, b = (project(layers[name], samples[name].vectors) >= 0 for name in ("image", "sound"))
    agree = (a[order] == b).mean()
    assert agree > 0.85
    assert abs((a[rng.permutation(500)] == b).mean() - 0.5) < 0.1


def test_class_codes_are_the_centres_of_the_predicted_classes():
    sample = clouds(spread=0.2)
    (weight, bias), (codes, zeros) = class_codes({"image": sample}, bits=8, rng=np.random.default_rng(0))["image"]
    predicted = (sample.vectors @ weight.T + bias).argmax(axis=1)
    assert (predicted == sample.labels).all()
    assert np.array_equal(codes.T, class_centres(3, 8).numpy())
    assert not zeros.any()


def test_what_cannot_be_fitted_is_named():
    image, rng = clouds(), np.random.default_rng(0)
    with pytest.raises(ConfigError, match=r"no method 'itk'; did you mean itq\?"):
        fitted("itk", {"image": image}, bits=4, seed=0)
    for fit in (lsh, pca_rotated, itq):
        with pytest.raises(ConfigError, match="takes one modality"):
            fit({"image": image, "sound": image}, bits=4, rng=rng)
    with pytest.raises(ConfigError, match="at most 12 bits can be had here, found 13"):
        itq({"image": image}, bits=13, rng=rng)
    with pytest.raises(ConfigError, match="needs two modalities"):
        cca_itq({"image": image}, bits=4, rng=rng)
    with pytest.raises(DataError, match="0 pairs of images and sounds for 4 bits"):
        cca_itq({"image": image, "sound": image._replace(pairs=image.pairs + 1000)}, bits=4, rng=rng)


def fit_config(config: Config, run: Path, name: str, **encoders: object) -> Config:
    """The towers of a trained run, frozen, with heads to be fitted."""
    content = config.model_dump(mode="json")
    for tower in ("image", "sound"):
        content["encoders"][tower] |= {"frozen": True, "weights": str(run)}
    content["encoders"] |= {"feature_dim": 0, **encoders}
    content["learning"] = {"fit": name}
    return make_config(content)


@pytest.mark.parametrize("name", ["lsh", "pca_rotated", "itq"])
def test_a_fitted_run_is_a_run(name: str, tiny_config: Config, tiny_data: Path, tiny_run: Path, tmp_path: Path) -> None:
    run = train(fit_config(tiny_config, tiny_run, name, sound=None), tiny_data, tmp_path / "run")
    said = json.loads((run / "run.json").read_text())
    assert said["finished"]
    report, _ = evaluate(run, split="val")
    assert report.directions["image->image"].map == pytest.approx(said["kept_val_map"], abs=1e-6)
    assert said["kept_val_map"] > 0.6  # chance is about 0.4
    before = (run / "model.safetensors").stat().st_mtime_ns
    assert train(fit_config(tiny_config, tiny_run, name, sound=None), tiny_data, run) == run
    assert (run / "model.safetensors").stat().st_mtime_ns == before


def test_both_towers_are_fitted_to_pairs_or_to_classes(
    tiny_config: Config, tiny_data: Path, tiny_run: Path, tmp_path: Path
) -> None:
    pairs = train(fit_config(tiny_config, tiny_run, "cca_itq"), tiny_data, tmp_path / "pairs")
    head = {"feature_dim": 3, "normalize_features": False, "activation": "softmax"}
    classes = train(fit_config(tiny_config, tiny_run, "class_codes", **head), tiny_data, tmp_path / "classes")
    for run in (pairs, classes):
        assert json.loads((run / "run.json").read_text())["kept_val_map"] > 0.6
    images = [tiny_data / str(item.path) for item in read_manifest(tiny_data).images]
    assert len(np.unique(dtbh.load(classes).encode_images(images).words)) <= 3


def test_a_fit_wants_frozen_towers_and_a_head_of_its_layers(
    tiny_config: Config, tiny_data: Path, tiny_run: Path, tmp_path: Path
) -> None:
    content = tiny_config.model_dump(mode="json")
    content["learning"] = {"fit": "cca_itq"}
    with pytest.raises(ConfigError, match=r"needs frozen backbones; set encoders\.image\.frozen=true"):
        train(make_config(content), tiny_data, tmp_path / "run")
    with pytest.raises(ConfigError, match=r"gives layers of 12 x 256, the head has 32 x 256, 12 x 32; set"):
        train(fit_config(tiny_config, tiny_run, "itq", sound=None, feature_dim=32), tiny_data, tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_every_method_has_a_preset() -> None:
    from dtbh.config import read_config

    configs = (Path(__file__).parents[2] / "configs").glob("*/ucm.yaml")
    assert {read_config(path).learning.fit for path in configs} >= set(SHALLOW_METHODS)
