"""A small world of codes: three classes, pairs of one image and two sounds."""

from __future__ import annotations

import numpy as np
import pytest

from dtbh.codes import HashCodes
from dtbh.data.manifest import Item
from dtbh.data.splits import Leakage
from dtbh.evaluation.protocol import evaluate

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
