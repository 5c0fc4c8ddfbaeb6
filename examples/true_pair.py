"""What bounds R@1: how often the true image can be told from its caption at all.

    python examples/true_pair.py data/ucm [--set KEY=VALUE ...]

Nothing is hashed and nothing is heard here: every caption of validation is known by its words. Images are ranked by
the class alone; by the sentence, were it known of every image which sentences are said of it; and by how likely
their captions say these words and pairs of words, as a linear map from the preset's frozen image features has learned
from training (ridge regression, the best of several penalties on validation, so more than may be claimed). Test is
not read.
"""

from __future__ import annotations

import argparse
from collections import Counter
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

import numpy as np
import torch
from ablation import PLUS_CONFIG, UNMET
from numpy.typing import NDArray

from dtbh.config import Config, read_config
from dtbh.data.manifest import Item, Manifest, read_manifest
from dtbh.data.splits import split_for
from dtbh.data.transcripts import said
from dtbh.encoders.cached_readers import reader_for
from dtbh.encoders.dual_encoder import DualEncoder

FEWEST = 4
PENALTIES = (0.03, 0.1, 0.3, 1.0, 3.0, 10.0)

Table = NDArray[np.float64]


def main() -> None:
    """Print one row a way to rank."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, help="a prepared and spoken folder")
    parser.add_argument("--set", dest="changes", action="append", default=[], help="as in dtbh train")
    args = parser.parse_args()
    config = read_config(PLUS_CONFIG, [*UNMET, "encoders.sound=null", *args.changes])
    manifest = split_for(read_manifest(args.data), config)
    sounds = {split: [item for item in manifest.sounds if item.split == split] for split in ("train", "val")}
    images = {split: [item for item in manifest.images if item.split == split] for split in ("train", "val")}
    asked, gallery = sounds["val"], images["val"]
    true = np.array([[sound.pair == image.pair for image in gallery] for sound in asked])
    alike = np.array([[sound.label == image.label for image in gallery] for sound in asked], float)
    told = {(item.pair, said(item)) for item in manifest.sounds}
    sentence = np.array([[(image.pair, said(sound)) in told for image in gallery] for sound in asked], float)
    print(f"{len(asked)} sounds, {len(gallery)} images | R@1\n---|---")
    print(f"the class | {recall_at_1(alike, true):.3f}\nthe sentence | {recall_at_1(sentence, true):.3f}", flush=True)
    ways = by_words(config, manifest, images, sounds)
    print(f"words, from image features | {max(recall_at_1(scores, true) for scores in ways):.3f}")


def recall_at_1(scores: Table, true: NDArray[np.bool_]) -> float:
    """Share of queries whose best image is the true one; equal scores share it."""
    best = scores >= scores.max(axis=1, keepdims=True) - 1e-12
    return float(((best & true).sum(axis=1) / best.sum(axis=1)).mean())


def by_words(
    config: Config, manifest: Manifest, images: dict[str, list[Item]], sounds: dict[str, list[Item]]
) -> list[Table]:
    """Scores [sounds, images] of each penalty and of two ways to compare: cosine of rare words, and likelihood."""
    counts = Counter(gram for sound in sounds["train"] for gram in grams(sound))
    place = {gram: at for at, gram in enumerate(sorted(gram for gram, n in counts.items() if n >= FEWEST))}
    bags = bag(sounds["train"], place)
    rows: dict[str | None, list[int]] = {}
    for row, sound in enumerate(sounds["train"]):
        rows.setdefault(sound.pair, []).append(row)
    learned = [image for image in images["train"] if image.pair in rows]
    targets = np.stack([bags[rows[image.pair]].mean(axis=0) for image in learned])
    x, wanted = features(config, manifest, learned), features(config, manifest, images["val"])
    mean, scale = x.mean(axis=0), (x.std(axis=0) + 1e-6) * x.shape[1] ** 0.5
    x, wanted, average = (x - mean) / scale, (wanted - mean) / scale, targets.mean(axis=0)
    asked = bag(sounds["val"], place)
    rare = np.log(1 / average.clip(1e-3))
    found = []
    for penalty in PENALTIES:
        dual = np.linalg.solve(x @ x.T + penalty * np.eye(len(x)), targets - average)
        likely = (wanted @ x.T @ dual + average).clip(1e-3, 0.999)
        weighted = likely * rare
        found.append((asked * rare) @ (weighted / np.linalg.norm(weighted, axis=1, keepdims=True)).T)
        found.append(asked @ np.log(likely).T + (1 - asked) @ np.log(1 - likely).T)
    return found


def grams(sound: Item) -> set[str]:
    """The words that a sound says, and each two in a row."""
    words = (said(sound) or "").split()
    return {*words, *map(" ".join, pairwise(words))}


def bag(sounds: Sequence[Item], place: dict[str, int]) -> Table:
    """Which of the known words and pairs each sound says: 0 and 1, [sounds, known]."""
    found = np.zeros((len(sounds), len(place)))
    for row, sound in enumerate(sounds):
        found[row, [place[gram] for gram in grams(sound) if gram in place]] = 1
    return found


def features(config: Config, manifest: Manifest, images: Sequence[Item]) -> Table:
    """What the frozen image backbone gives, mean over orientations: [images, width]."""
    paths = [manifest.file(image) for image in images]
    reader = reader_for(DualEncoder(config.encoders), "image", paths, device=torch.device("cpu"))
    read = (reader(row) for row in range(len(paths)))
    return np.stack([x.double().numpy().reshape(-1, x.shape[-1]).mean(axis=0) for x in read])


if __name__ == "__main__":
    main()
