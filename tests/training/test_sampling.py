from __future__ import annotations

from collections import Counter
from dataclasses import replace

import pytest
import torch

from dtbh.data.manifest import Item
from dtbh.errors import DataError
from dtbh.training.sampling import Draw, PairDataset, PairSampler

CLASSES = ("a", "b", "c")
IMAGES = [Item(f"{c}{i}", "image", label=c, pair=f"{c}{i}") for c in CLASSES for i in range(6)]
SOUNDS = [Item(f"{image.id}S{k}", "sound", label=image.label, pair=image.pair) for image in IMAGES for k in range(1, 5)]


def sampler(images=IMAGES, sounds=SOUNDS, **changes):
    return PairSampler({"image": images, "sound": sounds}, **{"classes": 2, "per_class": 4, "seed": 0, **changes})


def test_batches_have_p_classes_of_m_pairs() -> None:
    for batch in sampler():
        labels = Counter(SOUNDS[draw.rows["sound"]].label for draw in batch)
        assert sorted(labels.values()) == [4, 4]
        assert all(SOUNDS[draw.rows["sound"]].pair == IMAGES[draw.rows["image"]].pair for draw in batch)


def test_an_epoch_takes_nearly_every_sound_once() -> None:
    drawn = [draw.rows["sound"] for batch in sampler() for draw in batch]
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
        assert sorted(a + b, key=lambda draw: draw.seed) == sorted(batch, key=lambda draw: draw.seed)
        assert len(a) == len(b) == 4


def test_sounds_without_an_image_take_one_of_their_class() -> None:
    lone = [Item(f"s{i}", "sound", label=CLASSES[i % 3]) for i in range(30)]
    for batch in sampler(sounds=lone):
        assert all(lone[draw.rows["sound"]].label == IMAGES[draw.rows["image"]].label for draw in batch)


def test_more_classes_than_there_are_is_cut() -> None:
    assert all(len(batch) == 12 for batch in sampler(classes=16))


def test_images_alone_come_by_themselves() -> None:
    alone = PairSampler({"image": IMAGES}, classes=2, per_class=3, seed=0)
    drawn = [draw.rows for batch in alone for draw in batch]
    assert all(list(rows) == ["image"] for rows in drawn)
    assert len({rows["image"] for rows in drawn}) >= len(IMAGES) - 6


def test_rows_of_one_pair_have_one_number() -> None:
    class Numbers:
        def __call__(self, row, generator=None):
            return torch.tensor(row)

        def collate(self, rows):
            return (torch.stack(list(rows)),)

    lone = Item("x", "image", label="a")
    items = {"image": [*IMAGES, lone, replace(lone, id="y")], "sound": SOUNDS}
    data = PairDataset({"image": Numbers(), "sound": Numbers()}, items, {"a": 0, "b": 1, "c": 2})
    batch = data.collate([data[draw] for draw in next(iter(sampler()))])
    assert torch.equal(batch.pairs["image"], batch.pairs["sound"])
    apart = data.collate([data[Draw({"image": len(IMAGES) + i, "sound": 0}, 1)] for i in range(2)])
    assert len(set(apart.pairs["image"].tolist()) | set(apart.pairs["sound"].tolist())) == 3


def test_one_class_is_refused() -> None:
    with pytest.raises(DataError, match="at least two classes"):
        sampler(sounds=[sound for sound in SOUNDS if sound.label == "a"])
