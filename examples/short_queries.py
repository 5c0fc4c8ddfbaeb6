"""Do a few spoken words find what a whole caption finds?

    cp -r data/ucm data/ucm-short && dtbh speak data/ucm-short --paraphrases 2
    python examples/short_queries.py RUN data/ucm-short [--split val]

Images are searched with a split's captions, and with paraphrases of them that training never says: captions with words
left out, and the few words around the one that most tells the class. Prints class mAP, tie-aware, over one gallery.
RUN may have been trained with paraphrases or without; those of held-out captions never train.
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path

import numpy as np

import dtbh
from dtbh.data.manifest import Item, Manifest, read_manifest
from dtbh.data.paraphrases import original
from dtbh.data.splits import split_for
from dtbh.data.transcripts import said
from dtbh.evaluation.metrics.counts import distance_counts
from dtbh.evaluation.metrics.ranking import mean_average_precision


def main() -> None:
    """Print one row a kind of query."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path)
    parser.add_argument("data", type=Path, help="a folder that was spoken with --paraphrases 2")
    parser.add_argument("--split", default="test", choices=("val", "test"))
    args = parser.parse_args()
    model = dtbh.load(args.run)
    manifest = split_for(read_manifest(args.data), model.config)
    number = {label: place for place, label in enumerate(manifest.labels)}

    def encoded(items: list[Item]) -> tuple[np.ndarray, np.ndarray]:
        files = [replace(item, path=str(manifest.file(item).resolve())) for item in items]
        return model.encode(files, stored=True).codes.words, np.array([number[str(item.label)] for item in items])

    gallery, labels = encoded([image for image in manifest.images if image.split == args.split])
    print(f"{args.split}, {len(gallery)} images | queries | mAP\n---|---|---")
    for kind, items in queries(manifest, args.split).items():
        words, own = encoded(items)
        counts = distance_counts(words, gallery, own, labels, model.bits)
        print(f"{kind} | {len(items)} | {mean_average_precision(*counts):.3f}", flush=True)


def queries(manifest: Manifest, split: str) -> dict[str, list[Item]]:
    """The split's sounds, and the two kinds of their paraphrases, by name; none says what training says."""
    trained = {said(item) for item in manifest.sounds if item.split == "train"}
    held = {item.id for item in manifest.sounds if item.split == split}
    short = [i for i in manifest.sounds if original(i) in held and said(i) not in trained]
    return {
        "whole captions": [item for item in manifest.sounds if item.id in held],
        "words left out": [item for item in short if item.id.endswith("~1")],
        "a few words": [item for item in short if item.id.endswith("~2")],
    }


if __name__ == "__main__":
    main()
