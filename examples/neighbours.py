"""The neighbouring methods on equal terms: one split, the same frozen features, several lengths and seeds.

    python examples/neighbours.py data/ucm --out runs/neighbours [--bits 16,32,64] [--seeds 0,1,2] [--only NAME,...]
    python examples/neighbours.py data/ucm --table alone | across | depths | values

Prints tables of tie-aware figures on test, mean and spread over seeds: image to image (alone); image and sound both
ways (across), where every method has the same towers, with sounds heard by a frozen network; hierarchical hashing
with and without its hierarchy (depths); and real-valued embeddings of several dimensions (values). Any data folder
with classes will do, but for across it must have sounds. The grids are those of ``dtbh sweep``: what is done is not
done again. Nothing here was chosen on test.
"""

from __future__ import annotations

import argparse
import statistics
from collections.abc import Sequence
from dataclasses import replace
from functools import lru_cache
from pathlib import Path

import numpy as np

from dtbh.codes import Embeddings, HashCodes
from dtbh.config import Config, read_config, write_config
from dtbh.data.manifest import read_manifest
from dtbh.data.splits import split_for
from dtbh.evaluation.direction import embedding_figures
from dtbh.evaluation.evaluate import evaluate
from dtbh.evaluation.results.tables import Table
from dtbh.evaluation.results.values import EmbeddingFigures, RetrievalReport
from dtbh.models.torch_encoder import load
from dtbh.stages.sweep import sweep
from dtbh.stages.train import train

CONFIGS = Path(__file__).parent.parent / "configs"
FIELD = ["data.protocol=random", "data.test=0.2"]
IMAGES = ["encoders.sound=null", "encoders.image.tta_views=1"]
HEARD = "{backbone: speech_embedding, frozen: true, temporal: {width: 128, layers: 2}}"
LEARNED = [f"encoders.sound={HEARD}", "training.epochs=12", "training.learning_rate=2e-3"]
DIMENSIONS, FULL = (8, 16, 32, 64, 128), 1280
VALUES = {"mAP": lambda f: f.map, "P@10": lambda f: f.precision_at[10], "ANMRR": lambda f: f.anmrr}
ALONE = {
    "LSH": "lsh", "PCA-RR": "pca-rr", "ITQ": "itq", "one code a class": "class-codes",
    "DPSH": "dpsh", "HashNet": "hashnet", "CSQ": "csq", "OrthoHash": "orthohash", "MiLaN": "milan",
    "hierarchical": "hierarchical", "DTBH": "dtbh",
}  # fmt: skip
ACROSS = {
    "CCA-ITQ": "cca-itq", "one code a class": "class-codes", "DCMH": "dcmh", "DUCH": "duch",
    "DQH": "dqh", "HashNet": "hashnet", "CSQ": "csq", "OrthoHash": "orthohash", "DTBH": "dtbh",
}  # fmt: skip
HIERARCHICAL = CONFIGS / "hierarchical" / "ucm.yaml"
DEPTHS = {
    "last output, no LSTM": ["encoders.image.depths=[]", "encoders.image.recurrent=0"],
    "last output, LSTM": ["encoders.image.depths=[]"],
    "four depths side by side": ["encoders.image.recurrent=0"],
    "four depths, LSTM (hierarchical)": [],
}


