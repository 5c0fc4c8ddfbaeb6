"""The image backbone learns from captions, in the space of a frozen sentence encoder, before heads are fitted to it.

A linear map takes what the backbone gives to the sentence space, where images meet their captions under graded targets
(`graded`), and a linear classifier sees that classes stay apart; both are left behind. The statistics of batch
normalisation stay those that the backbone came with. What it brings, and costs, is measured in docs/any-words.md.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset

from dtbh.config import FineTuning, hint
from dtbh.encoders.image_backbones import ImageBackbone
from dtbh.encoders.readers import ImageReader
from dtbh.errors import ConfigError, DtbhError
from dtbh.training.checkpoint import read_state, write_state
from dtbh.training.graded import graded_contrast, graded_targets, learned_temperature
from dtbh.utils.progress import echo, track

CONTRAST = 0.05  # temperature of the contrast at its start


@dataclass(frozen=True)
class Captioned:
    """Training images with their captions.

    Attributes:
        reader: Of the images, larger than the crops that are trained on.
        captions: Of each image, rows of ``vectors``; one at least.
        vectors: Of the captions, float [m, 384].
        labels: Class numbers, int64 [n].
    """

    reader: ImageReader
    captions: Sequence[Sequence[int]]
    vectors: Tensor
    labels: Tensor


def finetune(
    backbone: ImageBackbone, data: Captioned, settings: FineTuning, *, resume: Path, seed: int, device: torch.device,
    workers: int, mixed: bool, heed: Callable[[], None] = lambda: None,
) -> None:  # fmt: skip
    """Train the backbone, and leave it in evaluation mode.

    Args:
        backbone: Is changed.
        data: What it learns from.
        settings: How.
        resume: Where it stands after each epoch; a call that was cut off goes on from there.
        seed: Of the order, the crops and the captions that are chosen.
        device: Where to compute.
        workers: Processes that read images.
        mixed: Whether in bfloat16 where that does.
        heed: Is called after each step (`dtbh.utils.interrupts.held`).

    Raises:
        ConfigError: ``settings.kept`` names what the backbone does not have, or leaves nothing to train.
        MediaError: An image can't be read.
    """
    trained = _trained(backbone, settings.kept)
    backbone.to(memory_format=torch.channels_last)  # a fifth faster on a CPU
    training = _Training(backbone, trained, data, settings, seed, device)
    first = training.restore(resume)
    for epoch in range(first, settings.epochs):
        started = time.monotonic()
        mean = training.epoch(epoch, _batches(data, settings, seed, epoch, workers), mixed=mixed, heed=heed)
        write_state(training.state(epoch + 1), resume)
        echo(
            f"image backbone, epoch {epoch + 1}/{settings.epochs}  captions {mean[0]:.4f}  classes {mean[1]:.4f}  "
            f"{time.monotonic() - started:.0f} s"
        )
    backbone.to(memory_format=torch.contiguous_format).requires_grad_(False).eval()


def _trained(backbone: ImageBackbone, kept: Sequence[str]) -> list[nn.Parameter]:
    """The backbone's weights that learn; the others are told to stay."""
    names = dict(backbone.network.named_modules())
    backbone.requires_grad_(True)
    for name in kept:
        if not name or name not in names:
            raise ConfigError(f"learning.finetuning.kept: no module {name!r}; {hint(name, list(names))}")
        names[name].requires_grad_(False)
    found = [p for p in backbone.parameters() if p.requires_grad]
    if not found:
        raise ConfigError("learning.finetuning.kept: nothing of the backbone is left to train")
    return found


