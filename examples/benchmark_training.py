"""How near does training on stored features come to its matrix products alone?

    python examples/benchmark_training.py [configs/dtbh-plus/ucm.yaml] [--set section.key=value ...]

Heads are trained as ``dtbh train`` trains them, on outputs of frozen backbones that are drawn: as many classes, images,
views and frames as UC Merced's have, with captions of drawn words. All that a step takes is counted: drawing the batch,
reading its rows, both heads, the terms of the objective, gradients, Adam. Beside it the products of one such step (of
matrices and convolutions, forwards and backwards) are done again alone, with the same numbers. Both are medians of
processor time, on one thread, in one process.
"""

from __future__ import annotations

import os

os.environ["OMP_NUM_THREADS"] = os.environ["MKL_NUM_THREADS"] = "1"  # before numpy and torch are imported

import argparse
import statistics
import sys
import time
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import lightning.pytorch as pl
import numpy as np
import torch
from processor_time import spent
from torch.utils._python_dispatch import TorchDispatchMode

from dtbh.config import Config, read_config
from dtbh.data.manifest import Item, Modality
from dtbh.encoders.dual_encoder import DualEncoder
from dtbh.encoders.readers import StoredReader
from dtbh.training.module import DualTraining, Side

CONFIG = Path(__file__).parent.parent / "configs" / "dtbh-plus" / "ucm.yaml"
CLASSES, SOUNDS = 21, 5  # of UC Merced, and of one image
FRAMES = (30, 66)  # of 80 ms: clips of 2.4 to 5.2 seconds
WORDS = 320
PRODUCTS = {"mm", "addmm", "bmm", "baddbmm", "convolution", "convolution_backward"}


def main(arguments: Sequence[str] | None = None) -> int:
    """Train, repeat the products, and print both."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("config", nargs="?", type=Path, default=CONFIG)
    parser.add_argument("--set", nargs="+", default=[], help="section.key=value")
    parser.add_argument("--images", type=int, default=420, help="of training, with five sounds each")
    parser.add_argument("--steps", type=int, default=16)
    settings = parser.parse_args(arguments)
    warnings.filterwarnings("ignore")
    torch.set_num_threads(1)
    config = read_config(settings.config, [*settings.set, "training.device=cpu"])
    measured = measure(drawn_training(config, settings.images), settings.steps)
    products = statistics.median(spent(measured.replay) for _ in range(5))
    step = statistics.median(measured.steps)
    batch = config.training.classes * config.training.per_class
    print(f"{settings.config}, batches of {batch}, medians of {len(measured.steps)} steps, processor time")
    print(f"a step {1000 * step:.1f} ms, {1 / step:.2f} a second; its {measured.count} products alone "
          f"{1000 * products:.1f} ms: {products / step:.2f} of it")  # fmt: skip
    return 0


class Measured(NamedTuple):
    """What was seen of a training: seconds of its steps, how many products the last had, and those again."""

    steps: list[float]
    count: int
    replay: Callable[[], None]


def measure(module: DualTraining, steps: int) -> Measured:
    """Train for some steps; the first two warm up, and of the one after the last the products are taken down."""
    watch = Watch(steps + 2)
    pl.Trainer(
        accelerator="cpu", devices=1, max_epochs=-1, max_steps=steps + 3, limit_val_batches=0, callbacks=[watch],
        gradient_clip_val=module.config.training.clip, num_sanity_val_steps=0, use_distributed_sampler=False,
        reload_dataloaders_every_n_epochs=1, logger=False, enable_checkpointing=False, enable_progress_bar=False,
        enable_model_summary=False,
    ).fit(module)  # fmt: skip
    calls = watch.products.calls

    @torch.no_grad()
    def replay() -> None:
        for function, args, named in calls:
            function(*args, **named)

    return Measured([b - a for a, b in zip(watch.times[2:], watch.times[3:], strict=False)], len(calls), replay)


class Watch(pl.Callback):
    """Takes the time at the end of each step, and has the products of the last taken down."""

    def __init__(self, last: int) -> None:
        self.last, self.times, self.products = last, [time.process_time()], Products()

    def on_train_batch_start(self, trainer: Any, module: Any, batch: Any, number: int) -> None:
        """Take down, in the last step."""
        if trainer.global_step == self.last:
            self.products.__enter__()

    def on_train_batch_end(self, trainer: Any, *_: Any) -> None:
        """One step further."""
        if trainer.global_step > self.last:
            self.products.__exit__(None, None, None)
        else:
            self.times.append(time.process_time())


class Products(TorchDispatchMode):
    """Takes down what products are computed, with what they are given."""

    def __init__(self) -> None:
        super().__init__()
        self.calls: list[tuple[Any, Any, Any]] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Do it, and keep products."""
        if func.overloadpacket.__name__ in PRODUCTS:
            self.calls.append((func, args, kwargs or {}))
        return func(*args, **(kwargs or {}))


def drawn_training(config: Config, images: int) -> DualTraining:
    """A training on drawn outputs of the backbones."""
    rng = np.random.default_rng(0)
    twin = DualEncoder(config.encoders, pretrained=False)
    words = [f"word{number}" for number in range(WORDS)]

    def item(number: int, modality: Modality, sound: int = 0) -> Item:
        said = " ".join(rng.choice(words, 10)) if modality == "sound" else None
        return Item(
            f"{modality}{number}S{sound}", modality, label=f"class{number % CLASSES}", pair=str(number), transcript=said
        )

    sides = {
        "image": Side([item(n, "image") for n in range(images)], reader(config, twin, "image", images, rng)),
        "sound": Side(
            [item(n, "sound", s) for n in range(images) for s in range(SOUNDS)],
            reader(config, twin, "sound", images * SOUNDS, rng),
        ),
    }
    labels = sorted({str(one.label) for one in sides["image"].items})
    return DualTraining(twin, config, train=sides, val=sides, classes=labels, workers=0)  # type: ignore[arg-type]


def reader(config: Config, twin: DualEncoder, modality: Modality, count: int, rng: np.random.Generator) -> StoredReader:
    """Outputs of a backbone as the store gives them."""
    width = twin.tower(modality).backbone.out_dim
    if modality == "image":
        assert config.encoders.image is not None
        return StoredReader(torch.from_numpy(rng.random((count, config.encoders.image.views, width), np.float32)))
    assert config.encoders.sound is not None
    views, pool = config.encoders.sound.views, rng.normal(size=(4096, width)).astype(np.float16)

    def frames() -> np.ndarray:
        many = int(rng.integers(*FRAMES))
        first = int(rng.integers(len(pool) - many))
        return pool[first : first + many].copy()

    return StoredReader([[frames() for _ in range(views)] for _ in range(count)])


if __name__ == "__main__":
    sys.exit(main())
