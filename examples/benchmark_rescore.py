"""What a second stage brings: codes find candidates, and stored vectors of 8 bits a number order them.

    python examples/benchmark_rescore.py                  200,000 vectors, about a minute
    python examples/benchmark_rescore.py --vectors 10 --parts times --no-faiss     ten million: 2.6 GB on disk
    python examples/benchmark_rescore.py --quick          a small run, to see that it works

Vectors are drawn around clusters, in as many directions as ``--within`` says, and brought to length one. Codes are the
signs of random projections, or of a random rotation of the principal axes ("pca", up to as many bits as a vector has
numbers). What is right are the ten nearest by cosine of the exact vectors; a cell is the share of them that is found.
``R`` is the number of candidates; 0 is the search by codes alone. "All rescored" is what 8 bits a number keep. Vectors
lie in a file that is memory-mapped, as in an archive.

Times are milliseconds a query of processor time, of 15 runs with other queries each, of one query and of 64 at once, on
one thread: "codes" is what so many nearest codes take beyond ten (the least of the runs), "vectors" what ordering them
takes (the middle one), "cold" the same on the clock for one query while nothing of the vectors is in memory. "LSH" and
"PQ" are how many times as long ``IndexRefine`` over ``IndexLSH``, and over ``IndexPQFastScan`` of as many bytes a code,
with its own 8 bits a number and as many candidates, takes for both stages. With ``--parts times`` alone codes and
vectors mean nothing, which takes no time to draw.
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
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from dtbh.codes import pack, whole_numbers
from dtbh.index.hamming import search as hamming
from dtbh.index.hamming.rows import let_go, read_scattered
from dtbh.index.rescoring import cosines, rescored
from dtbh.search.ranking import CANDIDATES, EXAMPLES

Floats = NDArray[np.float32]
K, BLOCK, MANY, RUNS = 10, 1 << 16, 64, 15
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


def times(asks: Sequence[Callable[[NDArray[np.int64]], object]], queries: int, of: int) -> list[list[float]]:
    """Milliseconds of processor time a query of each, sorted, of some runs in turns, of other queries each."""
    took: list[list[float]] = [[] for _ in asks]
    for run in range(RUNS):
        chosen = (run * queries + np.arange(queries)) % of
        for own, ask in zip(took, asks, strict=True):
            start = time.process_time()
            ask(chosen)
            own.append(1000 * (time.process_time() - start) / queries)
    return [sorted(own) for own in took]


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


Refined = Callable[[Floats, int], NDArray[np.int64]]


def faiss_refined(drawn: Drawn, bits: int) -> dict[str, Refined]:
    """FAISS's two stages: codes of its own, and its own 8 bits a number; none where it is not installed."""
    try:
        faiss = importlib.import_module("faiss")
    except ImportError:
        return {}
    faiss.omp_set_num_threads(1)
    bases = {"LSH": faiss.IndexLSH(drawn.dim, bits, True, False), "PQ": faiss.IndexPQFastScan(drawn.dim, bits // 4, 4)}
    fine = faiss.IndexScalarQuantizer(drawn.dim, faiss.ScalarQuantizer.QT_8bit, faiss.METRIC_L2)
    every = [*bases.values(), fine]
    for index in every:
        index.train(next(drawn.blocks())[1])
    for _, vectors in drawn.blocks():
        for index in every:
            index.add(vectors)

    def refined(base: Any) -> Refined:
        both = faiss.IndexRefine(base, fine)

        def search(queries: Floats, candidates: int) -> NDArray[np.int64]:
            both.k_factor = candidates / K
            return np.asarray(both.search(queries, K)[1])

        search.holds = (both, base, fine)  # type: ignore[attr-defined]  # or its parts are freed
        return search

    return {name: refined(base) for name, base in bases.items()}


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


class Codes(NamedTuple):
    """Codes of one kind and length, and those of the queries."""

    kind: str
    bits: int
    gallery: NDArray[np.uint64]
    asked: NDArray[np.uint64]


def write_drawn(drawn: Drawn, asked: Floats, path: Path, settings: argparse.Namespace) -> list[Codes]:
    """Write the vectors, and make all kinds of codes of them."""
    sample, every = next(drawn.blocks())[1][:20_000], []
    for kind in settings.codes:
        for bits in settings.bits if kind == "random" else [bits for bits in settings.bits if bits <= drawn.dim]:
            of = projection(kind, sample, bits)
            every.append((of, Codes(kind, bits, np.empty((drawn.count, -(-bits // 64)), np.uint64), coded(asked, of))))
    with path.open("wb") as file:
        for start, vectors in drawn.blocks():
            file.write(whole_numbers(vectors, np.int8).tobytes())
            for of, codes in every:
                codes.gallery[start : start + len(vectors)] = coded(vectors, of)
        os.fsync(file.fileno())  # what is not yet on the disk stays in memory
    return [codes for _, codes in every]


def write_random(drawn: Drawn, path: Path, settings: argparse.Namespace) -> list[Codes]:
    """Write vectors that mean nothing, and codes that don't either: times are the same."""
    rng = np.random.default_rng(0)
    with path.open("wb") as file:
        for start in range(0, drawn.count, BLOCK):
            file.write(rng.bytes(min(BLOCK, drawn.count - start) * drawn.dim))
        os.fsync(file.fileno())
    sizes = {bits: [(n, -(-bits // 64)) for n in (drawn.count, settings.queries)] for bits in settings.bits}
    return [
        Codes("random", bits, *(rng.integers(0, 2**64, s, np.uint64) for s in size)) for bits, size in sizes.items()
    ]


def print_recall(every: Sequence[Codes], right: NDArray[np.int64], numbers: NDArray[np.int16],
                 mapped: NDArray[np.int8], settings: argparse.Namespace) -> None:  # fmt: skip
    """A row for each kind and length of codes."""
    if len(mapped) * len(numbers) <= 10**8:
        print(f"all rescored: {exact_in_8_bits(numbers, mapped, right):.3f} of the right ten are found")
    print(f"{'codes':<8}{'bits':>5}{'bytes':>7}" + "".join(f"{f'R={r}':>8}" for r in (0, *settings.rescore)))
    for kind, bits, gallery, asked in every:
        searcher = hamming.Searcher(gallery)
        shares = [kept(searcher.nearest(asked, K)[1], right)]
        for r in settings.rescore:
            shares.append(kept(rescored(numbers, *searcher.nearest(asked, r), mapped, K)[1], right))
        size = 8 * gallery.shape[1] + mapped.shape[1]
        print(f"{kind:<8}{bits:>5}{size:>7}" + "".join(f"{share:>8.3f}" for share in shares), flush=True)


def print_times(
    codes: Codes, numbers: NDArray[np.int16], mapped: NDArray[np.int8], path: Path, settings: argparse.Namespace,
    refined: Sequence[Callable[[NDArray[np.int64], int], object]],
) -> None:  # fmt: skip
    """A row for each number of candidates."""
    searcher, count = hamming.Searcher(codes.gallery), len(numbers)
    searcher.nearest(codes.asked, K)
    for r in settings.rescore:
        cells = []
        for q in (1, min(MANY, count)):

            def near(chosen: NDArray[np.int64], k: int = r) -> tuple[NDArray[np.int32], NDArray[np.int64]]:
                return searcher.nearest(codes.asked[chosen], k, threads=1)

            found = near(np.arange(count))
            rescored(numbers, *found, mapped, K)  # what is asked for lies in memory
            asks: list[Callable[[NDArray[np.int64]], object]] = [
                lambda chosen, near=near: near(chosen, K), near,
                lambda chosen, found=found: rescored(
                    numbers[chosen], found[0][chosen], found[1][chosen], mapped, K
                ),
            ]  # fmt: skip
            asks += [lambda chosen, r=r, ask=ask: ask(chosen, r) for ask in refined]
            plain, more, vectors, *peer = times(asks, q, count)
            cells.append(f"{more[0] - plain[0]:>9.3f}{vectors[RUNS // 2]:>9.3f}")
            cells += [f"{own[0] / (more[0] + vectors[0]):>9.1f}" for own in peer]
        slow = cold(path, mapped, lambda found=found: rescored(numbers[:1], found[0][:1], found[1][:1], mapped, K))
        print(f"{codes.bits:>5}{r:>6}" + "".join(cells) + f"{slow:>9.2f}", flush=True)
    found = searcher.nearest(codes.asked, min(CANDIDATES, len(mapped)), threads=1)
    alike = 1 - 2 * found[0] / codes.bits
    asks = [
        lambda chosen: rescored(numbers[chosen], found[0][chosen], found[1][chosen], mapped, K),
        lambda chosen: rescored(
            numbers[chosen], found[0][chosen], found[1][chosen], mapped, K, expand=EXAMPLES, likeness=alike[chosen]
        ),
    ]  # fmt: skip
    asks[0](np.arange(count))  # what was cold lies in memory again
    for q in (1, min(MANY, count)):
        vectors, examples = (took[RUNS // 2] for took in times(asks, q, count))
        print(f"of {q} at once, {codes.bits} bits: {found[0].shape[1]} candidates take {vectors:.2f} ms a query, "
              f"with {EXAMPLES} as examples {examples:.2f}", flush=True)  # fmt: skip


def benchmark(drawn: Drawn, folder: Path, settings: argparse.Namespace) -> None:
    """Write, search, and print both tables."""
    path, asked = folder / "vectors.bin", drawn.some(10**9, settings.queries)
    numbers = whole_numbers(asked, np.int16)
    recall = "recall" in settings.parts
    every = write_drawn(drawn, asked, path, settings) if recall else write_random(drawn, path, settings)
    mapped = np.memmap(path, np.int8, "r").reshape(-1, drawn.dim).view(np.ndarray)
    read_scattered(mapped)
    if recall:
        print_recall(every, truth(drawn, asked), numbers, mapped, settings)
    if "times" not in settings.parts:
        return
    ways = ("one", f"of {MANY}")
    peers = [f"{name:>9}" for name in ("LSH", "PQ") if settings.faiss]
    print(
        f"{'bits':>5}{'R':>6}"
        + "".join(f"{f'codes,{way}':>9}{'vectors':>9}{''.join(peers)}" for way in ways)
        + "     cold"
    )
    for codes in every:
        if codes.kind == "random":
            searches = faiss_refined(drawn, codes.bits).values() if settings.faiss else ()
            asks = [lambda chosen, r, search=search: search(asked[chosen], r) for search in searches]
            print_times(codes, numbers, mapped, path, settings, asks)


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
    parser.add_argument("--parts", nargs="+", default=["recall", "times"], choices=("recall", "times"))
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
        benchmark(drawn, Path(folder), settings)
    return 0


if __name__ == "__main__":
    sys.exit(main())
