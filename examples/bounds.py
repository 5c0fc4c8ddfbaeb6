"""What bounds a run's retrieval: its bits, its vectors, its eye, or the captions themselves.

    python examples/bounds.py runs/any-words-rsicd --split test

A line for each ranking of ``pair_retrieval.py`` (bits; a real query against bits; vectors), typed captions, five an
image: class mAP both ways, and mR of the true pair. The last one has every image stand as the mean of what is said of
it, in the sentence encoder's own space, the caption that asks left out: what an eye could give that sees what people
tell. Then the mR of whoever knows all captions by heart, where images that are told alike tie; and the share of images
whose class a linear probe of the backbone's features names, learned from the training split.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray
from own_words import arguments, keep, precisions
from pair_retrieval import Floats, hits, rankings, typed

from dtbh.data.manifest import Item, Manifest
from dtbh.models.load import load
from dtbh.models.start import Start, start_of
from dtbh.stages.inputs import absolute, manifest_for, of_split
from dtbh.training.sentence_space import classifier

Bools = NDArray[np.bool_]


def class_map(distances: Floats, right: Bools) -> float:
    """Mean average precision of rankings by real distances, [q, n], ties averaged over all orders."""
    return float(precisions(distances, right).mean())


def by_captions(texts: Floats, own: Bools) -> Floats:
    """Distances of captions, [q, d], to images that stand as the mean of their other captions; own is [q, n]."""
    sums, counts = own.T @ texts, own.sum(axis=0)
    whole = texts @ (sums / np.linalg.norm(sums, axis=1, keepdims=True)).T
    image = own.argmax(axis=1)
    left = sums[image] - texts
    without = np.einsum("qd,qd->q", texts, left) / np.maximum(np.linalg.norm(left, axis=1), 1e-12)
    alone = counts[image] < 2
    whole[np.arange(len(texts)), image] = np.where(alone, -1.0, without)
    return np.asarray(-np.round(whole, 9))


def by_heart(texts: Sequence[str], own: Bools) -> tuple[Floats, Floats]:
    """Distances of captions to images and of images to captions, [q, n] and [n, q], where all captions are known.

    A caption is met by all images of which just this is said; an image by captions, those first that are most its own.
    """
    words, place, total = np.unique(texts, return_inverse=True, return_counts=True)
    counts = np.zeros((own.shape[1], len(words)))
    np.add.at(counts, (own.argmax(axis=1), place), 1)
    return np.where(counts > 0, 0.0, 1.0).T[place], -(counts / total)[:, place]


def met(manifest: Manifest, items: Sequence[Item]) -> tuple[list[Item], list[Item], Bools, Bools]:
    """The images of a split, its captions as texts, and which of them, [texts, images], are a pair, or of a class."""
    images = [absolute(manifest, item) for item in items if item.modality == "image"]
    texts = typed(items)
    own, alike = (
        np.array([getattr(item, of) for item in texts])[:, None] == np.array([getattr(item, of) for item in images])
        for of in ("pair", "label")
    )
    return images, texts, own, alike


def probed(eye: Start, learned: Sequence[Item], asked: Sequence[Item]) -> float:
    """The share of images that a linear probe names right."""
    names = sorted({str(item.label) for item in learned})
    x, y = eye.outputs(learned), np.array([names.index(str(item.label)) for item in learned])
    weight, bias = classifier(x, y, 1e-4)
    guessed = (eye.outputs(asked) @ weight.T + bias).argmax(axis=1)
    return float(np.mean([names[place] == item.label for place, item in zip(guessed, asked, strict=True)]))


def main() -> None:
    """Print the table."""
    args = arguments(str(__doc__)).parse_args()
    model, eye = load(args.run), start_of(args.run)
    manifest, protocol = manifest_for(model, args.data)
    items = of_split(manifest, args.split)
    images, texts, own, alike = met(manifest, items)
    seen, told = (model.encode(part, stored=True, values=True, vectors=True) for part in (images, texts))
    meant = by_captions(eye.outputs(texts), own)
    ways: dict[str, tuple[Callable[[], Floats], Callable[[], Floats]]] = {
        name: (there, rankings(seen, told.codes, 0)[name])
        for name, there in rankings(told, seen.codes, 0).items()
        if not name.startswith("rescored")
    }
    ways["captions"] = (lambda: meant, lambda: np.ascontiguousarray(meant.T))
    print(f"{protocol}, {args.split}: {len(images)} images, {len(texts)} texts; class mAP both ways, mR in percent")
    found: dict[str, object] = {}
    for name, (there, back) in ways.items():
        ranked = [(there(), own, alike), (back(), own.T, alike.T)]
        of_class = [class_map(distances, same) for distances, _, same in ranked]
        mean = float(np.mean([hits(distances, pair) for distances, pair, _ in ranked]))
        found[name] = {"class": of_class, "mR": mean}
        print(f"{name:14} class mAP {of_class[0]:.3f} / {of_class[1]:.3f}  mR {mean:5.1f}")
    there, back = by_heart([str(item.transcript) for item in texts], own)
    found["by heart"] = float(np.mean([hits(there, own), hits(back, own.T)]))
    print(f"known by heart: mR {found['by heart']:.1f}")
    learned = [absolute(manifest, i) for i in of_split(manifest, "train") if i.modality == "image"]
    found["probe"] = probed(eye, learned, images)
    print(f"classes named by a linear probe: {found['probe']:.3f}")
    keep(found, args.json)


if __name__ == "__main__":
    main()
