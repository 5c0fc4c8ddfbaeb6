"""Batches for training: P classes by M sounds, each with an image, and how their files are read.

What is drawn depends on the seed of the epoch alone, so a resumed training sees what an unbroken one would have seen.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset, Sampler

from dtbh.data.manifest import Item, Modality
from dtbh.encoders.readers import Reader
from dtbh.errors import DataError, DtbhError


class Batch(NamedTuple):
    """Items to learn from, by modality; row i of the images and row i of the sounds are of one class.

    Attributes:
        media: What each modality's tower takes.
        labels: int64 [n], of each row: the number of what stands in ``Item.label``.
        pairs: int64 [n] by modality; the same number is the same pair, and within a modality the same item's.
        words: int8 [n, words] by modality, what the items of some modalities say (``learning.words``).
    """

    media: dict[Modality, tuple[Tensor, ...]]
    labels: Tensor
    pairs: dict[Modality, Tensor]
    words: dict[Modality, Tensor]


class Draw(NamedTuple):
    """One row of a batch: which item of each modality, and the seed of their augmentation."""

    rows: dict[Modality, int]
    seed: int


class PairSampler(Sampler[list[Draw]]):
    """Batches of P classes by M sounds; in an epoch each sound comes once, give or take the last batches.

    A sound comes with its own image, or where it has none with any image of its class. A class that runs out
    begins again, so that all batches are whole; classes are drawn by how many sounds they have left. Items of several
    labels are of the class of all of them together. With images alone, images stand where sounds stand here, and
    come by themselves.

    Args:
        items: Items with labels, by modality; one or both.
        classes: P, cut to the number of classes there are.
        per_class: M.
        seed: Of this epoch.
        rank: This process among those that share each batch.
        world: How many they are.

    Raises:
        DataError: There are fewer than two classes that have items of every modality.
    """

    def __init__(
        self, items: Mapping[Modality, Sequence[Item]], *, classes: int, per_class: int, seed: int,
        rank: int = 0, world: int = 1,
    ) -> None:  # fmt: skip
        self._lead: Modality = "sound" if "sound" in items else "image"
        self._with: Modality | None = "image" if len(items) > 1 else None
        self._by_label: dict[str, list[int]] = defaultdict(list)
        self._own: dict[str, list[int]] = defaultdict(list)
        for row, item in enumerate(items[self._with] if self._with else ()):
            self._by_label[str(item.label)].append(row)
            if item.pair is not None:
                self._own[item.pair].append(row)
        self._leading: dict[str, list[int]] = defaultdict(list)
        for row, item in enumerate(items[self._lead]):
            if self._with is None or str(item.label) in self._by_label:
                self._leading[str(item.label)].append(row)
        self._pairs = [item.pair for item in items[self._lead]]
        if len(self._leading) < 2:
            raise DataError(
                f"training needs at least two classes with {' and '.join(f'{name}s' for name in items)}, found "
                f"{len(self._leading)}: check the labels and the split (dtbh prepare says what there is)"
            )
        self._labels = sorted(self._leading)
        self._classes, self._per_class = min(classes, len(self._labels)), per_class
        self._seed, self._rank, self._world = seed, rank, world

    def __len__(self) -> int:
        total = sum(len(rows) for rows in self._leading.values())
        return max(1, total // (self._classes * self._per_class))

    def __iter__(self) -> Iterator[list[Draw]]:
        rng = np.random.default_rng(self._seed)
        queues = {label: rng.permutation(self._leading[label]).tolist() for label in self._labels}
        for _ in range(len(self)):
            left = np.array([len(queues[label]) for label in self._labels], dtype=np.float64) + 1e-3
            chosen = rng.choice(len(self._labels), self._classes, replace=False, p=left / left.sum())
            batch = []
            for label in (self._labels[c] for c in chosen):
                for _ in range(self._per_class):
                    if not queues[label]:
                        queues[label] = rng.permutation(self._leading[label]).tolist()
                    rows: dict[Modality, int] = {self._lead: int(queues[label].pop())}
                    if self._with is not None:
                        pair = self._pairs[rows[self._lead]]
                        own = (self._own.get(pair) if pair is not None else None) or self._by_label[label]
                        rows[self._with] = own[rng.integers(len(own))]
                    batch.append(Draw(rows, int(rng.integers(2**62))))
            yield batch[self._rank :: self._world]


def pair_numbers(items: Mapping[Modality, Sequence[Item]]) -> dict[Modality, list[int]]:
    """A number for each item: the same for the items of one pair; an item without a pair has one of its own."""
    known: dict[object, int] = {}
    return {
        name: [known.setdefault(i.pair if i.pair is not None else (name, i.id), len(known)) for i in own]
        for name, own in items.items()
    }


class PairDataset(Dataset[Any]):
    """Reads the items of a draw; what can't be read is handed on as the error it raised.

    Args:
        readers: Read items by row, for each modality.
        items: The items they read.
        numbers: The number of each class.
        words: What the items of a modality say, int8 [items, words]; none where no term asks for it.
    """

    def __init__(
        self,
        readers: Mapping[Modality, Reader],
        items: Mapping[Modality, Sequence[Item]],
        numbers: Mapping[str, int],
        words: Mapping[Modality, Tensor] | None = None,
    ) -> None:
        self.readers = readers
        self._words = dict(words or {})
        self._labels = {name: [numbers[str(item.label)] for item in own] for name, own in items.items()}
        self._pairs = pair_numbers(items)

    def __getitem__(
        self, draw: Draw
    ) -> tuple[dict[Modality, Any], int, dict[Modality, int], dict[Modality, Tensor]] | DtbhError:
        """Read one row of a batch: its media, label, pairs and words."""
        generator = torch.Generator().manual_seed(draw.seed)
        lead = next(iter(draw.rows))
        try:
            media = {name: read(draw.rows[name], generator) for name, read in self.readers.items()}
        except DtbhError as error:
            return error
        pairs = {name: self._pairs[name][row] for name, row in draw.rows.items()}
        words = {name: said[draw.rows[name]] for name, said in self._words.items()}
        return media, self._labels[lead][draw.rows[lead]], pairs, words

    def collate(self, rows: Sequence[Any]) -> Batch | DtbhError:
        """Put rows together as a batch, or hand on the first error among them."""
        errors = [row for row in rows if isinstance(row, DtbhError)]
        if errors:
            return errors[0]
        media, labels, pairs, words = zip(*rows, strict=True)
        return Batch(
            {name: reader.collate([row[name] for row in media]) for name, reader in self.readers.items()},
            torch.tensor(labels),
            {name: torch.tensor([row[name] for row in pairs]) for name in self.readers},
            {name: torch.stack([row[name] for row in words]) for name in self._words},
        )
