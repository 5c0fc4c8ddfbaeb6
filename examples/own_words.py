"""Queries in people's own words, typed and spoken, on a run's images: class mAP with its chance level.

    python examples/own_words.py runs/any-words --split val            typed; spoken by four voices of flite; in noise
    python examples/own_words.py runs/any-words --split test --json figures.json
    python examples/own_words.py runs/any-words-rsicd --list examples/own_words_rsicd.tsv

``own_words.tsv`` has 168 wishes of three kinds, none of whose content words any caption of UCM says, and 84 plain ones
in the captions' words; half of either belongs to validation. ``own_words_rsicd.tsv`` has 180, none of whose content
words more than ten of RSICD's 54,605 captions say, and 60 plain ones. The voices of flite speak in no training of ours.
"Weighed" lines are by asymmetric distance (``--rescore 0 --asymmetric``), "expanded" ones by that and by the first 20
hits, which are taken as examples (``--asymmetric --rescore N --expand 20``, N all images), others by the bits alone.
"""

from __future__ import annotations

import argparse
import csv
import json
import shutil
import subprocess
import sys
from dataclasses import replace
from itertools import compress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from dtbh.codes import HashCodes, unpack
from dtbh.data.manifest import Item
from dtbh.evaluation.metrics.counts import distance_counts
from dtbh.evaluation.metrics.intervals import interval
from dtbh.evaluation.metrics.ranking import average_precision
from dtbh.index.memory import MemoryIndex
from dtbh.models.encoder import Encoder
from dtbh.models.load import load
from dtbh.search.ranking import EXAMPLES
from dtbh.stages.inputs import absolute, manifest_for, of_split
from dtbh.stages.perturbations import in_noise

SNR = 10.0  # dB of speech above noise
VOICES = ("slt", "rms", "awb", "kal")
LIST = Path(__file__).with_name("own_words.tsv")


class Query(NamedTuple):
    """A line of the list."""

    label: str
    kind: str
    split: str
    text: str


def queries(path: Path = LIST) -> list[Query]:
    """The list."""
    with path.open(encoding="utf-8", newline="") as file:
        return [Query(**row) for row in csv.DictReader(file, delimiter="\t")]


def speak(texts: list[str], folder: Path) -> list[Path]:
    """Files of the texts as flite says them, its voices in turn."""
    if shutil.which("flite") is None:
        sys.exit("flite is not installed: apt-get install flite")
    files = [folder / f"{number}.wav" for number in range(len(texts))]
    for number, (file, text) in enumerate(zip(files, texts, strict=True)):
        subprocess.run(["flite", "-voice", VOICES[number % len(VOICES)], "-t", text, "-o", str(file)], check=True)
    return files


def spoken(model: Encoder, texts: list[str], snr_db: float | None = None) -> tuple[HashCodes, NDArray[np.bool_]]:
    """Codes of the texts as flite says them, in babble and noise where a ratio is given; and which texts have one."""
    with TemporaryDirectory() as folder:
        files = speak(texts, Path(folder))
        items = [Item(file.name, "sound", str(file)) for file in files]
        if snr_db is not None:
            items = in_noise(items, Path(folder), snr_db)
        numbered = [replace(item, id=str(row)) for row, item in enumerate(items)]
        found = model.encode(numbered, skip=True, vectors=True)
    codes = found.transcribed()
    there = {item.id for item in codes.items}
    return codes, np.array([str(row) in there for row in range(len(texts))])


def precision(asked: HashCodes, labels: list[str], images: HashCodes) -> NDArray[np.float64]:
    """The average precision of each query among the images."""
    names = sorted({str(item.label) for item in images.items} | set(labels))
    of_queries = np.array([names.index(label) for label in labels])
    of_images = np.array([names.index(str(item.label)) for item in images.items])
    return average_precision(*distance_counts(asked.words, images.words, of_queries, of_images, images.bits))


def precisions(distances: NDArray[np.float64], right: NDArray[np.bool_]) -> NDArray[np.float64]:
    """The average precision of rankings by any distances, [q, n], ties averaged over all orders."""
    found = []
    for row, own in zip(distances, right, strict=True):
        _, place, total = np.unique(row, return_inverse=True, return_counts=True)
        found.append(average_precision(np.bincount(place, own, len(total)).astype(np.int64)[None], total[None])[0])
    return np.array(found)


