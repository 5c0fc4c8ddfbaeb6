"""Fixtures that several rooms of the test suite use."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings

from dtbh.config import Config, make_config
from tests.browser import chromium, visit  # noqa: F401  (fixtures for every test)

settings.register_profile("untimed", deadline=None)  # a busy machine is no fault of what is tested
settings.load_profile("untimed")

SHARED = Path(__file__).resolve().parents[2] / "shared" / "data"


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder with the real UC Merced images and the caption files."""
    if not (SHARED / "ucm" / "Images").is_dir():
        pytest.skip(f"{SHARED} is not here: the real images and captions are not part of the project")
    return SHARED


COLOURS = {"red": (200, 40, 40), "green": (40, 180, 60), "blue": (50, 60, 210)}


@pytest.fixture(scope="session", autouse=True)
def own_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Tests keep stored backbone outputs to themselves."""
    before = os.environ.get("DTBH_CACHE")
    os.environ["DTBH_CACHE"] = str(tmp_path_factory.mktemp("cache"))
    yield
    del os.environ["DTBH_CACHE"]
    if before is not None:
        os.environ["DTBH_CACHE"] = before


@pytest.fixture(scope="session")
def tiny_data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three classes of coloured tiles, twelve each, with two spoken (hummed) captions a tile."""
    import numpy as np
    from PIL import Image

    from dtbh.data.manifest import Item, Manifest, write_manifest
    from dtbh.stages.speak import speak
    from tests.tones import VOICES, tones

    root = tmp_path_factory.mktemp("tiny")
    rng = np.random.default_rng(0)
    items = []
    (root / "images").mkdir()
    for label, colour in COLOURS.items():
        for i in range(12):
            pixels = np.clip(np.array(colour) + rng.normal(0, 30, (16, 16, 3)), 0, 255).astype(np.uint8)
            name = f"{label}{i}"
            Image.fromarray(pixels).save(root / "images" / f"{name}.png")
            items.append(Item(name, "image", f"images/{name}.png", label, name))
            for k in (1, 2):
                words = f"a {label} tile number {i * 2 + k}"
                items.append(Item(f"{name}S{k}", "sound", None, label, name, transcript=words))
    write_manifest(Manifest(tuple(items), root, "tiny"))
    speak(root, engine=tones, voices=VOICES, workers=1)
    return root


@pytest.fixture(scope="session")
def tiny_config() -> Config:
    """Towers that learn the tiny data in a few epochs of a second each."""
    return make_config(
        {
            "data": {"val": 0.2},
            "encoders": {
                "bits": 12,
                "feature_dim": 32,
                "dropout": 0.1,
                "image": {
                    "backbone": "small_cnn",
                    "weights": "none",
                    "frozen": False,
                    "size": 16,
                    "augmentation": {"probability": 0.2},
                },
                "sound": {
                    "width": 16,
                    "features": {"n_mels": 40, "n_mfcc": 20},
                    "augmentation": {"probability": 0.2, "time_masks": 1},
                },
            },
            "training": {"epochs": 8, "classes": 3, "per_class": 4, "workers": 0, "learning_rate": 1e-2},
        }
    )


@pytest.fixture(scope="session")
def tiny_run(tiny_data: Path, tiny_config: Config, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A trained run on the tiny data."""
    from dtbh.stages.train import train

    return train(tiny_config, tiny_data, tmp_path_factory.mktemp("runs") / "tiny")


@pytest.fixture(scope="session")
def tiny_model(tiny_run: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The trained run, exported."""
    pytest.importorskip("onnxscript", reason="exporting needs the extra train")
    from dtbh.stages.export import export

    return export(tiny_run, out=tmp_path_factory.mktemp("models") / "tiny").path
