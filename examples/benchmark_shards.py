"""What shards cost: the same tiles by one process, by several at once, and by Ray's workers, on this machine.

    python examples/benchmark_shards.py TILES --shards 2 4 8
    python examples/benchmark_shards.py TILES --shards 2 4 8 --ray       # extra: ray

Each row indexes the folder with the ready model and merges what came of it; the merged archive must have the same codes
as one process makes. Where several processes share a machine's cores the clock says little, so what counts is the
processor time: what of it is not encoding (start, listing, model, writing, merging), and how much a shard adds.
Encoding is what a process that has encoded already takes for the same files. Of Ray, whose workers are nobody's
children, the clock alone is known.
"""

from __future__ import annotations

import argparse
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import dtbh
from dtbh.index.archive.archive import open_archive
from dtbh.models.run_files import READY
from dtbh.stages.inputs import items_of

DTBH = [sys.executable, "-m", "dtbh.cli"]


class Taken(NamedTuple):
    """Seconds by the clock, and of the processor."""

    clock: float
    processor: float


def together(*commands: Sequence[str]) -> Taken:
    """Start commands of dtbh at once, and wait for all.

    Raises:
        RuntimeError: One of them fails.
    """
    before, start = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    running = [subprocess.Popen([*DTBH, *words, "--quiet"], stdout=subprocess.DEVNULL) for words in commands]
    codes = [one.wait() for one in running]
    clock, after = time.perf_counter() - start, resource.getrusage(resource.RUSAGE_CHILDREN)
    if any(codes):
        raise RuntimeError(f"dtbh {' '.join(commands[0])}: exit codes {codes}")
    return Taken(clock, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)


def encoding(tiles: Path) -> tuple[int, float]:
    """How many tiles there are, and the processor's seconds for encoding them by a model that is warm."""
    model = dtbh.load()
    items = items_of(model, tiles, "all")
    model.encode(items[:64])
    start = time.process_time()
    model.encode(items)
    return len(items), time.process_time() - start


def same(one: Path, other: Path) -> bool:
    """Whether archives hold the same items with the same codes."""
    first, second = open_archive(one), open_archive(other)
    items = [index.items(index.rows()) for index in (first, second)]
    return items[0] == items[1] and bool((first.words == second.words).all())


def main() -> None:
    """Print one row a way."""
    parser = argparse.ArgumentParser(description=str(__doc__).partition("\n")[0])
    parser.add_argument("tiles", type=Path, help="a folder of images")
    parser.add_argument("--shards", type=int, nargs="+", default=[2, 4, 8])
    parser.add_argument("--ray", action="store_true", help="by Ray's workers too")
    args = parser.parse_args()
    tiles = str(args.tiles.absolute())
    count, encoded = encoding(args.tiles)
    print(f"{count} tiles, {encoded:.1f} s of the processor for encoding alone, {os.cpu_count()} processors")
    print(
        "shards | clock s | processor s | not encoding | added a shard, s | of it merging, s\n" + "|".join(6 * ["---"])
    )
    with tempfile.TemporaryDirectory(prefix="dtbh-shards-") as folder:
        whole = Path(folder) / "whole"
        alone = together(["index", READY, tiles, "--out", str(whole)])
        print(f"1 | {alone.clock:.1f} | {alone.processor:.1f} | {1 - encoded / alone.processor:.0%} | | ", flush=True)
        for shards in args.shards:
            out = Path(folder) / f"by{shards}"
            parts = [f"{out}.{number}" for number in range(1, shards + 1)]
            made = together(
                *(["index", READY, tiles, "--out", part, "--shard", f"{number}/{shards}"]
                  for number, part in enumerate(parts, start=1))
            )  # fmt: skip
            merged = together(["merge", str(out), *parts])
            spent = made.processor + merged.processor
            added = (spent - alone.processor) / shards
            print(f"{shards} | {made.clock + merged.clock:.1f} | {spent:.1f} | {1 - encoded / spent:.0%} | "
                  f"{added:.2f} | {merged.processor / shards:.2f}", flush=True)  # fmt: skip
            assert same(whole, out), f"{shards} shards give another archive"
            if args.ray:
                out = Path(folder) / f"ray{shards}"
                by_ray = together(["index", READY, tiles, "--out", str(out), "--ray", str(shards)])
                print(f"{shards} by Ray | {by_ray.clock:.1f} | | | | ", flush=True)
                assert same(whole, out), f"{shards} shards by Ray give another archive"


if __name__ == "__main__":
    main()
