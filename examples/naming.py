"""How often a class name, set among other names, is the nearest word of an image: top-1 accuracy with its chance.

    dtbh index runs/any-words-rsicd data/rsicd --split val --vectors --out archives/rsicd-val
    dtbh index runs/any-words-rsicd data/ucm --split test --vectors --out archives/ucm-test
    python examples/naming.py archives/rsicd-val --choose            # prompts and temperatures, on validation
    python examples/naming.py archives/ucm-test --picture docs/naming-confusion.png

Names are the labels written as words. ``--choose`` compares prompts, and for each the temperature of the lowest mean
negative log-likelihood of the right name; without it the choice in ``dtbh/search/naming.py`` is measured, with
vectors and without. Intervals are bootstrap ones over images.
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

import dtbh
from dtbh.codes import HashCodes
from dtbh.evaluation.metrics.intervals import interval
from dtbh.models.encoder import Encoder
from dtbh.search.naming import BY_CODES, BY_VECTORS, PROMPTS, logits, nearest_words, place_words, softmax

AS_WORDS = {
    "baseballdiamond": "baseball diamond", "baseballfield": "baseball field", "bareland": "bare land",
    "denseresidential": "dense residential", "golfcourse": "golf course", "mediumresidential": "medium residential",
    "mobilehomepark": "mobile home park", "parkinglot": "parking lot", "railwaystation": "railway station",
    "sparseresidential": "sparse residential", "storagetanks": "storage tanks", "tenniscourt": "tennis court",
}  # fmt: skip
"""Class names that the data sets write in one word."""

SINGLE = ("{}", "an aerial view of {}", "a satellite image of {}", "many {}", "there is {} in the picture")
CANDIDATES = [(one,) for one in SINGLE] + [SINGLE[:2], SINGLE[:3], SINGLE]
TEMPERATURES = (0.01, 0.015, 0.02, 0.03, 0.04, 0.05, 0.06, 0.07, 0.08, 0.1, 0.12, 0.15, 0.2, 0.3)


def main() -> None:
    """Print rows of a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("archive", type=Path, help="of labelled images, made with --vectors")
    parser.add_argument("--choose", action="store_true", help="compare prompts and temperatures")
    parser.add_argument("--picture", type=Path, help="draw which names stand for which classes")
    args = parser.parse_args()
    archive = dtbh.open_archive(args.archive)
    model = dtbh.load(archive.model)
    codes = archive.at(archive.rows({"modality": "image"}))
    labels = archive.labels()
    right = np.array([labels.index(str(item.label)) for item in codes.items])
    names = [AS_WORDS.get(label, label) for label in labels]
    print(f"{len(codes)} images, {len(names)} names, chance {1 / len(names):.3f}")
    if args.choose:
        choose(model, codes, names, right)
    else:
        measure(model, codes, names, right, args.picture)


def choose(model: Encoder, codes: HashCodes, names: list[str], right: NDArray[np.int64]) -> None:
    """Print top-1, and the best temperature with its mean negative log-likelihood, of each way to ask."""
    print("prompts | by | top-1 | temperature | -log p\n---|---|---|---|---")
    for prompts in CANDIDATES:
        words = place_words(model, names, vectors=True, prompts=prompts)
        alike = {"codes": BY_CODES * logits(codes, replace(words, vectors=None), slice(None))}
        alike["vectors"] = 2 * BY_VECTORS * (logits(codes, words, slice(None)) - alike["codes"] / BY_CODES / 2)
        best: dict[str, float] = {}
        for by, cosines in alike.items():
            lowest, best[by] = min((loss(softmax(cosines / t), right), t) for t in TEMPERATURES)
            top = (cosines.argmax(axis=1) == right).mean()
            print(f"{', '.join(prompts)} | {by} | {top:.3f} | {best[by]} | {lowest:.3f}", flush=True)
        both = (alike["codes"] / best["codes"] + alike["vectors"] / best["vectors"]) / 2
        top = (both.argmax(axis=1) == right).mean()
        print(f"{', '.join(prompts)} | both | {top:.3f} | the same | {loss(softmax(both), right):.3f}", flush=True)


def measure(model: Encoder, codes: HashCodes, names: list[str], right: NDArray[np.int64], picture: Path | None) -> None:
    """Print top-1 and top-3 by vectors and by codes, what the probabilities are worth, and top-1 of each class."""
    print(f"prompts: {', '.join(PROMPTS)}")
    print("by | top-1 | top-3 | -log p | calibration error\n---|---|---|---|---")
    placed = place_words(model, names, vectors=True)
    for by, words in (("codes and vectors", placed), ("codes", replace(placed, vectors=None))):
        found = nearest_words(codes, words, len(names))
        likely = np.empty(found.probabilities.shape)
        np.put_along_axis(likely, found.places, found.probabilities, axis=1)
        hits = found.places[:, 0] == right
        third = (found.places[:, :3] == right[:, None]).any(axis=1)
        worth = f"{loss(likely, right):.3f} | {calibration_error(found.probabilities[:, 0], hits):.3f}"
        print(f"{by} | {with_interval(hits)} | {with_interval(third)} | {worth}")
        if words is placed:
            best, of_best = found.places[:, 0], hits
    print("\nclass | top-1 | taken for\n---|---|---")
    for label, name in enumerate(names):
        other = np.bincount(best[(right == label) & ~of_best], minlength=len(names))
        taken = ", ".join(f"{names[i]} {other[i]}" for i in np.argsort(-other, kind="stable")[:2] if other[i])
        print(f"{name} | {of_best[right == label].mean():.2f} | {taken}")
    if picture is not None:
        draw(np.histogram2d(right, best, bins=np.arange(len(names) + 1))[0], names, picture)


def loss(likely: NDArray[np.float64], right: NDArray[np.int64]) -> float:
    """Mean negative log-likelihood of the right names."""
    return float(-np.log(likely[np.arange(len(right)), right].clip(1e-12)).mean())


def with_interval(hits: NDArray[np.bool_]) -> str:
    """A share with its bootstrap interval over images."""
    low, high = interval(hits.astype(np.float64), np.arange(len(hits)), 0) or (0.0, 0.0)
    return f"{hits.mean():.3f} ({low:.3f} to {high:.3f})"


def calibration_error(sure: NDArray[np.float64], hits: NDArray[np.bool_]) -> float:
    """Expected calibration error of the nearest names over ten bins."""
    bins = np.minimum((sure * 10).astype(int), 9)
    gaps = [abs(sure[bins == b].sum() - hits[bins == b].sum()) for b in range(10)]
    return float(sum(gaps) / len(hits))


def draw(counts: NDArray[np.float64], names: list[str], path: Path) -> None:
    """Draw how often each name (columns) stands for each class (rows), in shares of the class."""
    from matplotlib.figure import Figure

    shares = counts / counts.sum(axis=1, keepdims=True)
    figure = Figure(figsize=(6.4, 6.0), layout="constrained")
    axes = figure.subplots()
    axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    for row, column in zip(*np.nonzero(shares >= 0.1), strict=True):
        colour = "white" if shares[row, column] > 0.5 else "#1f2428"
        axes.text(column, row, f"{100 * shares[row, column]:.0f}", ha="center", va="center", fontsize=6, color=colour)
    axes.set_xticks(range(len(names)), names, rotation=90, fontsize=7)
    axes.set_yticks(range(len(names)), names, fontsize=7)
    axes.set(xlabel="nearest name", ylabel="class", title="Images of each class by their nearest name, in percent")
    axes.title.set_fontsize(9)
    figure.savefig(path, dpi=110)


if __name__ == "__main__":
    main()
