"""The neighbouring methods on equal terms: one split, the same frozen features, several lengths and seeds.

    python examples/neighbours.py data/ucm --out runs/neighbours [--bits 16,32,64] [--seeds 0,1,2] [--only NAME,...]
    python examples/neighbours.py data/ucm --table alone | across | values

Prints tables of tie-aware figures on test, mean and spread over seeds: image to image (alone); image and sound both
ways (across), where every method has the same towers, with sounds heard by a frozen network; and real-valued
embeddings of several dimensions (values). Any data folder with classes will do, but for across it must have sounds.
A run that is there is not made again. Presets are those of configs/; nothing here was chosen on test.
"""

from __future__ import annotations

import argparse
import statistics
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from dtbh import progress
from dtbh.codes import HashCodes
from dtbh.config import Config, read_config
from dtbh.data.manifest import read_manifest
from dtbh.data.splits import split_for
from dtbh.encode import load
from dtbh.evaluation.direction import embedding_figures
from dtbh.evaluation.embeddings import Embeddings
from dtbh.evaluation.protocol import evaluate as evaluate_codes
from dtbh.evaluation.report import read_report
from dtbh.evaluation.values import EmbeddingFigures, RetrievalReport
from dtbh.learning.trainer import train
from dtbh.stages import evaluate

CONFIGS = Path(__file__).parent.parent / "configs"
FIELD = ["data.protocol=random", "data.test=0.2"]
IMAGES = ["encoders.sound=null", "encoders.image.averaged=1"]
HEARD = "{backbone: speech_embedding, frozen: true, temporal: {width: 128, layers: 2}}"
LEARNED = [f"encoders.sound={HEARD}", "training.epochs=12", "training.learning_rate=2e-3"]
DIMENSIONS, FULL = (8, 16, 32, 64, 128), 1280
VALUES = {"mAP": lambda f: f.map, "P@10": lambda f: f.precision_at[10], "ANMRR": lambda f: f.anmrr}
ALONE = {
    "random codes": None, "LSH": "lsh", "PCA-RR": "pca-rr", "ITQ": "itq", "one code a class": "class-codes",
    "DPSH": "dpsh", "HashNet": "hashnet", "CSQ": "csq", "OrthoHash": "orthohash", "MiLaN": "milan",
    "hierarchical": "hierarchical", "DTBH": "dtbh",
}  # fmt: skip
ACROSS = {
    "random codes": None, "CCA-ITQ": "cca-itq", "one code a class": "class-codes", "DCMH": "dcmh", "DUCH": "duch",
    "DQH": "dqh", "HashNet": "hashnet", "CSQ": "csq", "OrthoHash": "orthohash", "DTBH": "dtbh",
}  # fmt: skip


