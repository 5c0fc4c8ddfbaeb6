"""How ``old/`` was made: with dtbh at 595f12b, before its modules moved; run there, it makes the same again.

PYTHONPATH=CHECKOUT_OF_595f12b python tests/compat/make.py tests/compat/old
"""

from __future__ import annotations

import argparse
import hashlib
import json
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from dtbh.encode import Model
from dtbh.encoders.twin import TwinEncoder
from PIL import Image

import dtbh
from dtbh import cli
from dtbh.config import make_config, write_config
from dtbh.data.manifest import Item, Manifest, write_manifest
from dtbh.data.speech import speak
from dtbh.stages import evaluate, export
from tests.tones import VOICES, tones

COLOURS = {"red": (200, 40, 40), "green": (40, 180, 60), "blue": (50, 60, 210)}
CONFIG = {
    "data": {"val": 0.2},
    "encoders": {
        "bits": 12,
        "feature_dim": 16,
        "image": None,  # image networks are too large to be kept here: `filled` stands for them
        "sound": {"width": 8, "features": {"n_mels": 40, "n_mfcc": 20}},
    },
    "learning": {"within": 0.5, "sharpness": [1.0, 2.0]},
    "training": {"epochs": 3, "classes": 3, "per_class": 4, "workers": 0, "learning_rate": 1e-2},
}
TOWERS = {
    "small": {"bits": 12, "image": {"backbone": "small_cnn", "weights": "none"}, "sound": {"width": 16}},
    "averaged": {
        "image": {"backbone": "efficientnet_lite0", "averaged": 4, "depths": ["model._blocks.4"], "recurrent": 8},
        "sound": {"averaged": 3},
    },
    "heard by whisper": {
        "hidden": [32],
        "activation": "leaky_relu",
        "image": None,
        "sound": {"backbone": "whisper_tiny_en", "frozen": True, "temporal": {"width": 16, "layers": 1}},
    },
    "heard by the speech embedding": {"image": None, "sound": {"backbone": "speech_embedding", "frozen": True}},
}
WRITTEN_BEFORE_TERMS = """learning:
  objective: relative_triplet
  features: 1.0
  codes: 0.5
  quantization: 0.02
  balance: 0.1
"""


def make(root: Path) -> None:
    """Write everything below ``root``."""
    data(root / "data")
    config = make_config(CONFIG)
    write_config(config, root / "config.yaml")
    (root / "before-terms.yaml").write_text(WRITTEN_BEFORE_TERMS)
    command = [sys.executable, "-m", "dtbh.cli", "train", str(root / "config.yaml"), "--data", str(root / "data")]
    subprocess.run([*command, "--out", str(root / "run")], check=True)
    process = subprocess.Popen([*command, "--out", str(root / "unfinished"), "--set", "training.epochs=40"])
    while not (root / "unfinished" / "resume.safetensors").exists():
        time.sleep(0.01)
    process.kill()
    process.wait()
    report, _ = evaluate(root / "run")
    model = dtbh.load(root / "run")
    cli.main(["index", str(root / "run"), str(root / "data"), "--out", str(root / "archive")])
    cli.main(["encode", str(root / "run"), str(root / "data"), "--out", str(root / "codes"), "--split", "test"])
    export(root / "run", out=root / "exported")
    archive = dtbh.open_archive(root / "archive")
    sound = next(item for item in archive.items(range(len(archive))) if item.modality == "sound")
    hits = archive.search(model.encode_sounds([sound.path]), k=5).hits(0)
    codes = dtbh.read_codes(root / "codes")
    expected = {
        "fingerprint": model.fingerprint,
        "map": {way: one.map for way, one in report.directions.items()},
        "codes": {item.id: f"{int(word):x}" for item, word in zip(codes.items, codes.words[:, 0], strict=True)},
        "query": Path(sound.path).relative_to((root / "data").resolve()).as_posix(),
        "hits": [[hit.item.id, hit.distance] for hit in hits],
        "towers": {name: towers(settings) for name, settings in TOWERS.items()},
        "public": sorted(dtbh.__all__),
        "commands": commands(),
    }
    (root / "expected.json").write_text(json.dumps(expected, indent=1) + "\n")
    for folder in (root / "run", root / "unfinished"):
        for file in folder.glob("events*"):
            shutil.rmtree(file) if file.is_dir() else file.unlink()
    (root / "run" / "report" / "index.html").unlink()


def towers(settings: dict[str, Any]) -> dict[str, Any]:
    """What an encoder's tensors are called, and its fingerprint once each is filled with numbers that are known."""
    twin = TwinEncoder(make_config({"encoders": settings}).encoders, pretrained=False)
    state = twin.state_dict()
    for number, tensor in enumerate(state.values()):
        tensor.copy_(torch.full_like(tensor, number % 7))
    names = "\n".join(f"{name} {list(tensor.shape)}" for name, tensor in state.items())
    return {
        "settings": settings,
        "tensors": len(state),
        "names": hashlib.sha256(names.encode()).hexdigest()[:16],
        "fingerprint": Model(twin, path=Path()).fingerprint,
    }


def data(root: Path) -> None:
    """Three classes of coloured tiles, eight each, with two hummed captions a tile."""
    rng = np.random.default_rng(0)
    items = []
    (root / "images").mkdir(parents=True)
    for label, colour in COLOURS.items():
        for i in range(8):
            pixels = np.clip(np.array(colour) + rng.normal(0, 30, (16, 16, 3)), 0, 255).astype(np.uint8)
            name = f"{label}{i}"
            Image.fromarray(pixels).save(root / "images" / f"{name}.png")
            items.append(Item(name, "image", f"images/{name}.png", label, name))
            for k in (1, 2):
                words = f"a {label} tile number {i * 2 + k}"
                items.append(Item(f"{name}S{k}", "sound", None, label, name, transcript=words))
    write_manifest(Manifest(tuple(items), root, "tiny"))
    speak(root, engine=tones, voices=VOICES, workers=1, suffix="opus")


def commands() -> dict[str, list[str]]:
    """Every command with its options."""
    found: dict[str, list[str]] = {}

    def walk(name: str, parser: argparse.ArgumentParser) -> None:
        found[name] = sorted(option for action in parser._actions for option in action.option_strings)
        for action in parser._actions:
            if isinstance(action, argparse._SubParsersAction):
                for sub, one in action.choices.items():
                    walk(f"{name} {sub}".strip(), one)

    walk("", cli._parser())
    return found


if __name__ == "__main__":
    make(Path(sys.argv[1]))
