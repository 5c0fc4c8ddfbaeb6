"""What each order of hits finds, in each direction: class mAP, and mR of true pairs (R@1, 5, 10), in percent.

    python examples/orders.py ready --data data/ucm --split val                   captions as texts
    python examples/orders.py runs/plus --split val --kind sound                  a model that takes no texts

By the bits; by bits that are weighed; the 1,000 nearest by their vectors; and as ``dtbh search`` orders, with the first
20 as examples. Ties are averaged over all orders. An image that asks for images is no hit of its own.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray
from own_words import arguments, keep, precisions
from pair_retrieval import hits, typed

from dtbh.codes import HashCodes
from dtbh.index.memory import MemoryIndex
from dtbh.models.load import load
from dtbh.search.ranking import BEST, BY_BITS, CANDIDATES, Ranking
from dtbh.stages.inputs import absolute, manifest_for, of_split

ORDERS = {"bits": BY_BITS, "weighed": Ranking(asymmetric=True), "vectors": Ranking(CANDIDATES), "examples": BEST[0]}


def distances(asked: HashCodes, gallery: HashCodes, order: Ranking) -> NDArray[np.float64]:
    """Of each query to each of the gallery, [q, n], by an order."""
    found = MemoryIndex(gallery).search(asked, len(gallery), find="any", **order.arguments())
    far = np.empty(found.rows.shape)
    by = found.distances if found.similarities is None else -found.similarities
    np.put_along_axis(far, found.rows, by.astype(np.float64), axis=1)
    return far


def main() -> None:
    """Print a line for each direction and order."""
    parser = arguments(str(__doc__))
    parser.add_argument("--kind", choices=("text", "sound"), default="text", help="what meets the images")
    args = parser.parse_args()
    model = load(args.run)
    manifest, protocol = manifest_for(model, args.data)
    items = of_split(manifest, args.split)
    images = [absolute(manifest, item) for item in items if item.modality == "image"]
    sounds = [item for item in items if item.modality == "sound"]
    others = typed(sounds) if args.kind == "text" else [absolute(manifest, item) for item in sounds]
    seen, told = (
        replace(model.encode(part, stored=True, vectors=True, wordless=True).codes, items=tuple(part))
        for part in (images, others)
    )
    print(f"{protocol}, {args.split}: {len(images)} images, {len(others)} {args.kind}s; class mAP, and mR in percent")
    found: dict[str, dict[str, dict[str, float]]] = {}
    for way, asked, gallery in (
        (f"{args.kind}->image", told, seen), (f"image->{args.kind}", seen, told), ("image->image", seen, seen),
    ):  # fmt: skip
        labels, pairs = (
            np.array([getattr(item, name) for item in asked.items])[:, None]
            == np.array([getattr(item, name) for item in gallery.items])
            for name in ("label", "pair")
        )
        found[way] = {}
        for name, order in ORDERS.items():
            far, right = distances(asked, gallery, order), labels
            if asked is gallery:  # what is left out is no hit, and comes last
                others_alone = ~np.eye(len(asked), dtype=np.bool_)
                far, right = (part[others_alone].reshape(len(asked), -1) for part in (far, labels))
            asks = right.any(axis=1)
            figures = {"map": float(precisions(far[asks], right[asks]).mean())}
            if asked is not gallery:
                figures["mR"] = float(np.mean(hits(far, pairs)))
            found[way][name] = figures
        print(f"{way:14}" + "   ".join(f"{name} " + ", ".join(f"{x:.3f}" if key == "map" else f"{x:.1f}"
              for key, x in figures.items()) for name, figures in found[way].items()))  # fmt: skip
    keep(found, args.json)


if __name__ == "__main__":
    main()
