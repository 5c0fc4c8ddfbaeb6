"""How long does an evaluation take, beside the loop that most code of the field has? At RSICD's full size.

    python examples/benchmark_evaluation.py

Codes of 10,921 images and 54,605 sounds in 30 classes, 64 bits, both directions, every item a query. The loop
makes a row of distances and sorts it for each query, and gives one number; its stable order must give the very
average precision that the report calls ``stable_order``, or the benchmark exits with 1. Wall time, each with what
the machine has. Peak memory is that of the process after dtbh and before the loop.
"""

from __future__ import annotations

import argparse
import os
import resource
import sys
import time
from collections.abc import Callable

import numpy as np

from dtbh.codes import HashCodes, unpack
from dtbh.data.manifest import Item
from dtbh.evaluation.counts import distance_counts, group_numbers
from dtbh.evaluation.protocol import evaluate
from dtbh.evaluation.ranking import mean_average_precision

SETTING = {"protocol": "benchmark", "splits": {}, "leakage": {}, "checkpoint_rule": "none"}
FULL = {"images": 10_921, "sounds_each": 5, "classes": 30, "bits": 64}
QUICK = {"images": 300, "sounds_each": 5, "classes": 30, "bits": 64}


def make(images: int, sounds_each: int, classes: int, bits: int) -> tuple[HashCodes, HashCodes]:
    """Codes of images and sounds, three quarters of whose bits are their class's, the others chance."""
    rng = np.random.default_rng(0)
    centres = rng.normal(size=(classes, bits))
    labels = rng.integers(0, classes, images)

    def codes(modality: str, of: np.ndarray) -> HashCodes:
        values = np.where(rng.random((len(of), bits)) < 0.5, centres[labels[of]], rng.normal(size=(len(of), bits)))
        items = tuple(
            Item(f"{modality}-{row}", modality, None, f"class {labels[image]:02}", f"pair {image}")  # type: ignore[arg-type]
            for row, image in enumerate(of.tolist())
        )
        return HashCodes.from_values(values, encoder="benchmark", items=items)

    return codes("image", np.arange(images)), codes("sound", np.repeat(np.arange(images), sounds_each))


def loop(queries: HashCodes, gallery: HashCodes) -> float:
    """The field's way: for each query all distances by a product of signs, a sort, and the precision at each hit."""
    signs = [unpack(codes.words, codes.bits) * np.float32(2) - 1 for codes in (queries, gallery)]
    labels = [np.array([item.label for item in codes.items]) for codes in (queries, gallery)]
    summed = 0.0
    for sign, label in zip(signs[0], labels[0], strict=True):
        distances = 0.5 * (queries.bits - signs[1] @ sign)
        ranks = np.flatnonzero(labels[1][np.argsort(distances, kind="stable")] == label) + 1
        summed += float(np.mean(np.arange(1, len(ranks) + 1) / ranks))
    return summed / len(queries)


def only_map(queries: HashCodes, gallery: HashCodes) -> float:
    """The mAP alone, ties averaged."""
    labels = group_numbers([item.label for item in queries.items], [item.label for item in gallery.items])
    return mean_average_precision(*distance_counts(queries.words, gallery.words, *labels, queries.bits))


def timed(work: Callable[[], object]) -> tuple[float, object]:
    """Wall time in seconds, and what the work gives."""
    start = time.perf_counter()
    result = work()
    return time.perf_counter() - start, result


def main() -> int:
    """Run the benchmark and print its table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="300 images, 1,500 sounds")
    parser.add_argument("--runs", type=int, default=3, help="of dtbh; the fastest counts, and the first is shown too")
    settings = parser.parse_args()
    images, sounds = make(**(QUICK if settings.quick else FULL))
    ways = ((sounds, images), (images, sounds))
    print(
        f"{len(images):,} images, {len(sounds):,} sounds, {images.bits} bits, {os.cpu_count()} cores, both directions"
    )
    whole = [timed(lambda: evaluate(images, sounds, **SETTING)) for _ in range(settings.runs)]
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    alone = [timed(lambda: [only_map(*way) for way in ways]) for _ in range(settings.runs)]
    base, loops = timed(lambda: [loop(*way) for way in ways])
    report = whole[0][1]
    print(f"{'':<42}{'first run':>11}{'best run':>11}{'ratio':>8}")
    print(f"{'a distance row and a sort per query':<42}{base:>9.2f} s{base:>9.2f} s{1:>8.1f}")
    for name, runs in (("dtbh, mAP alone", alone), ("dtbh, the whole report", whole)):
        best = min(seconds for seconds, _ in runs)
        print(f"{name:<42}{runs[0][0]:>9.2f} s{best:>9.2f} s{base / best:>8.1f}")
    print(f"dtbh, the whole report: peak memory {peak:.0f} MB")
    directions = report.directions.values()  # type: ignore[attr-defined]
    apart = [abs(one.conventions["stable_order"] - other) for one, other in zip(directions, loops, strict=True)]  # type: ignore[call-overload]
    apart += [abs(one.map - other) for one, other in zip(directions, alone[0][1], strict=True)]  # type: ignore[call-overload]
    for one, other in zip(report.directions.items(), loops, strict=True):  # type: ignore[attr-defined,call-overload]
        print(f"{one[0]}: mAP {one[1].map:.6f}, the loop's stable order {other:.6f}")
    print(f"greatest difference where they must agree: {max(apart):.1e}")
    return 0 if max(apart) < 1e-9 else 1


if __name__ == "__main__":
    sys.exit(main())
