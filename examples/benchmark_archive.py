"""What a big archive costs: opening it, looking items up, filtering, growing. Prints one table.

    python examples/benchmark_archive.py --items 10_000_000

Codes are random, items are tiles of 30 classes and three sensors, each with a path, a window and a footprint. The
archive is written into a temporary folder (about 3 GB for ten million) and removed again.
"""

from __future__ import annotations

import argparse
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

from dtbh.codes import HashCodes
from dtbh.data.manifest import Item
from dtbh.index.archive import writing
from dtbh.index.archive.archive import open_archive
from dtbh.index.archive.postings import SEGMENT

BITS, ENCODER = 64, "benchmark"


def tile(n: int) -> Item:
    """The n-th tile."""
    column, row = 256 * (n % 40), 256 * (n // 40 % 40)
    corner = (n % 3600 / 10 - 180, n % 1700 / 10 - 85)
    corners = tuple((corner[0] + x, corner[1] + y) for x, y in ((0, 0), (0.02, 0), (0.02, 0.02), (0, 0.02)))
    return Item(
        f"scene{n // 1600:06}/{n % 1600:04}", "image", f"/archive/scenes/scene{n // 1600:06}.tif", f"class{n % 30:02}",
        window=(column, row, 256, 256), footprint=corners, fields={"sensor": f"S{n % 3}"},
    )  # fmt: skip


def some(first: int, count: int) -> HashCodes:
    """Codes of some tiles."""
    words = np.random.default_rng(first).integers(0, 1 << 64, (count, 1), np.uint64)
    return HashCodes(words, BITS, ENCODER, tuple(tile(first + n) for n in range(count)))


def chunks(count: int, path: Path) -> Iterator[writing.Chunk]:
    """All tiles, a segment at a time, so that they never stand in memory together."""
    for first in range(0, count, SEGMENT):
        yield from writing.chunked(some(first, min(SEGMENT, count - first)), path)


def memory() -> float:
    """Megabytes that this process holds for itself, without files that it has mapped."""
    status = Path("/proc/self/status").read_text()
    return int(status.split("RssAnon:")[1].split()[0]) / 1000


def look(path: Path) -> None:
    """Open an archive in a process of its own, and look at it."""
    before, start = memory(), time.perf_counter()
    archive = open_archive(path)
    print(f"opening          {time.perf_counter() - start:9.4f} s, {memory() - before:.1f} MB")
    rng = np.random.default_rng(0)
    for what, count in (("ten items", 10), ("a thousand items", 1000)):
        rows = rng.integers(0, len(archive), count)
        start = time.perf_counter()
        archive.items(rows)
        print(f"{what:16} {time.perf_counter() - start:9.4f} s, {memory() - before:.1f} MB")
    filters = {"filter: a class": {"label": "class07"}, "... and a sensor": {"label": "class07", "sensor": "S1"},
               "by id": {"id": "scene000003/0007"}}  # fmt: skip
    for what, where in filters.items():
        start = time.perf_counter()
        count = len(archive.rows(where))
        print(f"{what:16} {time.perf_counter() - start:9.4f} s, {count:,} of {len(archive):,} pass")
    start = time.perf_counter()
    archive.info()
    print(f"info             {time.perf_counter() - start:9.4f} s")
    largest = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1000
    print(f"in all           {memory() - before:9.1f} MB; the process {largest:.0f} MB at most, with what it mapped")


def main() -> None:
    """Write, open, grow and compact an archive."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--items", type=int, default=1_000_000)
    parser.add_argument("--quick", action="store_true", help="without verifying and compacting")
    parser.add_argument("--look", type=Path, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.look:
        look(args.look)
        return
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "archive"
        start = time.perf_counter()
        writing.create(path, {"bits": BITS, "encoder": ENCODER, "model": None}, chunks(args.items, path))
        took = time.perf_counter() - start
        size = sum(file.stat().st_size for file in path.iterdir()) / 1e6
        print(f"writing          {took:9.1f} s, {size:,.0f} MB on disk, {args.items / took:,.0f} items a second")
        subprocess.run([sys.executable, __file__, "--look", path], check=True)
        archive, more = open_archive(path), some(args.items, 1000)
        steps: dict[str, Callable[[], object]] = {
            "adding 1,000": lambda: archive.add(more),
            "removing 1,000": lambda: archive.remove(item.id for item in more.items),
        }
        if not args.quick:
            steps |= {"verifying": archive.verify, "compacting": archive.compact}
        for what, step in steps.items():
            start = time.perf_counter()
            step()
            print(f"{what:16} {time.perf_counter() - start:9.4f} s")


if __name__ == "__main__":
    main()
