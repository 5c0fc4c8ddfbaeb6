"""What a second stage brings: codes find candidates, and stored vectors of 8 bits a number order them.

    python examples/benchmark_rescore.py                  200,000 vectors, about a minute
    python examples/benchmark_rescore.py --vectors 10 --queries 200 --bits 64 128 256      ten million: 2.6 GB on disk
    python examples/benchmark_rescore.py --quick          a small run, to see that it works

Vectors are drawn around clusters, in as many directions as ``--within`` says, and brought to length one. Codes are the
signs of random projections, or of a random rotation of the principal axes ("pca", up to as many bits as a vector has
numbers). What is right are the ten nearest by cosine of the exact vectors; a cell is the share of them that is found.
``R`` is the number of candidates; 0 is the search by codes alone. "All rescored" is what 8 bits a number keep. Vectors
lie in a file that is memory-mapped, as in an archive.

Times are milliseconds a query of processor time, in the middle of 25 runs with other queries each, of one query and of
64 at once, on one thread; "added" is what rescoring takes beyond the search for ten codes, "cold" what it takes on the
clock for one query while nothing of the vectors is in memory. FAISS is ``IndexRefine`` over ``IndexLSH`` with its own 8
bits a number, over as many candidates; the ratio is of both stages together.
"""

from __future__ import annotations

import os

os.environ["OMP_WAIT_POLICY"] = "passive"  # before FAISS is imported: waiting threads take no processor time
os.environ.setdefault("OMP_NUM_THREADS", "1")

import argparse
import importlib
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dtbh.codes import pack, whole_numbers
from dtbh.index.hamming import search as hamming
from dtbh.index.hamming.rows import let_go, read_scattered
from dtbh.index.rescoring import cosines, rescored

Floats = NDArray[np.float32]
K, BLOCK, MANY, RUNS = 10, 1 << 16, 64, 25
QUICK = {"vectors": 0.01, "queries": 20, "bits": [64, 128], "rescore": [50, 100]}


class Drawn:
    """Vectors around clusters, the same at each reading, a block at a time."""

    def __init__(self, count: int, dim: int, clusters: int, within: int) -> None:
        rng = np.random.default_rng(0)
        self.count, self.dim = count, dim
        self.centres = unit(rng.normal(size=(clusters, dim)))
        self.directions = 0.8 * unit(rng.normal(size=(within, dim))) / np.float32(np.sqrt(within))

    def some(self, seed: int, count: int) -> Floats:
        """So many vectors of length one, float32 [count, dim]."""
        rng = np.random.default_rng(seed)
        inside = rng.standard_normal((count, len(self.directions)), np.float32) @ self.directions
        return unit(self.centres[rng.integers(0, len(self.centres), count)] + inside)

    def blocks(self) -> Iterator[tuple[int, Floats]]:
        """All of them, with the row that each block begins at."""
        for start in range(0, self.count, BLOCK):
            yield start, self.some(1 + start, min(BLOCK, self.count - start))


def unit(vectors: NDArray[Any]) -> Floats:
    """Each brought to length one."""
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)


def projection(kind: str, sample: Floats, bits: int) -> tuple[Floats, Floats]:
    """A mean [dim] and a projection [dim, bits]; the signs of what comes out are the code."""
    rng = np.random.default_rng(bits)
    mean = sample.mean(axis=0)
    if kind == "random":
        return mean, rng.normal(size=(sample.shape[1], bits)).astype(np.float32)
    axes = np.linalg.eigh(np.cov(sample, rowvar=False))[1][:, -bits:]
    turn = np.linalg.qr(rng.normal(size=(bits, bits)))[0]
    return mean, (axes @ turn).astype(np.float32)


def coded(vectors: Floats, of: tuple[Floats, Floats]) -> NDArray[np.uint64]:
    """The codes of vectors."""
    return pack((vectors - of[0]) @ of[1] >= 0)


def truth(drawn: Drawn, queries: Floats) -> NDArray[np.int64]:
    """The rows of the ten nearest of each query by the exact cosine, [q, 10]."""
    best, rows = np.full((len(queries), K), -2, np.float32), np.zeros((len(queries), K), np.int64)
    for start, vectors in drawn.blocks():
        near = np.concatenate([best, queries @ vectors.T], axis=1)
        new = np.broadcast_to(np.arange(start, start + len(vectors)), (len(queries), len(vectors)))
        here = np.concatenate([rows, new], axis=1)
        chosen = np.argpartition(-near, K - 1, axis=1)[:, :K]
        best, rows = np.take_along_axis(near, chosen, axis=1), np.take_along_axis(here, chosen, axis=1)
    return rows


