from __future__ import annotations

from collections import Counter

import pytest

from dtbh.data.manifest import Item
from dtbh.errors import DataError
from dtbh.learning.batches import PairSampler

CLASSES = ("a", "b", "c")
IMAGES = [Item(f"{c}{i}", "image", label=c, pair=f"{c}{i}") for c in CLASSES for i in range(6)]
SOUNDS = [Item(f"{image.id}S{k}", "sound", label=image.label, pair=image.pair) for image in IMAGES for k in range(1, 5)]


def sampler(images=IMAGES, sounds=SOUNDS, **changes):
    return PairSampler(images, sounds, **{"classes": 2, "per_class": 4, "seed": 0, **changes})


def test_batches_have_p_classes_of_m_pairs() -> None:
    for batch in sampler():
        labels = Counter(SOUNDS[draw.sound].label for draw in batch)
        assert sorted(labels.values()) == [4, 4]
        assert all(SOUNDS[draw.sound].pair == IMAGES[draw.image].pair for draw in batch)


def test_an_epoch_takes_nearly_every_sound_once() -> None:
    drawn = [draw.sound for batch in sampler() for draw in batch]
    assert len(drawn) == len(SOUNDS)
    assert len(set(drawn)) >= len(SOUNDS) - 8
    assert max(Counter(drawn).values()) <= 2


def test_order_depends_on_the_seed_alone() -> None:
    assert list(sampler()) == list(sampler())
    assert list(sampler(seed=1)) != list(sampler())


def test_ranks_share_each_batch() -> None:
    whole = list(sampler())
    parts = [list(sampler(rank=rank, world=2)) for rank in range(2)]
    for batch, a, b in zip(whole, *parts, strict=True):
        assert sorted(a + b) == sorted(batch)
        assert len(a) == len(b) == 4


def test_sounds_without_an_image_take_one_of_their_class() -> None:
    lone = [Item(f"s{i}", "sound", label=CLASSES[i % 3]) for i in range(30)]
    for batch in sampler(sounds=lone):
        assert all(lone[draw.sound].label == IMAGES[draw.image].label for draw in batch)


def test_more_classes_than_there_are_is_cut() -> None:
    assert all(len(batch) == 12 for batch in sampler(classes=16))


def test_one_class_is_refused() -> None:
    with pytest.raises(DataError, match="at least two classes"):
        sampler(sounds=[sound for sound in SOUNDS if sound.label == "a"])