class _Training(nn.Module):
    """The backbone with what is only there to train it, the optimiser and the rate."""

    def __init__(
        self, backbone: ImageBackbone, trained: list[nn.Parameter], data: Captioned, settings: FineTuning, seed: int,
        device: torch.device,
    ) -> None:  # fmt: skip
        super().__init__()
        torch.manual_seed(seed)
        self.backbone, self.settings, self.device = backbone, settings, device
        self.sentence = nn.Linear(backbone.out_dim, data.vectors.shape[1])
        self.classes = nn.Linear(backbone.out_dim, 1 + int(data.labels.max()))
        self.sharpness = nn.Parameter(torch.tensor(-math.log(CONTRAST)))
        self.to(device)
        self._vectors, self._labels = data.vectors.to(device), data.labels.to(device)
        self._middle = self._vectors.mean(0)
        most = max(len(rows) for rows in data.captions)
        self._captions = torch.tensor([[own[k % len(own)] for k in range(most)] for own in data.captions]).to(device)
        heads = [*self.sentence.parameters(), *self.classes.parameters(), self.sharpness]
        self._trained = trained
        self._optimiser = torch.optim.AdamW(
            [{"params": trained, "lr": settings.learning_rate}, {"params": heads, "lr": settings.head_rate}],
            weight_decay=settings.weight_decay,
        )
        self._steps = settings.epochs * max(1, len(data.captions) // settings.batch)
        self._schedule = torch.optim.lr_scheduler.LambdaLR(self._optimiser, self._rate)

    def _rate(self, step: int) -> float:
        """It rises over the first twentieth of the steps, and falls as a cosine."""
        rise = max(1, self._steps // 20)
        return min(1.0, (step + 1) / rise) * (1 + math.cos(math.pi * min(1.0, step / self._steps))) / 2

    def epoch(
        self, number: int, batches: Iterator[Any], *, mixed: bool, heed: Callable[[], None]
    ) -> tuple[float, float]:
        """Learn from each batch; the means of both losses."""
        self.backbone.eval()  # statistics are kept
        torch.manual_seed(number)  # dropout then hangs on the epoch alone, also after a resume
        sums, count = np.zeros(2), 0
        for batch in batches:
            if isinstance(batch, DtbhError):
                raise batch
            images, rows, picks = (part.to(self.device) for part in batch)
            with torch.autocast(self.device.type, torch.bfloat16, enabled=mixed):
                seen = self.backbone(self._cut(images))
            seen = F.dropout(seen.float(), self.settings.dropout)
            said = self._vectors[self._captions[rows, picks % self._captions.shape[1]]]
            grades = graded_targets(said, self.settings.temperature)
            temperature = learned_temperature(self.sharpness)
            captions = graded_contrast(self.sentence(seen), said - self._middle, grades, temperature)
            classes = F.cross_entropy(self.classes(seen), self._labels[rows], label_smoothing=0.1)
            loss: Tensor = captions + self.settings.class_weight * classes
            self._optimiser.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            nn.utils.clip_grad_norm_(self._trained, self.settings.clip)
            self._optimiser.step()
            self._schedule.step()
            sums += [captions.item(), classes.item()]
            count += 1
            heed()
        return float(sums[0] / count), float(sums[1] / count)

    def _cut(self, images: Tensor) -> Tensor:
        """Images at the size of training, uint8."""
        size = self.settings.size
        small = F.interpolate(images.float(), size=(size, size), mode="bilinear", antialias=True, align_corners=False)
        return small.round().clamp(0, 255).to(torch.uint8)

    def state(self, epochs: int) -> dict[str, Any]:
        """All that the next epoch hangs on."""
        return {
            "epochs": epochs, "weights": self.state_dict(), "optimiser": self._optimiser.state_dict(),
            "schedule": self._schedule.state_dict(),
        }  # fmt: skip

    def restore(self, path: Path) -> int:
        """Go on from a state, if there is one; the number of epochs that are done."""
        if not path.is_file():
            return 0
        state = read_state(path)
        self.load_state_dict(state["weights"])
        self._optimiser.load_state_dict(state["optimiser"])
        self._schedule.load_state_dict(state["schedule"])
        return int(state["epochs"])


class _Draws(Dataset[Any]):
    """Augmented images by number, each with the number of the caption that it meets."""

    def __init__(self, reader: ImageReader, seed: Sequence[int]) -> None:
        self.reader, self.seed = reader, seed

    def __len__(self) -> int:
        return len(self.reader)

    def __getitem__(self, row: int) -> tuple[Tensor, int, int] | DtbhError:
        state = np.random.SeedSequence([*self.seed, row]).generate_state(2)
        try:
            return self.reader(row, torch.Generator().manual_seed(int(state[0]))), row, int(state[1]) >> 1
        except DtbhError as error:
            return error


def _together(rows: Sequence[Any]) -> Any:
    """A batch, or the first error in it."""
    errors = [row for row in rows if isinstance(row, DtbhError)]
    if errors:
        return errors[0]
    images, numbers, picks = zip(*rows, strict=True)
    return torch.stack(images), torch.tensor(numbers), torch.tensor(picks)


def _batches(data: Captioned, settings: FineTuning, seed: int, epoch: int, workers: int) -> Iterator[Any]:
    """Whole batches of all images in an order of this epoch's own."""
    order = np.random.default_rng([seed, epoch]).permutation(len(data.captions)).tolist()
    batch = min(settings.batch, len(order))
    groups = [order[start : start + batch] for start in range(0, len(order) - batch + 1, batch)]
    draws = _Draws(data.reader, (seed, epoch))
    loader = DataLoader(draws, batch_sampler=groups, collate_fn=_together, num_workers=workers)
    return iter(track(loader, f"fine-tuning, epoch {epoch + 1}", total=len(groups) * batch, each=batch))
