"""One training as Lightning sees it: steps, validation, optimiser.

Comes in: a twin, readers of the training and validation items, and their labels.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import lightning.pytorch as pl
import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader

from dtbh.codes import pack, signs
from dtbh.config import Config
from dtbh.data.manifest import Item, Modality
from dtbh.encoders.heads import Encoded
from dtbh.encoders.reading import Reader, Rows, StoredReader
from dtbh.encoders.twin import TwinEncoder
from dtbh.errors import DtbhError
from dtbh.evaluation.counts import distance_counts
from dtbh.evaluation.ranking import mean_average_precision
from dtbh.learning.batches import Batch, PairDataset, PairSampler
from dtbh.learning.objectives import objective

VALIDATION_BATCH = 64


class Side(NamedTuple):
    """The items of one modality and split, and what reads them."""

    items: Sequence[Item]
    reader: Reader


class Sides(NamedTuple):
    """Images and sounds of one split."""

    images: Side
    sounds: Side


class TwinTraining(pl.LightningModule):
    """Trains both towers; validates by the mean of both directions' tie-aware mAP.

    Args:
        twin: What is trained.
        config: The whole run's.
        train: The training split.
        val: The validation split, both gallery and queries.
        classes: The class names; a label's number is its place here.
        workers: Processes that read files.
    """

    def __init__(
        self,
        twin: TwinEncoder,
        config: Config,
        *,
        train: Sides,
        val: Sides,
        classes: Sequence[str],
        workers: int,
    ) -> None:
        super().__init__()
        self.twin, self.config = twin, config
        self._objective = objective(config.learning.objective)
        self._train, self._val = train, val
        self._number = {name: number for number, name in enumerate(classes)}
        self._workers = workers
        self._codes: tuple[list[Tensor], list[Tensor]] = ([], [])
        self._stored = {
            "image": isinstance(train.images.reader, StoredReader),
            "sound": isinstance(train.sounds.reader, StoredReader),
        }

    def train_dataloader(self) -> DataLoader[Any]:
        """Class-balanced batches, this process's share of each. Called anew for each epoch."""
        settings = self.config.training
        sampler = PairSampler(
            self._train.images.items,
            self._train.sounds.items,
            classes=settings.classes,
            per_class=settings.per_class,
            seed=_mixed(self.config.seed, self.current_epoch),
            rank=self.global_rank,
            world=self.trainer.world_size,
        )
        data = PairDataset(self._train.images.reader, self._train.sounds.reader, self._labels(self._train.sounds))
        return DataLoader(
            data,
            batch_sampler=sampler,
            collate_fn=data.collate,
            num_workers=0 if all(self._stored.values()) else self._workers,
            pin_memory=self.device.type == "cuda",
        )

    def val_dataloader(self) -> list[DataLoader[Any]]:
        """All validation images, then all validation sounds, on every process."""
        return [
            DataLoader(
                Rows(side.reader), batch_size=VALIDATION_BATCH, collate_fn=Rows(side.reader).collate,
                num_workers=0 if isinstance(side.reader, StoredReader) else self._workers,
            )
            for side in self._val
        ]  # fmt: skip

    def training_step(self, batch: Batch | DtbhError, batch_idx: int) -> Tensor:
        """The objective over the batch gathered from all processes."""
        if isinstance(batch, DtbhError):
            raise batch
        seed = _mixed(self.config.seed, self.global_step, self.global_rank)
        torch.manual_seed(seed)  # dropout then hangs on the step alone, also after a resume
        masks = torch.Generator().manual_seed(seed)
        images = self._encode("image", batch.images)
        sounds = self._encode("sound", batch.sounds, masks)
        labels = batch.labels
        if self.trainer.world_size > 1:
            images, sounds = self._gathered(images), self._gathered(sounds)
            labels = self._all(labels)
        learning = self.config.learning
        select = "all" if self.current_epoch < learning.warmup_epochs else learning.selection
        loss = self._objective(images, sounds, labels, labels, settings=learning, select=select)
        values = {"train/loss": loss.total.detach(), **{f"train/{name}": v for name, v in loss.terms.items()}}
        self.log_dict(values, on_step=False, on_epoch=True, batch_size=len(labels))
        return loss.total

    def validation_step(self, batch: Any, batch_idx: int, dataloader_idx: int) -> None:
        """Collect the codes of one batch of images (loader 0) or sounds (loader 1)."""
        if isinstance(batch, DtbhError):
            raise batch
        modality: Modality = "image" if dataloader_idx == 0 else "sound"
        self._codes[dataloader_idx].append(self._encode(modality, batch).codes.cpu())

    def on_validation_epoch_end(self) -> None:
        """Log both directions' mAP, their mean, and what would show a collapse."""
        bits = [signs(torch.cat(codes).numpy()) for codes in self._codes]
        for codes in self._codes:
            codes.clear()
        words = [pack(b) for b in bits]
        labels = [np.array(self._labels(side), dtype=np.int64) for side in self._val]
        width = bits[0].shape[1]
        maps = [
            mean_average_precision(*distance_counts(words[q], words[g], labels[q], labels[g], width))
            for q, g in ((1, 0), (0, 1))
        ]
        constant = [float((b.all(axis=0) | ~b.any(axis=0)).sum()) for b in bits]
        self.log_dict({
            "val/map": sum(maps) / 2, "val/map_sound_to_image": maps[0], "val/map_image_to_sound": maps[1],
            "val/distinct_image_codes": float(len(np.unique(words[0], axis=0))),
            "val/distinct_sound_codes": float(len(np.unique(words[1], axis=0))),
            "val/constant_image_bits": constant[0], "val/constant_sound_bits": constant[1],
        }, batch_size=1)  # fmt: skip

    def configure_optimizers(self) -> Any:
        """Adam; its rate rises in a line and falls as a cosine."""
        settings = self.config.training
        parameters = [p for p in self.twin.parameters() if p.requires_grad]
        optimiser = torch.optim.Adam(parameters, lr=settings.learning_rate, weight_decay=settings.weight_decay)
        steps = max(1, int(self.trainer.estimated_stepping_batches))
        rise = max(1, round(settings.warmup * steps))

        def rate(step: int) -> float:
            if step < rise:
                return (step + 1) / (rise + 1)
            return (1 + math.cos(math.pi * (step - rise) / max(1, steps - rise))) / 2

        schedule = torch.optim.lr_scheduler.LambdaLR(optimiser, rate)
        return {"optimizer": optimiser, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}

    def _encode(self, modality: Modality, media: tuple[Tensor, ...], masks: torch.Generator | None = None) -> Encoded:
        """Encode media, or the stored outputs of a frozen backbone, in float32."""
        tower = self.twin.tower(modality)
        encoded = tower.head(*media) if self._stored[modality] else tower(*media, generator=masks)
        return Encoded(*(x.float() for x in encoded))

    def _gathered(self, encoded: Encoded) -> Encoded:
        """The encodings of all processes as one batch, with gradients."""
        return Encoded(*(self._all(x) for x in encoded))

    def _all(self, x: Tensor) -> Tensor:
        """Rows [n, ...] of every process as [world * n, ...]."""
        gathered = self.all_gather(x, sync_grads=x.is_floating_point())
        assert isinstance(gathered, Tensor)
        return gathered.flatten(0, 1)

    def _labels(self, side: Side) -> list[int]:
        return [self._number[str(item.label)] for item in side.items]


def _mixed(*numbers: int) -> int:
    """One seed from several numbers."""
    return int(np.random.SeedSequence(numbers).generate_state(1)[0])
