"""What a GPU makes faster, and whether its codes are those of the CPU, on drawn scenes and hummed captions.

    python examples/check_gpu.py            # a few minutes on a GPU; without one, small, on the CPU alone
    python examples/check_gpu.py --small

Towers with random weights are timed on the GPU and on the CPU, and their codes compared bit by bit; then an epoch of
training and a step of fine-tuning are timed, files read and all. Exits with 1 where more bits differ than rounding
explains.
"""

from __future__ import annotations

import argparse
import copy
import json
import os
import sys
import time
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import soundfile
import torch
from torch import Tensor

from dtbh.codes import signs
from dtbh.config import Config, FineTuning, ImageTower, make_config
from dtbh.data.manifest import Manifest, Modality, write_manifest
from dtbh.data.synthetic.generate import draw
from dtbh.encoders.cached_readers import media_reader
from dtbh.encoders.dual_encoder import DualEncoder
from dtbh.encoders.image_backbones import build_image_backbone
from dtbh.encoders.readers import ImageReader
from dtbh.index.hamming.search import nearest
from dtbh.stages.train import train
from dtbh.training.finetuning import Captioned, finetune
from dtbh.utils.device import resolve_device

ROUNDING = 1e-2  # a hash-like code this near to zero may have another sign where sums are taken in another order
CPU = torch.device("cpu")


@dataclass(frozen=True)
class Size:
    """How much is measured.

    Attributes:
        classes: Of scenes.
        per_class: Scenes, each with two captions.
        pixels: Side of a scene.
        backbone: The image tower's.
        batch: Items at a time.
        passes: Times that all items are encoded.
        codes: That are searched.
    """

    classes: int
    per_class: int
    pixels: int
    backbone: str
    batch: int
    passes: int
    codes: int


FULL = Size(classes=10, per_class=100, pixels=224, backbone="resnet50", batch=64, passes=5, codes=10_000_000)
SMALL = Size(classes=4, per_class=16, pixels=64, backbone="resnet18", batch=16, passes=1, codes=200_000)


def hummed(size: Size, folder: Path) -> Manifest:
    """Scenes, and for each caption a second and a half of a chord in place of speech."""
    drawn = draw(folder, classes=size.classes, per_class=size.per_class, size=size.pixels, captions=2)
    (folder / "sounds").mkdir()
    t, items = np.arange(24000) / 16000, []
    for number, item in enumerate(drawn):
        if item.modality == "sound":
            rng = np.random.default_rng(number)
            chord = sum(np.sin(2 * np.pi * f * t) for f in rng.uniform(200, 3000, 4)) / 8
            wave = chord + 0.01 * rng.standard_normal(len(t))
            soundfile.write(folder / f"sounds/{number}.flac", wave, 16000)
            item = replace(item, path=f"sounds/{number}.flac", speaker=f"hum/{number % 8}")
        items.append(item)
    manifest = drawn.replaced(items)
    write_manifest(manifest)
    return manifest


