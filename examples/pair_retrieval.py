"""The field's table of image-text retrieval: R@1, 5, 10 of the true pair both ways, and mR, in percent.

    python examples/pair_retrieval.py runs/any-words-rsicd --split val
    python examples/pair_retrieval.py runs/any-words-rsicd --split test --kind sound --json figures.json

Five captions an image: a caption has one right image, an image is right with any of its captions. Four rankings: by the
codes; by real queries against codes; the nearest codes ordered by vectors (``--rescore``); and by vectors alone, which
bounds what codes can keep. Ties are averaged over all orders.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray
from own_words import arguments, keep

from dtbh.codes import HashCodes, unpack
from dtbh.data.manifest import Item
from dtbh.data.transcripts import said
from dtbh.evaluation.metrics.pairs import AT
from dtbh.models.encoder import Encoding
from dtbh.models.load import load
from dtbh.stages.inputs import absolute, manifest_for, of_split

Floats = NDArray[np.float64]
FAR = 1e9  # beyond every distance


def hits(distances: Floats, right: NDArray[np.bool_]) -> list[float]:
    """R@k in percent, over all orders of ties.

    Args:
        distances: Of queries to gallery, [q, n].
        right: Which of the gallery are a query's own, bool [q, n].
    """
    nearest = np.where(right, distances, np.inf).min(axis=1, keepdims=True)
    before = (distances < nearest).sum(axis=1)
    tied = (distances == nearest).sum(axis=1)
    own = ((distances == nearest) & right).sum(axis=1)
    found = []
    for k in AT:
        places = np.minimum(k - before, tied)
        missed = np.ones(len(distances))
        for place in range(int(max(0, places.max()))):  # no own item on any of the places that are left
            share = np.maximum(tied - own - place, 0) / np.maximum(tied - place, 1)
            missed = np.where(place < places, missed * share, missed)
        found.append(100 * float((1 - missed).mean()))
    return found


def rankings(asked: Encoding, gallery: HashCodes, rescore: int) -> dict[str, Callable[[], Floats]]:
    """Distances of each query to each of the gallery, by what is ranked by."""
    queries = asked.codes
    assert asked.values is not None
    signs = [np.where(unpack(codes.words, codes.bits), 1.0, -1.0) for codes in (queries, gallery)]
    assert queries.vectors is not None
    assert gallery.vectors is not None
    vectors = [codes.vectors / np.linalg.norm(codes.vectors, axis=1, keepdims=True) for codes in (queries, gallery)]

    def by_codes() -> Floats:
        return (queries.bits - signs[0] @ signs[1].T) / 2

    def by_vectors() -> Floats:
        return np.asarray(-np.round(vectors[0] @ vectors[1].T, 9))

    def by_both() -> Floats:
        near, exact = by_codes(), by_vectors()
        last = np.sort(near, axis=1)[:, min(rescore, near.shape[1]) - 1, None]
        return np.where(near <= last, exact, FAR)

    return {
        f"{queries.bits} bits": by_codes,
        "real query": lambda: np.asarray(-np.round(asked.values @ signs[1].T, 9)),
        f"rescored {rescore}": by_both,
        "vectors": by_vectors,
    }


def typed(items: Iterable[Item]) -> list[Item]:
    """Every caption as a text, as often as it is given."""
    told = [item for item in items if item.modality == "sound" and said(item)]
    return [replace(item, id=f"{item.id}.txt", modality="text", path=None) for item in told]


def main() -> None:
    """Print a line for each ranking."""
    parser = arguments(str(__doc__))
    parser.add_argument("--kind", choices=("text", "sound"), default="text", help="what meets the images")
    parser.add_argument("--rescore", type=int, default=200, help="candidates whose vectors order them")
    args = parser.parse_args()
    model = load(args.run)
    manifest, protocol = manifest_for(model, args.data)
    items = of_split(manifest, args.split)
    images = [absolute(manifest, item) for item in items if item.modality == "image"]
    others = (
        typed(items)
        if args.kind == "text"
        else [absolute(manifest, item) for item in items if item.modality == "sound"]
    )
    seen, told = (
        model.encode(part, stored=True, values=True, vectors=True, wordless=True) for part in (images, others)
    )
    right = np.array([item.pair for item in others])[:, None] == np.array([item.pair for item in images])
    ways = {
        f"{args.kind}->image": (rankings(told, seen.codes, args.rescore), right),
        f"image->{args.kind}": (rankings(seen, told.codes, args.rescore), right.T),
    }
    print(f"{protocol}, {args.split}: {len(images)} images, {len(others)} {args.kind}s; R@1, 5, 10 and mR, percent")
    found = {}
    for name in next(iter(ways.values()))[0]:
        both = {way: hits(ranked[name](), own) for way, (ranked, own) in ways.items()}
        mean = float(np.mean([*both.values()]))
        found[name] = {**both, "mR": mean}
        print(f"{name:14}" + "  ".join(f"{way} " + " ".join(f"{hit:5.1f}" for hit in both[way]) for way in both)
              + f"  mR {mean:5.1f}")  # fmt: skip
    keep(found, args.json)


if __name__ == "__main__":
    main()