def weighed(asked: HashCodes, labels: list[str], images: HashCodes) -> NDArray[np.float64]:
    """As `precision`, by asymmetric distance."""
    assert asked.weights is not None
    signs = [np.where(unpack(codes.words, codes.bits), 1.0, -1.0) for codes in (asked, images)]
    right = np.array(labels)[:, None] == np.array([str(item.label) for item in images.items])
    return precisions(-(asked.weights * signs[0]) @ signs[1].T, right)


def expanded(asked: HashCodes, labels: list[str], images: HashCodes) -> NDArray[np.float64]:
    """As `weighed`, with the first hits as examples."""
    every = len(images)
    found = MemoryIndex(images).search(asked, every, find="image", rescore=every, expand=EXAMPLES, asymmetric=True)
    assert found.similarities is not None
    own = np.array([str(item.label) for item in images.items])[found.rows]
    return precisions(-found.similarities.astype(np.float64), np.array(labels)[:, None] == own)


def gallery_of(model: Encoder, split: str, data: Path | None) -> tuple[HashCodes, str]:
    """Codes of a split's images, and what they are in a line."""
    manifest, protocol = manifest_for(model, data)
    images = [absolute(manifest, item) for item in of_split(manifest, split) if item.modality == "image"]
    chance = 1 / len({item.label for item in images})
    codes = model.encode(images, stored=True, vectors=True).codes
    return codes, f"{protocol}, {split}: {len(images)} images; chance {chance:.3f}"


def figure(name: str, values: NDArray[np.float64]) -> dict[str, object]:
    """The mean of average precisions with its interval, printed as a line too."""
    low, high = interval(values, np.arange(len(values)), 0) or (float("nan"), float("nan"))
    print(f"{name:26} mAP {values.mean():.3f} ({low:.3f} to {high:.3f}), {len(values)} queries")
    return {"map": float(values.mean()), "interval": [low, high], "queries": len(values)}


def arguments(description: str) -> argparse.ArgumentParser:
    """What every list of queries is asked with."""
    parser = argparse.ArgumentParser(description=description.splitlines()[0])
    parser.add_argument("run", type=Path)
    parser.add_argument("--data", type=Path, help="another prepared data folder (default: the run's own)")
    parser.add_argument("--split", choices=("val", "test"), default="val")
    parser.add_argument("--json", type=Path)
    return parser


def keep(found: object, path: Path | None) -> None:
    """Write figures where that is wanted."""
    if path is not None:
        path.write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")


def main() -> None:
    """Print a line for each kind and way."""
    parser = arguments(str(__doc__))
    parser.add_argument("--list", type=Path, default=LIST, help="a table of label, kind, split and text")
    args = parser.parse_args()
    model = load(args.run)
    gallery, said = gallery_of(model, args.split, args.data)
    asked = [query for query in queries(args.list) if query.split == args.split]
    texts = [query.text for query in asked]
    ways = {"typed": (model.encode_texts(texts, vectors=True), np.ones(len(texts), np.bool_))}
    if "sound" in model.config.encoders.modalities:
        ways |= {"spoken": spoken(model, texts), "in noise": spoken(model, texts, SNR)}
        for way in ("spoken", "in noise"):
            worded = sum(item.transcript is not None for item in ways[way][0].items)
            print(f"{way}: no words heard in {len(asked) - worded} of {len(asked)} queries")
    found: dict[str, dict[str, object]] = {}
    kinds = ("thing", "phrase", "wish")
    ranked = {f"{way}{more}": (by, *codes) for way, codes in ways.items()
              for more, by in (("", precision), (", weighed", weighed), (", expanded", expanded))}  # fmt: skip
    for way, (by, codes, there) in ranked.items():
        values = np.zeros(len(asked))  # of what has no code
        values[there] = by(codes, [query.label for query in compress(asked, there)], gallery)
        for name, wanted in (*((kind, (kind,)) for kind in kinds), ("own words", kinds), ("plain", ("plain",))):
            own = values[[query.kind in wanted for query in asked]]
            found[f"{way}, {name}"] = figure(f"{way}, {name}", own)
    print(said)
    keep(found, args.json)


if __name__ == "__main__":
    main()
