"""How fast is exact Hamming search, beside FAISS, usearch and Milvus Lite, and beside what memory gives?

    python examples/benchmark_search.py                   everything, about a quarter of an hour
    python examples/benchmark_search.py --codes 10 --bits 64
    python examples/benchmark_search.py --quick           a small run, to see that it works

All sides search the same codes for the same queries with the same number of threads, in turns; each cell is the best
of some runs, in milliseconds for all queries together. It is processor time divided by threads, so that other programs
don't count (of Milvus Lite that of its process too), or with ``--wall`` time on the clock. Distances
are compared, and ids wherever a distance is not tied; it exits with 1 where they differ. "of copy" is how fast one
query gets through the codes, as a part of what a plain copy reads and writes on as many threads; codes that fit in a
cache may get beyond it. FAISS has two ways (``use_heap``); the ratio is to the quicker one.

Kinds of codes: random; trained-like (30 clusters, 1 bit in 32 flipped); few (5,000 distinct trained-like codes). The
searcher has had as many queries as it takes to learn whether grouping pays; what that took is printed.
"""

from __future__ import annotations

import os

os.environ["OMP_WAIT_POLICY"] = "passive"  # before FAISS is imported: waiting threads take no processor time

import argparse
import contextlib
import functools
import importlib
import itertools
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from dtbh.index.hamming import adaptive
from dtbh.index.hamming import search as hamming
from dtbh.index.hamming.rows import choose

Words = NDArray[np.uint64]
Answer = tuple[NDArray[np.int64], NDArray[np.int64]]  # distances and rows, [q, k]
Search = Callable[[], Answer]
FEW, CLUSTERS = 5000, 30
SLOW = 200_000_000  # distances: usearch takes some 40 ns for each
QUICK = {"codes": [0.05], "kinds": ["random", "few"], "bits": [64], "queries": [1, 8], "k": [10], "threads": [1],
         "milvus": 0, "runs": 2}  # fmt: skip
COLUMNS = ("dtbh", "FAISS", "FAISS heap", "usearch", "Milvus Lite")


