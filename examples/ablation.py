"""What each part of the training does: the same training on UCM with one thing changed at a time.

    python examples/ablation.py data/ucm --out runs/ablation [--epochs 3] [--seeds 0,1,2] [--paper] [--stored]
    python examples/ablation.py data/ucm --out runs/ablation --plus [--seeds 0,1,2] [--only NAME,...]
    python examples/ablation.py data/ucm --out runs/ablation --heads

Prints validation mAP only, mean and spread over seeds; test is not read. The first rows are the questions of DTBH's
paper, after a few epochs; --paper prints no others. With --stored, sounds are heard by a frozen network of speech, so
that the outputs of both backbones are stored and a variant takes a minute. With --plus, instead: the preset for
voices never met, trained whole, on a validation split with sentences and voices that training never heard, as they are
and in noise at 10 dB; figures are over the classes whose words training has. With --heads, instead: freeze both
backbones of the first run, and train new heads on their stored outputs, timed.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from statistics import mean, stdev

from dtbh.config import read_config
from dtbh.evaluation.results.values import CROSS, DirectionReport
from dtbh.stages.evaluate import evaluate
from dtbh.stages.train import train

WAYS = ("sound_to_image", "image_to_sound")
CONFIG = Path(__file__).parent.parent / "configs" / "dtbh" / "ucm.yaml"
PLUS_CONFIG = CONFIG.parent.parent / "dtbh-plus" / "ucm.yaml"
STORED = [
    "encoders.sound={backbone: speech_embedding, frozen: true, temporal: {width: 128, layers: 2}}",
    "training.learning_rate=2e-3",
]
PAPER = {
    "as configured": [],
    "no triplet selection, but all triplets": ["learning.selection=all"],
    "no triplets on deep features": ["learning.losses.feature_triplets=0"],
    "no regulariser": ["learning.losses.approximate_l1=0"],
    "no triplets on deep features and no regulariser": [
        "learning.losses.feature_triplets=0",
        "learning.losses.approximate_l1=0",
    ],
    "code balance, which the paper leaves to the future": ["learning.losses.balance=0.1"],
}
CHANGES = {
    **PAPER,
    "no triplets within a modality": ["learning.intra_modal_weight=0"],
    "no batch normalisation of deep features": ["encoders.normalize_features=false"],
    "neither": ["learning.intra_modal_weight=0", "encoders.normalize_features=false"],
    "neither, warmed up over all triplets": [
        "learning.intra_modal_weight=0",
        "encoders.normalize_features=false",
        "learning.warmup_epochs=1",
    ],
    "semi-hard triplets": ["learning.selection=semi_hard"],
    "a learning rate of 1e-3": ["training.learning_rate=1e-3"],
}
UNMET = ["data.protocol=caption-speaker-disjoint", "data.val=0.25"]
UNSAID = ("chaparral",)  # its one sentence of validation is its name, which training never says
PLUS = {
    "as configured": [],
    "classes alone at weight 1": [
        "learning.losses.feature_contrast.weight=1",
        "learning.losses.code_contrast.weight=1",
        "learning.losses.pair_contrast=0",
        "learning.losses.decorrelation=0",
    ],
    "pairs at weight 2": ["learning.losses.pair_contrast.weight=2"],
    "nothing within a modality": ["learning.intra_modal_weight=0"],
    "no contrast on features": ["learning.losses.feature_contrast=0"],
    "no contrast of classes on codes": ["learning.losses.code_contrast=0"],
    "triplets in the place of contrast of classes": [
        "learning.losses.feature_contrast=0",
        "learning.losses.code_contrast=0",
        "learning.losses.feature_triplets=1",
        "learning.losses.code_triplets=1",
    ],
    "learned centres": ["learning.losses.learned_centres={weight: 1.0, scale: 10}"],
    "a memory across batches": ["learning.losses.memory_contrast={weight: 0.2, temperature: 0.1, memory: 1024}"],
    "a text tower": ["learning.losses.text_tower={weight: 0.2, temperature: 0.1}"],
    "no spoken words": ["learning.losses.spoken_words=0"],
    "code balance": ["learning.losses.balance=0.3"],
    "no decorrelation": ["learning.losses.decorrelation=0"],
    "steeper towards the sign": ["learning.tanh_scale=[1, 4]"],
    "twelve of a class in a batch": ["training.per_class=12"],
    "twice as long": ["training.epochs=32"],
    "the speech embedding with two layers": [
        "encoders.sound.backbone=speech_embedding",
        "encoders.sound.temporal={width: 128, layers: 2, kernel: 3, dropout: 0.1}",
    ],
    "three layers over Whisper": ["encoders.sound.temporal.layers=3"],
    "three speeds": ["encoders.sound.tta_views=3"],
    "no augmented views of sounds": ["encoders.sound.views=1"],
    "three augmented views": ["encoders.sound.views=4"],
    "one orientation of an image": ["encoders.image.tta_views=1"],
    "four more depths of the image backbone": [
        "encoders.image.depths=[model._blocks.7, model._blocks.10, model._blocks.14, model._blocks.15]",
    ],
}


def main() -> None:
    """Train every variant and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, help="a prepared and spoken UCM folder")
    parser.add_argument("--out", type=Path, default=Path("runs/ablation"))
    parser.add_argument("--epochs", type=int, default=3, help="of all but --plus")
    parser.add_argument("--seeds", default="0", help="as in 0,1,2")
    parser.add_argument("--paper", action="store_true", help="the paper's own questions alone")
    parser.add_argument("--stored", action="store_true")
    parser.add_argument("--plus", action="store_true", help="the preset for voices never met")
    parser.add_argument("--only", type=lambda text: text.split(","), help="some rows of --plus")
    parser.add_argument("--heads", action="store_true")
    args = parser.parse_args()
    if unknown := [name for name in args.only or () if name not in PLUS]:
        parser.error(f"--only: no row {unknown[0]!r}; there are: {', '.join(PLUS)}")
    if args.heads:
        heads(args.data, args.out, args.epochs)
        return
    if args.plus:
        plus(args.data, args.out / "plus", args.seeds.split(","), args.only or list(PLUS))
        return
    print("| variant | sound->image | image->sound | bits that never change |\n|---|---|---|---|", flush=True)
    for name, changes in (PAPER if args.paper else CHANGES).items():
        rows = []
        for seed in args.seeds.split(","):
            settings = [*(STORED if args.stored else []), *changes, f"training.epochs={args.epochs}", f"seed={seed}"]
            out = args.out / ("stored" if args.stored else "") / seed
            rows.append(last_metrics(variant(args.data, out, name, settings)))
        ways = " | ".join(spread([row[f"val/map_{way}"] for row in rows]) for way in WAYS)
        constant = [max(row[f"val/constant_{kind}_bits"] for row in rows) for kind in ("sound", "image")]
        print(f"| {name} | {ways} | {constant[0]:.0f} of sounds, {constant[1]:.0f} of images |", flush=True)


