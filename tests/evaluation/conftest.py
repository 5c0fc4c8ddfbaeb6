"""A small world of codes: three classes, pairs of one image and two sounds."""

from __future__ import annotations

import numpy as np
import pytest
import soundfile
from PIL import Image

from dtbh.codes import HashCodes
from dtbh.data.leakage import Leakage
from dtbh.data.manifest import Item
from dtbh.evaluation.evaluate import evaluate
from dtbh.evaluation.report import write_report

BITS = 20
CLASSES = ("beach", "forest", "river")
SETTING = {
    "protocol": "random",
    "splits": {"train": {"images": 40, "sounds": 80}, "test": {"images": 12, "sounds": 24}},
    "leakage": Leakage(24, 6, 12, 0, 0, 3).to_dict(),
    "checkpoint_rule": "best mean mAP on validation",
}


def make_codes(*, noise=0.8, seed=0, per_class=4, root="/nowhere"):
    """Image codes and sound codes of one encoder."""
    rng = np.random.default_rng(seed)
    centres = rng.normal(size=(len(CLASSES), BITS))
    images, sounds, image_values, sound_values = [], [], [], []
    for c, label in enumerate(CLASSES):
        for i in range(per_class):
            pair = f"{label}-{i}"
            images.append(Item(f"i-{pair}", "image", f"{root}/{pair}.png", label, pair, "test"))
            image_values.append(centres[c] + noise * rng.normal(size=BITS))
            for k in range(2):
                path, words = f"{root}/{pair}-{k}.wav", f"this is {label} number {i}"
                sounds.append(Item(f"s-{pair}-{k}", "sound", path, label, pair, "test", "anna", words))
                sound_values.append(centres[c] + noise * rng.normal(size=BITS))
    return (
        HashCodes.from_values(np.array(image_values), encoder="abc", items=images),
        HashCodes.from_values(np.array(sound_values), encoder="abc", items=sounds),
    )


@pytest.fixture(scope="session")
def codes():
    """Image codes and sound codes."""
    return make_codes()


@pytest.fixture(scope="session")
def report(codes):
    """Their report."""
    return evaluate(*codes, **SETTING)


def tone(hertz, seconds):
    return 0.2 * np.sin(2 * np.pi * hertz * np.arange(round(16000 * seconds)) / 16000)


@pytest.fixture(scope="session")
def media(tmp_path_factory):
    """Codes with their media: one picture is damaged, one clip is absent, one long."""
    root = tmp_path_factory.mktemp("media")
    images, sounds = make_codes(root=root)
    for number, item in enumerate(images.items):
        Image.new("RGB", (90, 60), (20 * number, 120, 60)).save(item.path)
    for number, item in enumerate(sounds.items):
        soundfile.write(item.path, tone(300 + 40 * number, 1.0), 16000)
    (root / "beach-0.png").write_bytes(b"not a picture")
    (root / "beach-0-0.wav").unlink()
    soundfile.write(root / "beach-0-1.wav", tone(500, 12.5), 16000)
    return images, sounds


@pytest.fixture(scope="session")
def folder(media, tmp_path_factory):
    """A written report."""
    images, sounds = media
    place = tmp_path_factory.mktemp("out") / "report"
    page = write_report(evaluate(*media, **SETTING), place, images=images, sounds=sounds)
    assert page == place / "index.html"
    return place
