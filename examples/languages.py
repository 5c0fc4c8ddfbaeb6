"""Plain wishes in Spanish, French, Italian and Portuguese, typed and spoken, on a run's images: class mAP.

    python examples/languages.py runs/any-language                 validation; spoken by espeak-ng, the language given
    python examples/languages.py runs/any-language --language auto

``languages.tsv`` has two wishes for each class of UCM in each language, one for validation, one for test.
"""

from __future__ import annotations

import argparse
import csv
import json
import shutil
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from own_words import precision

from dtbh.codes import HashCodes
from dtbh.evaluation.metrics.intervals import interval
from dtbh.models.encoder import Encoder
from dtbh.models.load import load
from dtbh.stages.inputs import absolute, manifest_for, of_split

LIST = Path(__file__).with_name("languages.tsv")
VOICES = ("", "+f2", "+m3", "+f4")


def spoken(model: Encoder, asked: list[dict[str, str]], folder: Path, *, given: bool) -> HashCodes:
    """Codes of the wishes as espeak-ng says them, its voices in turn."""
    if shutil.which("espeak-ng") is None:
        sys.exit("espeak-ng is not installed: apt-get install espeak-ng")
    parts = []
    for language in dict.fromkeys(row["language"] for row in asked):
        files = []
        for number, row in enumerate(row for row in asked if row["language"] == language):
            files.append(folder / f"{language}-{number}.wav")
            voice = language + VOICES[number % len(VOICES)]
            subprocess.run(["espeak-ng", "-v", voice, "-s", "150", "-w", files[-1], row["text"]], check=True)
        model.language = language if given else "auto"
        parts.append(model.encode_sounds(files))
    return HashCodes.concatenate(parts)


def main() -> None:
    """Print a line for each language and way."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("run", type=Path)
    parser.add_argument("--split", choices=("val", "test"), default="val")
    parser.add_argument("--language", choices=("given", "auto"), default="given")
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    model = load(args.run)
    manifest, protocol = manifest_for(model, None)
    images = [absolute(manifest, item) for item in of_split(manifest, args.split) if item.modality == "image"]
    gallery = model.encode(images, stored=True).codes
    with LIST.open(encoding="utf-8", newline="") as file:
        asked = [row for row in csv.DictReader(file, delimiter="\t") if row["split"] == args.split]
    ways = {"typed": model.encode_texts([row["text"] for row in asked])}
    if "sound" in model.config.encoders.modalities:
        with TemporaryDirectory() as folder:
            ways["spoken"] = spoken(model, asked, Path(folder), given=args.language == "given")
    found = {}
    for way, codes in ways.items():
        values = precision(codes, [row["label"] for row in asked], gallery)
        for name in (*dict.fromkeys(row["language"] for row in asked), "all"):
            own = values[[name in (row["language"], "all") for row in asked]]
            low, high = interval(own, np.arange(len(own)), 0) or (float("nan"), float("nan"))
            found[f"{way}, {name}"] = {"map": float(own.mean()), "interval": [low, high], "queries": len(own)}
            print(f"{way:6} {name:3} mAP {own.mean():.3f} ({low:.3f} to {high:.3f}), {len(own)} queries")
    print(f"{protocol}, {args.split}: {len(images)} images; chance {1 / len({i.label for i in images}):.3f}")
    if args.json:
        args.json.write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
