"""What each part of the training does: the same few epochs on UCM with one thing changed at a time.

    python examples/ablation.py data/ucm --out runs/ablation [--epochs 3] [--heads]

Prints validation mAP only; test is not read. With --heads, instead: freeze both backbones of the first run, and
train new heads on their stored outputs, timed.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from dtbh.config import read_config
from dtbh.learning.trainer import train

CONFIG = Path(__file__).parent.parent / "configs" / "dtbh" / "ucm.yaml"
CHANGES = {
    "as configured": [],
    "no triplets within a modality": ["learning.within=0"],
    "no batch normalisation of deep features": ["encoders.normalize_features=false"],
    "neither": ["learning.within=0", "encoders.normalize_features=false"],
    "neither, warmed up over all triplets": [
        "learning.within=0",
        "encoders.normalize_features=false",
        "learning.warmup_epochs=1",
    ],
    "all triplets instead of selected ones": ["learning.selection=all"],
    "semi-hard triplets": ["learning.selection=semi_hard"],
    "no triplets on deep features": ["learning.terms.feature_triplets=0"],
    "a learning rate of 1e-3 instead of 4e-3": ["training.learning_rate=1e-3"],
}


def main() -> None:
    """Train every variant and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, help="a prepared and spoken UCM folder")
    parser.add_argument("--out", type=Path, default=Path("runs/ablation"))
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--heads", action="store_true")
    args = parser.parse_args()
    if args.heads:
        heads(args.data, args.out, args.epochs)
        return
    print("| variant | sound->image | image->sound | bits that never change |\n|---|---|---|---|", flush=True)
    for name, changes in CHANGES.items():
        run = variant(args.data, args.out, name, [*changes, f"training.epochs={args.epochs}"])
        header, *_, last = (run / "metrics.csv").read_text().splitlines()
        row = dict(zip(header.split(","), map(float, last.split(",")), strict=True))
        print(
            f"| {name} | {row['val/map_sound_to_image']:.3f} | {row['val/map_image_to_sound']:.3f} "
            f"| {row['val/constant_sound_bits']:.0f} of sounds, {row['val/constant_image_bits']:.0f} of images |",
            flush=True,
        )


def heads(data: Path, out: Path, epochs: int) -> None:
    """Train heads alone on the stored outputs of the first variant's backbones."""
    base = variant(data, out, "as configured", [f"training.epochs={epochs}"])
    frozen = [f"encoders.sound.weights={base.resolve()}", "encoders.sound.frozen=true"]
    run = json.loads((variant(data, out, "heads", frozen) / "run.json").read_text())
    print(f"heads alone: {run['epochs']} epochs in {run['seconds']:.0f} s, validation mAP {run['best_val_map']:.3f}")


def variant(data: Path, out: Path, name: str, changes: list[str]) -> Path:
    """Train one variant into a folder of its own."""
    return train(read_config(CONFIG, changes), data, out / name.replace(" ", "-").replace(",", ""))


if __name__ == "__main__":
    main()
