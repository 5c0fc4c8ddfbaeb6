"""The whole method in one file: pairs in, answers out, both directions.

    python examples/pipeline.py runs/pipeline

Each line is a stage. Each takes paths, leaves a folder, and does nothing that is already done.
"""

from __future__ import annotations

import sys
from pathlib import Path

import dtbh
from dtbh.config import read_config
from dtbh.data.manifest import read_manifest
from dtbh.data.splits import split_for
from dtbh.data.synthetic.generate import draw
from dtbh.evaluation.describe import describe
from dtbh.search.table import render_table
from dtbh.stages.evaluate import evaluate
from dtbh.stages.index import index
from dtbh.stages.speak import speak
from dtbh.stages.train import train

CONFIG = Path(__file__).parent.parent / "configs" / "dtbh" / "demo.yaml"


def main(out: Path) -> None:
    """Run every stage under ``out``."""
    data, run, archive = out / "data", out / "run", out / "archive"

    # Pairs: aerial scenes with captions, and the captions spoken in many voices.
    draw(data, classes=10, per_class=60)
    speak(data, voices=40)

    # Two towers learn hash-like codes in which an image lies near the sounds that describe it.
    config = read_config(CONFIG)
    train(config, data, run)

    # Both directions, on images and voices that training never met.
    report, page = evaluate(run)
    print(describe(report))
    print(f"report: {page / 'index.html'}")

    # An archive of everything, and one search in each direction.
    index(run, data, out=archive)
    model, tiles = dtbh.load(run), dtbh.open_archive(archive)
    test = [item for item in split_for(read_manifest(data), config) if item.split == "test"]
    sound = next(item for item in test if item.modality == "sound")
    image = next(item for item in test if item.modality == "image")
    print(f"\nsaid: {sound.transcript}")
    print(render_table(tiles.search(model.encode_sounds([data / str(sound.path)]), k=5)))
    print(f"\nshown: {image.label}")
    print(render_table(tiles.search(model.encode_images([data / str(image.path)]), k=5)))


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "runs/pipeline"))