def plus(data: Path, out: Path, seeds: list[str], names: list[str]) -> None:
    """Train and validate the variants of the preset for voices never met."""
    ways = " | ".join(CROSS)
    print(f"| variant | {ways} | in noise | in noise | R@1, {CROSS[0]} | R@1, {CROSS[1]} |\n|{'---|' * 7}", flush=True)
    for name in names:
        cells: list[list[float]] = []
        for seed in seeds:
            run = variant(data, out / seed, name, [*UNMET, *PLUS[name], f"seed={seed}"], PLUS_CONFIG)
            reports = [evaluate(run, split="val", noise_db=noise)[0] for noise in (None, 10.0)]
            own = reports[0].directions
            pairs = [one.hit_at[1] for one in (own[way].pairs for way in CROSS) if one is not None]
            cells.append([answerable_map(report.directions[way]) for report in reports for way in CROSS] + pairs)
        print(f"| {name} | {' | '.join(spread(list(column)) for column in zip(*cells, strict=True))} |", flush=True)


def answerable_map(direction: DirectionReport) -> float:
    """The mAP over queries of the classes whose words training has."""
    told = [figures for label, figures in direction.per_class.items() if label not in UNSAID]
    return sum(one.map * one.n_queries for one in told) / sum(one.n_queries for one in told)


def last_metrics(run: Path) -> dict[str, float]:
    """The figures of a run's last epoch."""
    header, *_, last = (run / "metrics.csv").read_text().splitlines()
    return dict(zip(header.split(","), map(float, last.split(",")), strict=True))


def spread(values: list[float]) -> str:
    """Mean and, of several seeds, standard deviation."""
    return f"{mean(values):.3f}" + (f" ± {stdev(values):.3f}" if len(values) > 1 else "")


def heads(data: Path, out: Path, epochs: int) -> None:
    """Train heads alone on the stored outputs of the first variant's backbones."""
    base = variant(data, out, "as configured", [f"training.epochs={epochs}"])
    frozen = [f"encoders.sound.weights={base.resolve()}", "encoders.sound.frozen=true"]
    run = json.loads((variant(data, out, "heads", frozen) / "run.json").read_text())
    print(f"heads alone: {run['epochs']} epochs in {run['seconds']:.0f} s, validation mAP {run['kept_val_map']:.3f}")


def variant(data: Path, out: Path, name: str, changes: list[str], config: Path = CONFIG) -> Path:
    """Train one variant into a folder of its own."""
    return train(read_config(config, changes), data, out / name.replace(" ", "-").replace(",", ""))


if __name__ == "__main__":
    main()