def make_codes(kind: str, n: int, bits: int, rng: np.random.Generator) -> Words:
    """Codes of a kind, uint64 [n, words], and those who ask after them: the first rows are as good as any."""
    words = -(-bits // 64)
    if kind == "random":
        codes = rng.integers(0, 2**64, (n, words), np.uint64)
    else:
        count = n if kind == "trained-like" else FEW
        codes = rng.integers(0, 2**64, (CLUSTERS, words), np.uint64)[rng.integers(0, CLUSTERS, count)]
        flips = rng.integers(0, 2**64, codes.shape, np.uint64)
        for _ in range(4):  # one bit in 32 stays set
            flips &= rng.integers(0, 2**64, codes.shape, np.uint64)
        codes ^= flips
        codes = codes if kind == "trained-like" else codes[rng.integers(0, FEW, n)]
    codes[:, -1] >>= np.uint64(-bits % 64)
    return codes


def as_bytes(words: Words, bits: int) -> NDArray[np.uint8]:
    """The same codes as FAISS and usearch take them: uint8 [n, bits / 8]."""
    return np.ascontiguousarray(words.view(np.uint8)[:, : bits // 8])


@functools.cache
def peer(name: str) -> object | None:
    """The module of a peer, or None where it is not installed."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return importlib.import_module(name)
    except ImportError:
        print(f"{name} is not installed and left out: pip install 'dtbh[peers,milvus]'")
        return None


def with_faiss(codes: NDArray[np.uint8]) -> Callable[[NDArray[np.uint8], int, int, bool], Answer] | None:
    """Search by FAISS's flat index, in the way that is asked for."""
    if (faiss := peer("faiss")) is None:
        return None
    index = faiss.IndexBinaryFlat(8 * codes.shape[1])
    index.add(codes)

    def search(queries: NDArray[np.uint8], k: int, threads: int, use_heap: bool) -> Answer:
        faiss.omp_set_num_threads(threads)
        index.use_heap = use_heap
        return index.search(queries, k)

    return search


def with_usearch(codes: NDArray[np.uint8], queries: NDArray[np.uint8], k: int, threads: int) -> Answer:
    """Search by usearch, exactly."""
    usearch = peer("usearch.index")
    found = usearch.search(
        codes, queries, k, usearch.MetricKind.Hamming, exact=True, threads=threads, dtype=usearch.ScalarKind.B1
    )
    shape = (len(queries), k)
    return np.asarray(found.distances).reshape(shape).astype(np.int64), found.keys.reshape(shape).astype(np.int64)


def with_milvus(codes: NDArray[np.uint8], folder: str) -> Callable[[NDArray[np.uint8], int], Answer]:
    """Search by Milvus Lite's flat index; it decides on threads by itself."""
    milvus = peer("pymilvus")
    client = milvus.MilvusClient(str(Path(folder) / "milvus.db"))
    schema, index = client.create_schema(auto_id=False), client.prepare_index_params()
    schema.add_field("row", milvus.DataType.INT64, is_primary=True)
    schema.add_field("code", milvus.DataType.BINARY_VECTOR, dim=8 * codes.shape[1])
    index.add_index("code", index_type="BIN_FLAT", metric_type="HAMMING")
    client.create_collection("codes", schema=schema, index_params=index)
    for start in range(0, len(codes), 10_000):
        part = codes[start : start + 10_000]
        client.insert("codes", [{"row": start + i, "code": code.tobytes()} for i, code in enumerate(part)])

    def search(queries: NDArray[np.uint8], k: int) -> Answer:
        data = [query.tobytes() for query in queries]
        found = client.search("codes", data, limit=k, search_params={"metric_type": "HAMMING"})
        distances = np.array([[int(hit["distance"]) for hit in hits] for hits in found])
        return distances, np.array([[hit["id"] for hit in hits] for hits in found])

    return search


def same(answer: Answer, wanted: Answer) -> bool:
    """Whether distances are equal, and rows wherever a distance occurs once and is not the last."""
    if not np.array_equal(answer[0], wanted[0]):
        return False
    tied = wanted[0] == wanted[0][:, -1:]
    equal = wanted[0][:, 1:] == wanted[0][:, :-1]
    tied[:, 1:] |= equal
    tied[:, :-1] |= equal
    return bool((tied | (np.asarray(answer[1]) == wanted[1])).all())


def measure(
    searches: Mapping[str, Callable[[], object]], threads: int, runs: int, wall: bool = False
) -> dict[str, float]:
    """Milliseconds of each, the best of some runs in turns; short ones are run more often."""
    best = dict.fromkeys(searches, float("inf"))
    for run in range(runs):
        for name, search in searches.items():
            for _ in range(1 if not run else int(np.clip(20 / best[name], best[name] < 3000, 50))):
                clock = time.perf_counter if wall else both_processes if name == "Milvus Lite" else time.process_time
                share = 1 if wall else threads
                start = clock()
                search()
                best[name] = min(best[name], 1000 * (clock() - start) / share)
    return best


def both_processes() -> float:
    """Seconds of processor time that this process and those it has started have taken."""
    total = time.process_time()
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):  # it has ended
            if int((folder / "stat").read_text().rsplit(")", 1)[1].split()[1]) == os.getpid():
                total += sum(int(task.read_text().split()[0]) for task in folder.glob("task/*/schedstat")) / 1e9
    return total


def copy_speed(threads: int, wall: bool) -> float:
    """Bytes read and written in a second by a plain copy of 256 MB on so many threads."""
    source, target = np.ones(1 << 25), np.ones(1 << 25)
    parts = [slice(len(source) * i // threads, len(source) * (i + 1) // threads) for i in range(threads)]
    with ThreadPoolExecutor(threads) as pool:

        def copy() -> None:
            list(pool.map(lambda part: np.copyto(target[part], source[part]), parts))

        return 2 * source.nbytes / measure({"copy": copy}, threads, 15, wall)["copy"] * 1000


def learn(searcher: hamming.Searcher, queries: Words, codes: Words) -> str:
    """Ask until the searcher knows whether grouping pays; says what it came to."""
    due = adaptive.due(choose(codes, None))
    due = adaptive.GROUPING if due == adaptive.NEVER else due
    calls = int(due) // (adaptive.FETCHING + len(queries)) + 2
    times = []
    for _ in range(calls):
        start = time.process_time()
        searcher.nearest(queries, 10)
        times.append(time.process_time() - start)
    if searcher.distinct is None:
        return "grouping does not pay"
    return f"grouped into {searcher.distinct:,} after {calls - 1} calls, in {max(times[1:]):.2f} s"


def rows_of(
    codes: Words, kind: str, bits: int, settings: argparse.Namespace, copies: dict[int, float]
) -> tuple[str, bool]:
    """Print the rows of the table for one code set; what the searcher learned, and whether all answers agreed."""
    rng = np.random.default_rng(1)
    queries = codes[rng.integers(0, len(codes), max(settings.queries))].copy()
    queries[::2] ^= np.uint64(0b10010001)  # half of them stand nowhere
    searcher = hamming.Searcher(codes)
    learned = f"{kind}, {len(codes):,} codes of {bits} bits: {learn(searcher, queries, codes)}"
    packed, asked = as_bytes(codes, bits), as_bytes(queries, bits)
    flat, agreed = with_faiss(packed), True
    with tempfile.TemporaryDirectory() as folder:
        milvus = with_milvus(packed, folder) if len(codes) <= settings.milvus and peer("pymilvus") else None
        for threads in settings.threads:
            for q in settings.queries:
                for k in settings.k:
                    ask, ask_packed = queries[:q], asked[:q]
                    searches: dict[str, Search] = {"dtbh": functools.partial(searcher.nearest, ask, k, threads=threads)}
                    if flat is not None:
                        searches["FAISS"] = functools.partial(flat, ask_packed, k, threads, False)
                        searches["FAISS heap"] = functools.partial(flat, ask_packed, k, threads, True)
                    if peer("usearch.index") is not None and q * len(codes) <= SLOW:
                        searches["usearch"] = functools.partial(with_usearch, packed, ask_packed, k, threads)
                    if milvus is not None:
                        searches["Milvus Lite"] = functools.partial(milvus, ask_packed, k)
                    wanted = searches["dtbh"]()
                    for name, search in searches.items():
                        if not same(search(), wanted):
                            print(f"  {name} gives other answers: {kind}, {len(codes)}, {bits}, {q}, {k}")
                            agreed = False
                    took = measure(searches, threads, settings.runs, settings.wall)
                    cells = [f"{took[name]:>12.2f}" if name in took else f"{'':>12}" for name in COLUMNS]
                    quicker = min((took[name] for name in COLUMNS[1:3] if name in took), default=float("nan"))
                    rate = codes.nbytes / took["dtbh"] * 1000 / copies[threads]
                    share = f"{rate:>8.0%}" if q == 1 and searcher.distinct is None else f"{'':>8}"
                    print(
                        f"{len(codes) / 1e6:>6.2f}M {kind:<13}{bits:>4}{q:>4}{k:>5}{threads:>4}"
                        + "".join(cells) + f"{quicker / took['dtbh']:>9.1f}{share}", flush=True
                    )  # fmt: skip
    return learned, agreed


def radius_rows(n: int, settings: argparse.Namespace) -> bool:
    """Print the rows of the table for radii; whether all answers agreed.

    They are of random codes of 64 bits, one thread, and FAISS's hashes made to be exact.
    """
    if (faiss := peer("faiss")) is None:
        return True
    rng = np.random.default_rng(2)
    codes = make_codes("random", n, 64, rng)
    queries = codes[rng.integers(0, n, max(settings.queries))] ^ np.uint64(0b10010001)
    packed, asked = as_bytes(codes, 64), as_bytes(queries, 64)
    flat, single, multi = (
        faiss.IndexBinaryFlat(64),
        faiss.IndexBinaryHash(64, 16),
        faiss.IndexBinaryMultiHash(64, 4, 16),
    )
    for index in (flat, single, multi):
        index.add(packed)
    faiss.omp_set_num_threads(1)
    searcher, agreed = hamming.Searcher(codes), True
    before = measure({"dtbh": lambda: searcher.within(queries, 3, threads=1)}, 1, 3)["dtbh"]
    for _ in range(2 * adaptive.LISTING // (adaptive.FETCHING + len(queries))):
        searcher.within(queries, 3, threads=1)
    tables = f"{before:.2f} ms before tables" if searcher.tabled else "no tables"
    for radius in (1, 3, 5):
        single.nflip, multi.nflip = radius, radius // 4  # then no code within the radius can be missed
        searches = {
            "dtbh": functools.partial(searcher.within, queries, radius, threads=1),
            "Flat": functools.partial(flat.range_search, asked, radius + 1),  # FAISS wants distances below it
            "Hash": functools.partial(single.range_search, asked, radius + 1),
            "MultiHash": functools.partial(multi.range_search, asked, radius + 1),
        }
        wanted = [sorted(zip(d.tolist(), r.tolist(), strict=True)) for d, r in searches["dtbh"]()]
        for name in ("Flat", "Hash", "MultiHash"):
            ends, distances, rows = searches[name]()
            pairs = [(int(d), int(r)) for d, r in zip(distances, rows, strict=True)]
            if [sorted(pairs[start:stop]) for start, stop in itertools.pairwise(ends)] != wanted:
                print(f"  FAISS {name} gives other answers within {radius}")
                agreed = False
        took = measure(searches, 1, settings.runs, settings.wall)
        cells = "".join(f"  {name} {took[name]:.2f} ms ({took[name] / took['dtbh']:.1f}x)" for name in searches)
        print(f"{n / 1e6:>6.2f}M random        64{len(queries):>4}  r<={radius}   1{cells}  ({tables})", flush=True)
    return agreed


def peak_line(kind: str, n: int, bits: int) -> str:
    """Memory that searching takes beside what the process had, codes included: in a process of its own."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "codes.npy"
        np.save(path, make_codes(kind, n, bits, np.random.default_rng(0)))
        run = subprocess.run([sys.executable, "-c", PEAK, str(path)], capture_output=True, text=True, check=True)
    return f"{kind}, {n:,} codes of {bits} bits, memory-mapped, 64 queries, k = 100: {run.stdout.strip()}"


PEAK = """
import sys, numpy as np
from dtbh.index.hamming import grouping
from dtbh.index.hamming import search as hamming
from dtbh.index.hamming.rows import choose

def memory(name):
    return next(1024 * int(line.split()[1]) for line in open("/proc/self/status") if line.startswith(name))

hamming.WORTH = 1
small = np.random.default_rng(0).integers(0, 2**64, (70_000, np.load(sys.argv[1], mmap_mode="r").shape[1]), np.uint64)
hamming.nearest(small[:64], small, 100)  # the compiler and its code are what the process had
groups = grouping.group(choose(np.tile(small[:50], (20, 1)), None))
groups.nearest((np.zeros((1, 1), np.int32), np.zeros((1, 1), np.int64)), 20)
codes = np.load(sys.argv[1], mmap_mode="r").view(np.ndarray)
open("/proc/self/clear_refs", "w").write("5")
before, searcher = memory("VmRSS"), hamming.Searcher(codes)
first = searcher.nearest(small[:64], 100) and memory("VmHWM") - before
for _ in range(40):
    searcher.nearest(small[:64], 100)
after, size = memory("VmHWM") - before, codes.nbytes
learned = "" if searcher.distinct is None else f"; {after / size:.2f} with grouping"
print(f"{first / size:.2f} times the codes{learned}")
"""


def main() -> int:
    """Run the benchmark and print its table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--codes", type=float, nargs="+", default=[0.1, 1, 10], help="in millions")
    parser.add_argument("--kinds", nargs="+", default=["random", "trained-like", "few"])
    parser.add_argument("--bits", type=int, nargs="+", default=[32, 64, 128])
    parser.add_argument("--queries", type=int, nargs="+", default=[1, 64])
    parser.add_argument("--k", type=int, nargs="+", default=[10, 100])
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--milvus", type=int, default=100_000, help="Milvus Lite is asked up to so many codes")
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--wall", action="store_true", help="time on the clock: for a quiet machine")
    parser.add_argument("--quick", action="store_true", help="a small run, without Milvus Lite")
    settings = parser.parse_args()
    if settings.quick:
        parser.set_defaults(**QUICK)
        settings = parser.parse_args()
    hamming.WORTH = 1  # all is compiled, and this compiles it
    adaptive.grouping.group(choose(np.zeros((100, 1), np.uint64), None))
    copies = {threads: copy_speed(threads, settings.wall) for threads in settings.threads}
    print("; ".join(f"a plain copy on {t} threads reads and writes {s / 1e9:.1f} GB/s" for t, s in copies.items()))
    head = "".join(f"{name:>12}" for name in COLUMNS)
    print(f"{'codes':>7} {'kind':<13}{'bits':>4}{'q':>4}{'k':>5}{'thr':>4}{head}{'x FAISS':>9}{'of copy':>8}")
    notes, agreed = [], True
    for millions in settings.codes:
        n = round(1e6 * millions)
        for kind in settings.kinds:
            for bits in settings.bits:
                codes = make_codes(kind, n, bits, np.random.default_rng(0))
                learned, right = rows_of(codes, kind, bits, settings, copies)
                notes, agreed = [*notes, learned], agreed and right
    agreed &= radius_rows(min(1_000_000, n), settings)
    if Path("/proc/self/clear_refs").exists():
        notes += [peak_line(kind, n, max(settings.bits)) for kind in settings.kinds]
    print(*notes, sep="\n")
    return 0 if agreed else 1


if __name__ == "__main__":
    sys.exit(main())
