"""Batches for training: P classes by M sounds, each with an image, and how their files are read.

Comes in: items with labels and files. What is drawn depends on the seed of the epoch alone, so a resumed
training sees what an unbroken one would have seen.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset, Sampler

from dtbh.data.manifest import Item
from dtbh.encoders.reading import Reader
from dtbh.errors import DataError, DtbhError


class Batch(NamedTuple):
    """Images and sounds to learn from; row i of the images and row i of the sounds are a pair.

    Attributes:
        images: What the image tower takes.
        sounds: What the sound tower takes.
        labels: int64 [n], of both.
    """

    images: tuple[Tensor, ...]
    sounds: tuple[Tensor, ...]
    labels: Tensor


class Draw(NamedTuple):
    """One row of a batch: which image and sound, and the seed of their augmentation."""

    image: int
    sound: int
    seed: int


class PairSampler(Sampler[list[Draw]]):
    """Batches of P classes by M sounds; in an epoch each sound comes once, give or take the last batches.

    A sound comes with its own image, or where it has none with any image of its class. A class that runs out
    begins again, so that all batches are whole; classes are drawn by how many sounds they have left.

    Args:
        images: Items with labels.
        sounds: Items with labels.
        classes: P, cut to the number of classes there are.
        per_class: M.
        seed: Of this epoch.
        rank: This process among those that share each batch.
        world: How many they are.

    Raises:
        DataError: No class has both images and sounds, or there are fewer than two such classes.
    """

    def __init__(
        self, images: Sequence[Item], sounds: Sequence[Item], *, classes: int, per_class: int, seed: int,
        rank: int = 0, world: int = 1,
    ) -> None:  # fmt: skip
        self._by_label: dict[str, list[int]] = defaultdict(list)
        self._own: dict[str, list[int]] = defaultdict(list)
        for row, item in enumerate(images):
            self._by_label[str(item.label)].append(row)
            if item.pair is not None:
                self._own[item.pair].append(row)
        self._sounds: dict[str, list[int]] = defaultdict(list)
        for row, item in enumerate(sounds):
            if str(item.label) in self._by_label:
                self._sounds[str(item.label)].append(row)
        self._pairs = [item.pair for item in sounds]
        if len(self._sounds) < 2:
            raise DataError(
                f"training needs at least two classes with images and sounds, found {len(self._sounds)}: "
                "check the labels and the split (dtbh prepare says what there is)"
            )
        self._labels = sorted(self._sounds)
        self._classes, self._per_class = min(classes, len(self._labels)), per_class
        self._seed, self._rank, self._world = seed, rank, world

    def __len__(self) -> int:
        total = sum(len(rows) for rows in self._sounds.values())
        return max(1, total // (self._classes * self._per_class))

    def __iter__(self) -> Iterator[list[Draw]]:
        rng = np.random.default_rng(self._seed)
        queues = {label: rng.permutation(self._sounds[label]).tolist() for label in self._labels}
        for _ in range(len(self)):
            left = np.array([len(queues[label]) for label in self._labels], dtype=np.float64) + 1e-3
            chosen = rng.choice(len(self._labels), self._classes, replace=False, p=left / left.sum())
            batch = []
            for label in (self._labels[c] for c in chosen):
                for _ in range(self._per_class):
                    if not queues[label]:
                        queues[label] = rng.permutation(self._sounds[label]).tolist()
                    sound = int(queues[label].pop())
                    pair = self._pairs[sound]
                    own = self._own.get(pair) if pair is not None else None
                    image = int(rng.choice(own or self._by_label[label]))
                    batch.append(Draw(image, sound, int(rng.integers(2**62))))
            yield batch[self._rank :: self._world]


class PairDataset(Dataset[Any]):
    """Reads the image and the sound of a draw; what can't be read is handed on as the error it raised.

    Args:
        images: Reads images by row.
        sounds: Reads sounds by row.
        labels: Class number of each sound, int [sounds].
    """

    def __init__(self, images: Reader, sounds: Reader, labels: Sequence[int]) -> None:
        self.images, self.sounds, self.labels = images, sounds, labels

    def __getitem__(self, draw: Draw) -> tuple[Tensor, Tensor, int] | DtbhError:
        """Read one row of a batch."""
        generator = torch.Generator().manual_seed(draw.seed)
        try:
            return (
                self.images(draw.image, generator),
                self.sounds(draw.sound, generator),
                self.labels[draw.sound],
            )
        except DtbhError as error:
            return error

    def collate(self, rows: Sequence[Any]) -> Batch | DtbhError:
        """Put rows together as a batch, or hand on the first error among them."""
        errors = [row for row in rows if isinstance(row, DtbhError)]
        if errors:
            return errors[0]
        images, sounds, labels = zip(*rows, strict=True)
        return Batch(self.images.collate(images), self.sounds.collate(sounds), torch.tensor(labels))