def main() -> None:
    """Train what is missing and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, help="a prepared data folder; spoken, for the second table")
    parser.add_argument("--out", type=Path, default=Path("runs/neighbours"))
    parser.add_argument("--bits", type=_numbers, default=[16, 32, 64])
    parser.add_argument("--seeds", type=_numbers, default=[0, 1, 2])
    parser.add_argument("--only", type=lambda text: text.split(","), help="some rows")
    parser.add_argument("--table", choices=("alone", "across", "depths", "values", "all"), default="all")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="for every run")
    args = parser.parse_args()
    classes = len(read_manifest(args.data).labels)
    tables = {
        "alone": {row: config_of(preset, False, classes) for row, preset in ALONE.items()},
        "across": {row: config_of(preset, True, classes) for row, preset in ACROSS.items()},
        "depths": {row: read_config(HIERARCHICAL, [*FIELD, *changes]) for row, changes in DEPTHS.items()},
    }
    for name, configs in tables.items():
        if args.table in (name, "all"):
            chosen = {row: config for row, config in configs.items() if args.only is None or row in args.only}
            print(codes_table(chosen, args.data, args.out / name, args.bits, args.seeds, args.set).markdown())
    if args.table in ("values", "all"):
        _values(args.data, args.out / "values", args.seeds, tuple(args.set))


def codes_table(
    configs: dict[str, Config], data: Path, out: Path, bits: Sequence[int], seeds: Sequence[int], changes: Sequence[str]
) -> Table:
    """The table of a sweep, below a row of codes that know nothing."""
    (out / "configs").mkdir(parents=True, exist_ok=True)
    files = {row: write_config(config, out / "configs" / f"{row}.yaml") for row, config in configs.items()}
    found = sweep(files, data, out, bits=bits, seeds=seeds, overrides=changes)
    for cell, why in found.failures.items():
        print(f"failed: {cell}: {why}")
    rows = {row: [report for cell, report in found.reports.items() if cell.method == row] for row in configs}
    across = all(config.encoders.sound is not None for config in configs.values())
    return Table.of({"random codes": [_random(data, across, b, seed) for b in bits for seed in seeds], **rows})


def config_of(preset: str, across: bool, classes: int) -> Config:
    """A preset on equal terms."""
    path, changes = CONFIGS / preset / "ucm.yaml", [*FIELD]
    config = read_config(path)
    if config.learning.fit == "class_codes":
        changes.append(f"encoders.feature_dim={classes}")
    if not across:
        return read_config(path, [*changes, *IMAGES, f"training.epochs={max(30, config.training.epochs)}"])
    if config.learning.fit is None:
        return read_config(path, [*changes, *LEARNED])
    heard = HEARD.replace("width: 128, layers: 2", "width: 512, layers: 1")
    return read_config(path, [*changes, f"encoders.sound={heard}"])


def _random(data: Path, across: bool, bits: int, seed: int) -> RetrievalReport:
    """What codes give that know nothing."""
    split = split_for(read_manifest(data), read_config(CONFIGS / "dtbh" / "ucm.yaml", FIELD))
    rng = np.random.default_rng(seed)

    def codes(modality: str) -> HashCodes:
        items = [replace(item, path=None) for item in split if item.modality == modality and item.split == "test"]
        return HashCodes.from_values(rng.normal(size=(len(items), bits)), encoder="random", items=items)

    sounds = codes("sound") if across else None
    return evaluate(codes("image"), sounds, protocol="random", splits={}, leakage={}, checkpoint_rule="none")


def _values(data: Path, out: Path, seeds: Sequence[int], changes: tuple[str, ...]) -> None:
    """Embeddings of several dimensions: of a trained layer, and of PCA on the full one, learned and as it was."""
    heads = [f"{which}: {what}" for which in ("trained layer", "PCA", "PCA, nothing trained") for what in VALUES]
    print(f"| dimensions | {' | '.join(heads)} |\n|---{'|---' * len(heads)}|", flush=True)
    for d in (*DIMENSIONS, FULL):
        columns: dict[str, list[EmbeddingFigures]] = {"trained": [], "pca": [], "before": []}
        for seed in seeds:
            full, plain = (_embedded(data, out, *which, changes) for which in ((FULL, seed), (0, 0)))
            columns["trained"].append(_figures(*_embedded(data, out, d, seed, changes)))
            columns["pca"].append(_figures(*_principal(*full, d)))
            columns["before"].append(_figures(*_principal(*plain, d)))
        cells = [_cell([pick(f) for f in found]) for found in columns.values() for pick in VALUES.values()]
        print(f"| {d} | {' | '.join(cells)} |", flush=True)


@lru_cache
def _embedded(
    data: Path, out: Path, dimensions: int, seed: int, changes: tuple[str, ...]
) -> tuple[Embeddings, Embeddings]:
    """Embeddings of the training and the test images; dimensions 0: the backbone's output, nothing trained."""
    settings = [*FIELD, *changes, f"encoders.feature_dim={dimensions}", f"seed={seed}"]
    if not dimensions:
        settings += ["learning.fit=lsh", "encoders.activation=relu"]
    config = read_config(CONFIGS / "triplet-metric" / "ucm.yaml", settings)
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
