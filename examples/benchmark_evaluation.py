"""How long does an evaluation take, beside the loop that most code of the field has? At RSICD's full size.

    python examples/benchmark_evaluation.py

Codes of 10,921 images and 54,605 sounds in 30 classes, 64 bits, both directions, every item a query. The loop
makes a row of distances and sorts it for each query, and gives one number; its stable order must give the very
average precision that the report calls ``stable_order``, or the benchmark exits with 1. With --share the loop takes
so much of the queries, and its time is that for all of them. Wall time, each with what
the machine has, and processor time, which other programs disturb less. Peak memory is that of the process after
dtbh and before the loop.
"""

from __future__ import annotations

import argparse
import os
import resource
import sys
import time
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from dtbh.codes import HashCodes, unpack
from dtbh.data.manifest import Item
from dtbh.evaluation.evaluate import evaluate
from dtbh.evaluation.metrics.counts import distance_counts, group_numbers
from dtbh.evaluation.metrics.ranking import mean_average_precision

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


class Timed(NamedTuple):
    """Wall time and processor time in seconds, and what the work gave."""

    wall: float
    cpu: float
    result: Any


def stable_order(queries: HashCodes, gallery: HashCodes) -> float:
    """The mean average precision of the loop's order, as dtbh computes it."""
    images, sounds = sorted((queries, gallery), key=lambda codes: codes.modality)
    way = f"{queries.modality}->{gallery.modality}"
    return evaluate(images, sounds, **SETTING, directions=[way]).directions[way].conventions["stable_order"]


def timed(work: Callable[[], object]) -> Timed:
    """Do it once."""
    start = time.perf_counter(), time.process_time()
    result = work()
    return Timed(time.perf_counter() - start[0], time.process_time() - start[1], result)


def show(name: str, runs: list[Timed], base: Timed) -> None:
    """A line of the table: the fastest run counts."""
    wall, cpu = (min(getattr(run, kind) for run in runs) for kind in ("wall", "cpu"))
    print(f"{name:<38}{runs[0].wall:>9.2f} s{wall:>9.2f} s{cpu:>9.2f} s{base.wall / wall:>8.1f}")


def main() -> int:
    """Run the benchmark and print its table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="300 images, 1,500 sounds")
    parser.add_argument("--runs", type=int, default=3, help="of dtbh; the fastest counts, and the first is shown too")
    parser.add_argument("--share", type=float, default=1.0, help="of the queries that the loop takes, 0 to 1")
    settings = parser.parse_args()
    images, sounds = make(**(QUICK if settings.quick else FULL))
    ways = ((sounds, images), (images, sounds))
    print(
        f"{len(images):,} images, {len(sounds):,} sounds, {images.bits} bits, {os.cpu_count()} cores, both directions"
    )
    whole = [timed(lambda: evaluate(images, sounds, **SETTING)) for _ in range(settings.runs)]
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    alone = [timed(lambda: [only_map(*way) for way in ways]) for _ in range(settings.runs)]
    some = [
        (queries.select(np.arange(0, len(queries), round(1 / settings.share))), gallery) for queries, gallery in ways
    ]
    loops = timed(lambda: [loop(*way) for way in some])
    scale = len(images) / len(some[1][0])
    loops = Timed(loops.wall * scale, loops.cpu * scale, loops.result)
    print(f"{'':<38}{'first run':>11}{'best run':>11}{'processor':>11}{'ratio':>8}")
    show("a distance row and a sort per query", [loops], loops)
    show("dtbh, mAP alone", alone, loops)
    show("dtbh, the whole report", whole, loops)
    print(f"dtbh, the whole report: peak memory {peak:.0f} MB")
    apart = []
    for number, (name, direction) in enumerate(whole[0].result.directions.items()):
        stable = stable_order(*some[number])
        print(f"{name}: mAP {direction.map:.6f}, the loop's stable order {loops.result[number]:.6f}")
        apart.append(abs(stable - loops.result[number]))
        apart.append(abs(direction.map - alone[0].result[number]))
    print(f"greatest difference where they must agree: {max(apart):.1e}")
    return 0 if max(apart) < 1e-9 else 1


if __name__ == "__main__":
    sys.exit(main())