def main() -> None:
    """Train what is missing and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, help="a prepared data folder; spoken, for the second table")
    parser.add_argument("--out", type=Path, default=Path("runs/neighbours"))
    parser.add_argument("--bits", type=_numbers, default=[16, 32, 64])
    parser.add_argument("--seeds", type=_numbers, default=[0, 1, 2])
    parser.add_argument("--only", type=lambda text: text.split(","), default=[*ALONE, *ACROSS], help="some rows")
    parser.add_argument("--table", choices=("alone", "across", "values", "all"), default="all")
    args = parser.parse_args()
    progress.quiet()
    classes = len(read_manifest(args.data).labels)
    for name, methods, ways in (
        ("alone", ALONE, ["image->image"]),
        ("across", ACROSS, ["sound->image", "image->sound"]),
    ):
        if args.table in (name, "all"):
            print("| method | " + " | ".join(f"{way}, {b} bits" for way in ways for b in args.bits) + " |")
            print("|---" * (1 + len(ways) * len(args.bits)) + "|", flush=True)
            for row in methods:
                if row in args.only:
                    reports = {
                        b: [_report(methods[row], len(ways) > 1, args.data, args.out / name, classes, b, seed)
                            for seed in args.seeds]
                        for b in args.bits
                    }  # fmt: skip
                    cells = [_cell([r.directions[way].map for r in reports[b]]) for way in ways for b in args.bits]
                    print(f"| {row} | {' | '.join(cells)} |", flush=True)
    if args.table in ("values", "all"):
        _values(args.data, args.out / "values", args.seeds)


def _report(
    preset: str | None, across: bool, data: Path, out: Path, classes: int, bits: int, seed: int
) -> RetrievalReport:
    """The report of one run, made where it is missing."""
    if preset is None:
        return _random(data, across, bits, seed)
    run = out / f"{preset}-{bits}-{seed}"
    if (run / "report" / "report.json").is_file():
        return read_report(run / "report")
    train(config_of(preset, across, classes, bits, seed), data, run)
    return evaluate(run)[0]


def config_of(preset: str, across: bool, classes: int, bits: int, seed: int) -> Config:
    """A preset on equal terms."""
    changes = [*FIELD, f"encoders.bits={bits}", f"seed={seed}"]
    config = read_config(CONFIGS / preset / "ucm.yaml", changes)
    if config.learning.fit == "class_codes":
        changes.append(f"encoders.feature_dim={classes}")
    if not across:
        return read_config(CONFIGS / preset / "ucm.yaml", [*changes, *IMAGES])
    if config.learning.fit is None:
        return read_config(CONFIGS / preset / "ucm.yaml", [*changes, *LEARNED])
    heard = HEARD.replace("width: 128, layers: 2", "width: 512, layers: 1")
    return read_config(CONFIGS / preset / "ucm.yaml", [*changes, f"encoders.sound={heard}"])


def _random(data: Path, across: bool, bits: int, seed: int) -> RetrievalReport:
    """What codes give that know nothing."""
    split = split_for(read_manifest(data), read_config(CONFIGS / "dtbh" / "ucm.yaml", FIELD))
    rng = np.random.default_rng(seed)

    def codes(modality: str) -> HashCodes:
        items = [replace(item, path=None) for item in split if item.modality == modality and item.split == "test"]
        return HashCodes.from_values(rng.normal(size=(len(items), bits)), encoder="random", items=items)

    sounds = codes("sound") if across else None
    return evaluate_codes(codes("image"), sounds, protocol="random", splits={}, leakage={}, checkpoint_rule="none")


def _values(data: Path, out: Path, seeds: Sequence[int]) -> None:
    """Embeddings of several dimensions: of a trained layer, and of PCA on the full one, learned and as it was."""
    heads = [f"{which}: {what}" for which in ("trained layer", "PCA", "PCA, nothing trained") for what in VALUES]
    print(f"| dimensions | {' | '.join(heads)} |\n|---{'|---' * len(heads)}|", flush=True)
    for d in (*DIMENSIONS, FULL):
        columns: dict[str, list[EmbeddingFigures]] = {"trained": [], "pca": [], "before": []}
        for seed in seeds:
            full, plain = _embedded(data, out, FULL, seed), _embedded(data, out, 0, 0)
            columns["trained"].append(_figures(*_embedded(data, out, d, seed)))
            columns["pca"].append(_figures(*_principal(*full, d)))
            columns["before"].append(_figures(*_principal(*plain, d)))
        cells = [_cell([pick(f) for f in found]) for found in columns.values() for pick in VALUES.values()]
        print(f"| {d} | {' | '.join(cells)} |", flush=True)


def _embedded(data: Path, out: Path, dimensions: int, seed: int) -> tuple[Embeddings, Embeddings]:
    """Embeddings of the training and the test images; dimensions 0: the backbone's output, nothing trained."""
    changes = [*FIELD, f"encoders.feature_dim={dimensions}", f"seed={seed}"]
    if not dimensions:
        changes += ["learning.fit=lsh", "encoders.activation=relu"]
    config = read_config(CONFIGS / "triplet-metric" / "ucm.yaml", changes)
    run = train(config, data, out / f"{dimensions}-{seed}")
    split = split_for(read_manifest(data), config)
    model = load(run)
    train_items, test_items = (
        [replace(i, path=str(split.file(i).resolve())) for i in split.images if i.split == side]
        for side in ("train", "test")
    )
    return model.embed(train_items, stored=True), model.embed(test_items, stored=True)


def _principal(train: Embeddings, test: Embeddings, dimensions: int) -> tuple[Embeddings, Embeddings]:
    """Both on the axes of greatest variance among the training images; all of them: as they are."""
    if dimensions >= train.values.shape[1]:
        return train, test
    mean = train.values.mean(axis=0)
    axes = np.linalg.svd(train.values - mean, full_matrices=False)[2][:dimensions]
    return tuple(Embeddings((e.values - mean) @ axes.T, e.items) for e in (train, test))  # type: ignore[return-value]


def _figures(train: Embeddings, test: Embeddings) -> EmbeddingFigures:
    return embedding_figures(test, test.items, test.items, "euclidean", without="drop", seed=0)


def _cell(values: Sequence[float]) -> str:
    spread = f" ± {statistics.stdev(values):.3f}" if len(values) > 1 else ""
    return f"{statistics.mean(values):.3f}{spread}"


def _numbers(text: str) -> list[int]:
    return [int(part) for part in text.split(",")]


if __name__ == "__main__":
    main()
