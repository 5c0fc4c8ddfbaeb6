"""The neighbouring methods on equal terms: one split, the same frozen features, several lengths and seeds.

    python examples/neighbours.py data/ucm --out runs/neighbours [--bits 16,32,64] [--seeds 0,1,2] [--only NAME,...]

Prints two tables of tie-aware mAP on test, mean and spread over seeds: image to image, and image and sound both ways
(there every method has the same towers, with sounds heard by a frozen network). A run that is there is not made
again. Presets are those of configs/; nothing here was chosen on test.
"""

from __future__ import annotations

import argparse
import statistics
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from dtbh import progress
from dtbh.codes import HashCodes
from dtbh.config import Config, read_config
from dtbh.data.manifest import read_manifest
from dtbh.data.splits import split_for
from dtbh.evaluation.protocol import evaluate as evaluate_codes
from dtbh.evaluation.report import read_report
from dtbh.evaluation.values import RetrievalReport
from dtbh.learning.trainer import train
from dtbh.stages import evaluate

CONFIGS = Path(__file__).parent.parent / "configs"
FIELD = ["data.protocol=random", "data.test=0.2"]
IMAGES = ["encoders.sound=null", "encoders.image.averaged=1"]
HEARD = "{backbone: speech_embedding, frozen: true, temporal: {width: 128, layers: 2}}"
LEARNED = [f"encoders.sound={HEARD}", "training.epochs=12", "training.learning_rate=2e-3"]
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
    parser.add_argument("--table", choices=("alone", "across", "both"), default="both")
    args = parser.parse_args()
    progress.quiet()
    for name, methods, ways in (
        ("alone", ALONE, ["image->image"]),
        ("across", ACROSS, ["sound->image", "image->sound"]),
    ):
        if args.table in (name, "both"):
            print("| method | " + " | ".join(f"{way}, {b} bits" for way in ways for b in args.bits) + " |")
            print("|---" * (1 + len(ways) * len(args.bits)) + "|", flush=True)
            for row in methods:
                if row in args.only:
                    cells = _row(row, methods[row], ways, args.data, args.out / name, args.bits, args.seeds)
                    print(f"| {row} | {' | '.join(cells)} |", flush=True)


def _row(
    name: str, preset: str | None, ways: Sequence[str], data: Path, out: Path, bits: Sequence[int], seeds: Sequence[int]
) -> Iterator[str]:
    """The cells of a method: for each way and length, mean and spread over seeds."""
    reports = {
        b: [_report(name, preset, len(ways) > 1, data, out / f"{name}-{b}-{s}".replace(" ", "-"), b, s) for s in seeds]
        for b in bits
    }
    for way in ways:
        for b in bits:
            yield _cell([report.directions[way].map for report in reports[b]])


def _report(
    name: str, preset: str | None, across: bool, data: Path, run: Path, bits: int, seed: int
) -> RetrievalReport:
    """The report of one run, made where it is missing."""
    if preset is None:
        return _random(data, across, bits, seed)
    if (run / "report" / "report.json").is_file():
        return read_report(run / "report")
    train(config_of(preset, across, bits, seed), data, run)
    return evaluate(run)[0]


def config_of(preset: str, across: bool, bits: int, seed: int) -> Config:
    """A preset on equal terms."""
    changes = [*FIELD, f"encoders.bits={bits}", f"seed={seed}"]
    config = read_config(CONFIGS / preset / "ucm.yaml", changes)
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


def _cell(values: Sequence[float]) -> str:
    spread = f" ± {statistics.stdev(values):.3f}" if len(values) > 1 else ""
    return f"{statistics.mean(values):.3f}{spread}"


def _numbers(text: str) -> list[int]:
    return [int(part) for part in text.split(",")]


if __name__ == "__main__":
    main()
