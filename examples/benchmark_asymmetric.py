"""What it brings, and what it costs, to let each bit count as much as the query is sure of it.

    python examples/benchmark_asymmetric.py               a million vectors, some minutes
    python examples/benchmark_asymmetric.py --quick       a small run, to see that it works

Vectors, codes and what is right are those of ``benchmark_rescore.py``. A cell is the share of the ten nearest by cosine
that is found by the bits; by asymmetric distance; and by FAISS's ``IndexPQFastScan`` of as many bytes a code, which
learns its codes from the vectors.

Times are milliseconds a query of processor time on one thread, the least of 15 runs in turns, of one query and of 64 at
once; "x" is how many times as long ``IndexPQFastScan`` takes as the asymmetric search.
"""

from __future__ import annotations

import argparse
import importlib
import sys

import numpy as np
from benchmark_rescore import MANY, Drawn, K, coded, kept, projection, times, truth
from numpy.typing import NDArray

from dtbh.codes import bit_weights
from dtbh.index.hamming.search import Searcher


def main() -> int:
    """Run the benchmark and print its table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--vectors", type=float, default=1, help="how many, in millions")
    parser.add_argument("--dim", type=int, default=256, help="numbers of a vector")
    parser.add_argument("--clusters", type=int, default=1000)
    parser.add_argument("--within", type=int, default=32, help="directions in which those of a cluster differ")
    parser.add_argument("--queries", type=int, default=100)
    parser.add_argument("--bits", type=int, nargs="+", default=[64, 128, 256])
    parser.add_argument("--codes", nargs="+", default=["random", "pca"], choices=("random", "pca"))
    parser.add_argument("--no-faiss", dest="faiss", action="store_false")
    parser.add_argument("--quick", action="store_true")
    settings = parser.parse_args()
    if settings.quick:
        settings.vectors, settings.queries, settings.bits = 0.01, 20, [64]
    faiss = importlib.import_module("faiss") if settings.faiss else None
    drawn = Drawn(int(1e6 * settings.vectors), settings.dim, settings.clusters, settings.within)
    asked = drawn.some(10**9, settings.queries)
    right = truth(drawn, asked)
    ways = ("bits", "weighed", "PQ") if faiss else ("bits", "weighed")
    heads = "".join(f"{f'{way}, {count}':>12}" for count in (1, MANY) for way in ways)
    print(f"{'codes':<8}{'bits':>5}" + "".join(f"{way:>9}" for way in ways) + f"{heads}   times PQ")
    for kind in settings.codes:
        for bits in settings.bits:
            peer = None
            if faiss is not None:
                faiss.omp_set_num_threads(1)
                peer = faiss.IndexPQFastScan(drawn.dim, bits // 4, 4)
                peer.train(next(drawn.blocks())[1])
            mean, across = of = projection(kind, next(drawn.blocks())[1][:20_000], bits)
            gallery = np.empty((drawn.count, -(-bits // 64)), np.uint64)
            for start, vectors in drawn.blocks():
                gallery[start : start + len(vectors)] = coded(vectors, of)
                if peer is not None:
                    peer.add(vectors)
            queries, weights, searcher = coded(asked, of), bit_weights((asked - mean) @ across), Searcher(gallery)

            def plain(chosen: NDArray[np.int64]) -> NDArray[np.int64]:
                return searcher.nearest(queries[chosen], K, threads=1)[1]  # noqa: B023

            def weighed(chosen: NDArray[np.int64]) -> NDArray[np.int64]:
                return searcher.asymmetric(queries[chosen], weights[chosen], K, threads=1)[1]  # noqa: B023

            def other(chosen: NDArray[np.int64]) -> NDArray[np.int64]:
                return np.asarray(peer.search(asked[chosen], K)[1])  # noqa: B023

            asks = [plain, weighed, other][: len(ways)]
            shares = [kept(ask(np.arange(len(asked))), right) for ask in asks]
            took = [[own[0] for own in times(asks, count, len(asked))] for count in (1, min(MANY, len(asked)))]
            cells = "".join(f"{own:>12.3f}" for row in took for own in row)
            ratio = "".join(f"{row[2] / row[1]:>6.1f}" for row in took) if peer is not None else ""
            print(f"{kind:<8}{bits:>5}" + "".join(f"{share:>9.3f}" for share in shares) + cells + ratio, flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