def settings(size: Size, device: torch.device) -> Config:
    """Two towers with random weights, trained from nothing."""
    return make_config({
        "data": {"val": 0.2},
        "encoders": {"bits": 64, "image": {"backbone": size.backbone, "weights": "none", "frozen": False,
                                           "size": size.pixels}},
        "training": {"epochs": 1, "classes": size.classes, "per_class": max(2, size.batch // size.classes),
                     "device": device.type, "workers": 0 if size.per_class < 50 else -1},
    })  # fmt: skip


def batches(twin: DualEncoder, modality: Modality, manifest: Manifest, batch: int) -> list[tuple[Tensor, ...]]:
    """All items of a modality as a tower's arguments."""
    paths = [manifest.file(item) for item in manifest if item.modality == modality]
    reader = media_reader(twin, modality, paths)
    rows = range(len(paths))
    return [reader.collate([reader(row) for row in rows[start : start + batch]]) for start in rows[::batch]]


@torch.inference_mode()
def encoded(
    twin: DualEncoder, modality: Modality, media: list[tuple[Tensor, ...]], device: torch.device, passes: int
) -> tuple[np.ndarray, float]:
    """Hash-like codes, float32 [n, bits], and items a second."""
    tower = copy.deepcopy(twin.tower(modality)).to(device).eval()
    tower(*(x.to(device) for x in media[0]))  # what is done once
    done(device)
    started = time.perf_counter()
    for _ in range(passes):
        parts = [tower(*(x.to(device) for x in batch)).codes.float().cpu() for batch in media]
    done(device)
    values = torch.cat(parts).numpy()
    return values, passes * len(values) / (time.perf_counter() - started)


def done(device: torch.device) -> None:
    """Wait for what the GPU has still to do."""
    if device.type == "cuda":
        torch.cuda.synchronize()


def tuning(size: Size, manifest: Manifest, device: torch.device, folder: Path) -> float:
    """Seconds a step of fine-tuning the image backbone on captions whose vectors are random."""
    images = [item for item in manifest if item.modality == "image"]
    tower = ImageTower(backbone=size.backbone, weights="none", size=size.pixels)
    vectors = torch.nn.functional.normalize(torch.randn(len(images), 384, generator=torch.Generator().manual_seed(0)))
    labels = torch.tensor([manifest.labels.index(str(item.label)) for item in images])
    reader = ImageReader([manifest.file(item) for item in images], tower)
    data = Captioned(reader, [[row] for row in range(len(images))], vectors, labels)
    workers = 0 if size.per_class < 50 else min(8, os.cpu_count() or 1)
    started = time.perf_counter()
    finetune(
        build_image_backbone(tower), data, FineTuning(epochs=1, size=size.pixels // 2, batch=size.batch),
        resume=folder / "backbone.safetensors", seed=0, device=device, workers=workers, mixed=device.type == "cuda",
    )  # fmt: skip
    return (time.perf_counter() - started) / -(-len(images) // size.batch)


def searching(count: int) -> float:
    """Queries a second, exact, the ten nearest of so many codes of 64 bits."""
    words = np.random.default_rng(0).integers(0, 2**63, (count + 32, 1), dtype=np.uint64)
    gallery, queries = words[32:], words[:32]
    nearest(queries, gallery, 10)  # what is done once
    started = time.perf_counter()
    nearest(queries, gallery, 10)
    return len(queries) / (time.perf_counter() - started)


def main(arguments: list[str] | None = None) -> int:
    """Measure, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--small", action="store_true", help="little of everything; so it is without a GPU")
    parser.add_argument("--device", default="auto", help="auto | cpu | cuda | mps")
    args = parser.parse_args(arguments)
    device = resolve_device(args.device)
    size = SMALL if args.small or device == CPU else FULL
    name = torch.cuda.get_device_name() if device.type == "cuda" else device.type
    print(f"{name}, torch {torch.__version__}, {os.cpu_count()} cores; {size}")
    wrong = 0
    with TemporaryDirectory(prefix="dtbh-") as scratch:
        folder = Path(scratch)
        manifest = hummed(size, folder / "data")
        config = settings(size, device)
        torch.manual_seed(0)
        twin = DualEncoder(config.encoders, pretrained=False)
        print(f"{'':<28}{device.type:>12}{'cpu':>12}")
        for modality in twin.modalities:
            media = batches(twin, modality, manifest, size.batch)
            few = media[: max(1, 256 // size.batch)]
            base, slow = encoded(twin, modality, few, CPU, 1)
            values, fast = encoded(twin, modality, media, device, size.passes)
            print(f"{modality + 's a second':<28}{fast:>12.1f}{slow:>12.1f}")
            other = signs(values[: len(base)]) != signs(base)
            beyond = int((np.abs(base[other]) > ROUNDING).sum())
            print(f"  {int(other.sum())} of {other.size} bits differ, {beyond} of them beyond rounding")
            wrong += beyond
        run = train(config, folder / "data", folder / "run")
        said = json.loads((run / "run.json").read_text())
        print(f"{'seconds, epoch of training':<28}{said['seconds'] / said['epochs']:>12.1f}{'':>12}")
        step = tuning(size, manifest, device, folder)
        print(f"{'seconds, fine-tuning step':<28}{step:>12.3f}{'':>12}")
    print(f"{'queries a second':<28}{'no path':>12}{searching(size.codes):>12.0f}")
    print(f"  exact Hamming search of {size.codes} codes; dtbh searches on the CPU alone")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