def kept(found: NDArray[np.int64], right: NDArray[np.int64]) -> float:
    """The share of the right rows that was found."""
    return sum(len({*a} & {*b}) for a, b in zip(found.tolist(), right.tolist(), strict=True)) / right.size


def middle(asks: Sequence[Callable[[NDArray[np.int64]], object]], queries: int, of: int) -> list[float]:
    """Milliseconds of processor time a query of each, in the middle of some runs in turns, of other queries each."""
    times: list[list[float]] = [[] for _ in asks]
    for run in range(RUNS):
        chosen = (run * queries + np.arange(queries)) % of
        for took, ask in zip(times, asks, strict=True):
            start = time.process_time()
            ask(chosen)
            took.append(1000 * (time.process_time() - start) / queries)
    return [sorted(took)[RUNS // 2] for took in times]


def cold(path: Path, mapped: NDArray[np.int8], ask: Callable[[], object], runs: int = 5) -> float:
    """Milliseconds on the clock of a question, the middle of some, each with nothing of the file in memory."""
    times = []
    for _ in range(runs):
        let_go(mapped)  # what is mapped is not dropped
        with path.open("rb") as file:
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
        start = time.perf_counter()
        ask()
        times.append(1000 * (time.perf_counter() - start))
    return sorted(times)[runs // 2]


def faiss_refined(drawn: Drawn, bits: int) -> Callable[[Floats, int], NDArray[np.int64]] | None:
    """FAISS's two stages: codes of its own, and its own 8 bits a number; None where it is not installed."""
    try:
        faiss = importlib.import_module("faiss")
    except ImportError:
        return None
    faiss.omp_set_num_threads(1)
    base = faiss.IndexLSH(drawn.dim, bits, True, False)
    fine = faiss.IndexScalarQuantizer(drawn.dim, faiss.ScalarQuantizer.QT_8bit, faiss.METRIC_L2)
    fine.train(next(drawn.blocks())[1])
    index = faiss.IndexRefine(base, fine)
    index.is_trained = True
    for _, vectors in drawn.blocks():
        index.add(vectors)

    def search(queries: Floats, candidates: int) -> NDArray[np.int64]:
        index.k_factor = candidates / K
        return np.asarray(index.search(queries, K)[1])

    search.holds = index  # type: ignore[attr-defined]  # or its parts are freed
    search.parts = (base, fine)  # type: ignore[attr-defined]
    return search


def exact_in_8_bits(queries: NDArray[np.int16], vectors: NDArray[np.int8], right: NDArray[np.int64]) -> float:
    """The share of the right rows that is found where everything is rescored."""
    best, rows = np.full((len(queries), K), -2.0), np.zeros((len(queries), K), np.int64)
    every = np.arange(BLOCK)[None]
    for start in range(0, len(vectors), BLOCK):
        part = vectors[start : start + BLOCK]
        for query in range(len(queries)):
            near = np.concatenate([best[query], cosines(queries[query : query + 1], part, every[:, : len(part)])[0]])
            here = np.concatenate([rows[query], np.arange(start, start + len(part))])
            chosen = np.argpartition(-near, K - 1)[:K]
            best[query], rows[query] = near[chosen], here[chosen]
    return kept(rows, right)


def table(drawn: Drawn, folder: Path, settings: argparse.Namespace) -> None:
    """Draw, write, search, and print a row for each kind and length of codes."""
    path, sample = folder / "vectors.bin", next(drawn.blocks())[1][:20_000]
    asked = drawn.some(10**9, settings.queries)
    right, numbers = truth(drawn, asked), whole_numbers(asked, np.int16)
    of = {
        (kind, bits): projection(kind, sample, bits)
        for kind in settings.codes for bits in settings.bits if kind == "random" or bits <= drawn.dim
    }  # fmt: skip
    words = {name: np.empty((drawn.count, -(-name[1] // 64)), np.uint64) for name in of}
    with path.open("wb") as file:
        for start, vectors in drawn.blocks():
            file.write(whole_numbers(vectors, np.int8).tobytes())
            for name in of:
                words[name][start : start + len(vectors)] = coded(vectors, of[name])
        os.fsync(file.fileno())  # what is not yet on the disk stays in memory
    mapped = np.memmap(path, np.int8, "r").reshape(-1, drawn.dim).view(np.ndarray)
    read_scattered(mapped)
    if drawn.count * settings.queries <= 10**8:
        print(f"all rescored: {exact_in_8_bits(numbers, mapped, right):.3f} of the right ten are found")
    columns = "".join(f"{f'R={r}':>8}" for r in (0, *settings.rescore))
    print(f"{'codes':<8}{'bits':>5}{'bytes':>7}{columns} | {'R':>4}{'added':>8}{f'x{MANY}':>8}{'cold':>8} | "
          f"{'FAISS':>7}{'ratio':>7}{f'x{MANY}':>7}")  # fmt: skip
    for (kind, bits), gallery in words.items():
        searcher, queries = hamming.Searcher(gallery), coded(asked, of[kind, bits])

        def two(
            chosen: NDArray[np.int64], r: int, searcher: hamming.Searcher = searcher,
            queries: NDArray[np.uint64] = queries,
        ) -> NDArray[np.int64]:  # fmt: skip
            near = searcher.nearest(queries[chosen], max(r, K), threads=1)
            return near[1][:, :K] if not r else rescored(numbers[chosen], *near, mapped, K)[1]

        every = np.arange(len(asked))
        found = [kept(two(every, r), right) for r in (0, *settings.rescore)]
        line = f"{kind:<8}{bits:>5}{8 * gallery.shape[1] + drawn.dim:>7}" + "".join(f"{share:>8.3f}" for share in found)
        refined = faiss_refined(drawn, bits) if kind == "random" and settings.faiss else None
        many = min(MANY, len(asked))
        for r in settings.rescore:
            took = []
            for q in (1, many):
                asks = [lambda chosen, r=c, two=two: two(chosen, r) for c in (0, r)]
                if refined is not None:
                    asks.append(lambda chosen, r=r, ask=refined: ask(asked[chosen], r))
                took.append(middle(asks, q, len(asked)))
            near = searcher.nearest(queries[:1], r, threads=1)
            slow = cold(path, mapped, lambda near=near: rescored(numbers[:1], *near, mapped, K))
            line += f" | {r:>4}" + "".join(f"{both - plain:>8.3f}" for plain, both, *_ in took) + f"{slow:>8.2f}"
            if refined is not None:
                ratios = [peer / both for _, both, peer in took]
                line += f" | {kept(refined(asked, r), right):>7.3f}" + "".join(f"{ratio:>7.1f}" for ratio in ratios)
            print(line, flush=True)
            line = " " * (20 + 8 * (1 + len(settings.rescore)))


def main() -> int:
    """Run the benchmark and print its table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--vectors", type=float, default=0.2, help="how many, in millions")
    parser.add_argument("--dim", type=int, default=256, help="numbers of a vector")
    parser.add_argument("--clusters", type=int, default=1000)
    parser.add_argument("--within", type=int, default=32, help="directions in which those of a cluster differ")
    parser.add_argument("--queries", type=int, default=100)
    parser.add_argument("--bits", type=int, nargs="+", default=[64, 128, 256, 512])
    parser.add_argument("--codes", nargs="+", default=["random", "pca"], choices=("random", "pca"))
    parser.add_argument("--rescore", type=int, nargs="+", default=[50, 100, 200, 500])
    parser.add_argument("--faiss", action=argparse.BooleanOptionalAction, default=True)
    parser.add_argument("--folder", type=Path, help="where the vectors are written for the time (default: temporary)")
    parser.add_argument("--quick", action="store_true", help="a small run")
    settings = parser.parse_args()
    if settings.quick:
        parser.set_defaults(**QUICK)
        settings = parser.parse_args()
    hamming.WORTH = 1  # all is compiled, and this compiles it
    hamming.nearest(np.zeros((1, 1), np.uint64), np.zeros((1, 1), np.uint64), 1)
    drawn = Drawn(round(1e6 * settings.vectors), settings.dim, settings.clusters, settings.within)
    print(f"{drawn.count:,} vectors of {drawn.dim} numbers, {settings.queries} queries, one thread")
    with tempfile.TemporaryDirectory(dir=settings.folder) as folder:
        table(drawn, Path(folder), settings)
    return 0


if __name__ == "__main__":
    sys.exit(main())
