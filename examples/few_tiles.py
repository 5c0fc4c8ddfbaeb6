"""A few tiles of an archive that training never met: going on from a model against training from nothing.

    dtbh train configs/any-words/ready.yaml --data data/rsicd --out runs/rsicd-alone
    python examples/few_tiles.py runs/rsicd-alone --data data/ucm --work few --split val
    python examples/few_tiles.py runs/rsicd-alone --data data/ucm --work few --split test --also data/rsicd

Draws 1, 5, 20 and all training tiles of each class, some times each, with their captions or with the names of their
classes alone; goes on from the model (``dtbh train --from``, without ``--keep`` and with it), and trains
``configs/any-words/ucm.yaml`` without sounds on the same tiles (each seen in one orientation; where there are too few
for 64 bits, of as many as can be had). Asks for the split's images in plain and in own words and by their captions.
``--also`` is what the model was trained on, asked the same of its validation split: what it still knows.
"""

from __future__ import annotations

import argparse
import shutil
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from own_words import LIST, Query, keep, precision, queries

from dtbh.codes import HashCodes, pack, signs
from dtbh.config import read_config
from dtbh.data.manifest import Item, Manifest, read_manifest, relative, write_manifest
from dtbh.data.transcripts import as_texts
from dtbh.encoders.cached_readers import text_reader
from dtbh.evaluation.metrics.intervals import interval
from dtbh.media.class_words import class_words
from dtbh.models.encoder import Encoder
from dtbh.models.load import load
from dtbh.models.torch_encoder import TorchEncoder
from dtbh.stages.inputs import absolute
from dtbh.stages.train import train
from dtbh.stages.tune import train_from, word_ranks

CONFIG = Path(__file__).parents[1] / "configs" / "any-words" / "ucm.yaml"
CAPTIONS = 10  # of each class
KINDS = ("plain", "own words", "captions")
Values = dict[str, np.ndarray]


class Asked(NamedTuple):
    """What is asked of a data set: images, a list, and their captions."""

    images: Sequence[Item]
    texts: Sequence[Query]


def asked_of(data: Path, split: str, path: Path, captions: int = 0) -> Asked:
    """The images of a split, and what they are asked for: the list, and so many captions of each class."""
    manifest = read_manifest(data)
    images = [absolute(manifest, item) for item in manifest.images if item.split == split]
    texts = [query for query in queries(path) if query.split == split]
    said = {str(item.transcript): item for item in as_texts(i for i in manifest if i.split == split)}
    for label in sorted({str(item.label) for item in images}):
        own = [text for text, item in said.items() if item.label == label]
        chosen = np.random.default_rng(0).permutation(own)[:captions]
        texts += [Query(label, "captions", split, str(text)) for text in chosen]
    return Asked(images, texts)


def values_of(model: Encoder, asked: Asked) -> Values:
    """The average precision of every query, by kind."""
    assert isinstance(model, TorchEncoder)
    gallery = model.encode(asked.images, stored=True).codes
    device, twin = torch.device(model.device), model.twin
    vectors = text_reader(twin, [query.text for query in asked.texts], device=device).outputs  # the same for all models
    assert isinstance(vectors, torch.Tensor)
    with torch.inference_mode():
        said = pack(signs(twin.text.finish(vectors[:, 0].to(device)).codes.cpu().numpy()))
    found: Values = {}
    for kind in KINDS:
        rows = [r for r, q in enumerate(asked.texts) if (q.kind if q.kind in KINDS else "own words") == kind]
        if rows:
            items = tuple(Item(str(row), "text", transcript=asked.texts[row].text) for row in rows)
            codes = HashCodes(said[rows], model.bits, model.fingerprint, items)
            found[kind] = precision(codes, [asked.texts[row].label for row in rows], gallery)
    return found


def few(manifest: Manifest, count: int | None, seed: int, out: Path, named: bool) -> Path:
    """A data folder whose training split has so many tiles a class, with captions or with their classes' names."""
    rng, by_class = np.random.default_rng(seed), defaultdict(list)
    for item in manifest.images:
        if item.split == "train":
            by_class[str(item.label)].append(item)
    chosen = [i for own in by_class.values() for i in (own if count is None else rng.choice(own, count, replace=False))]
    pairs = {item.pair for item in chosen}
    held = {str(item.label): item.pair for item in manifest.images if item.split == "val"}  # which choose nothing
    told = {item.pair: item for item in manifest if item.modality == "sound" and item.pair in held.values()}
    kept = [*chosen, *(item for item in manifest.images if item.pair in told), *told.values()]
    if named:
        ranks = word_ranks()
        kept += [
            replace(i, id=f"{i.id}S1", modality="sound", path=None, transcript=class_words(str(i.label), ranks))
            for i in chosen
        ]
    else:
        kept += [item for item in manifest.sounds if item.split == "train" and item.pair in pairs]
    out.mkdir(parents=True)
    items = [i if i.path is None else replace(i, path=relative(manifest.file(i), out)) for i in kept]
    write_manifest(Manifest(tuple(items), out, manifest.source))
    return out


def models(start: Path, data: Path, work: Path) -> Iterator[tuple[str, Path]]:
    """The ways to a model, and what they give."""
    yield "from", train_from(start, data, work / "from")
    yield "from, keep", train_from(start, data, work / "keep", keep=True)
    learned = [item for item in read_manifest(data) if item.split == "train"]
    tiles = sum(item.modality == "image" for item in learned)
    alone = len({item.transcript for item in learned}) < 64  # names, or too few captions
    settings = {
        "encoders.sound": "null", "encoders.image.views": 1, "encoders.image.tta_views": 1, "data.protocol": "files",
        "training.workers": 0, "encoders.bits": min(64, tiles - 1),
        "encoders.concepts.count": len({item.label for item in learned}) if alone or tiles < 64 else 64,
    }  # fmt: skip
    config = read_config(CONFIG, [f"{name}={value}" for name, value in settings.items()])
    yield "nothing", train(config, data, work / "nothing")


def line(name: str, draws: Sequence[Values]) -> dict[str, object]:
    """The mean over draws of each kind, with its interval over queries and the draws' range; printed too."""
    found: dict[str, object] = {}
    said = []
    for kind in draws[0]:
        each = np.stack([draw[kind] for draw in draws])
        mean = each.mean(axis=0)
        low, high = interval(mean, np.arange(len(mean)), 0) or (float("nan"), float("nan"))
        found[kind] = {"map": float(mean.mean()), "interval": [low, high], "draws": each.mean(axis=1).tolist()}
        said.append(f"{kind} {mean.mean():.3f} ({low:.3f} to {high:.3f})")
    print(f"{name:34} {'  '.join(said)}", flush=True)
    return found


def main() -> None:
    """Print a line for each number of tiles and each way."""
    parser = argparse.ArgumentParser(description=str(__doc__).splitlines()[0])
    parser.add_argument("start", type=Path, help="the run to go on from")
    parser.add_argument("--data", type=Path, required=True, help="a prepared data folder with splits, new to the start")
    parser.add_argument("--work", type=Path, required=True, help="a folder for what is made; it is deleted first")
    parser.add_argument("--split", choices=("val", "test"), default="val")
    parser.add_argument("--draws", type=int, default=3)
    parser.add_argument("--tiles", type=int, nargs="*", default=[1, 5, 20, 0], help="of each class; 0: all")
    parser.add_argument("--list", type=Path, default=LIST)
    parser.add_argument("--also", type=Path, help="the prepared data folder that the start was trained on")
    parser.add_argument("--also-list", type=Path, default=LIST.with_name("own_words_rsicd.tsv"))
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    shutil.rmtree(args.work, ignore_errors=True)
    manifest, asked = read_manifest(args.data), asked_of(args.data, args.split, args.list, CAPTIONS)
    still = asked_of(args.also, "val", args.also_list) if args.also else None
    classes = len({item.label for item in asked.images})
    print(f"{len(asked.images)} images of {classes} classes; chance {1 / classes:.3f}")
    found = {"start": line("as it is", [values_of(load(args.start), asked)])}
    if still:
        found["start, still"] = line("as it is, of what it knew", [values_of(load(args.start), still)])
    for count in args.tiles:
        for named in (False, True):
            draws: dict[str, list[Values]] = defaultdict(list)
            for seed in range(args.draws if count else 1):
                work = args.work / f"{count}-{seed}-{named}"
                data = few(manifest, count or None, seed, work / "data", named)
                for way, path in models(args.start, data, work):
                    draws[way].append(values_of(load(path), asked))
                    if still and way != "nothing" and not seed:
                        draws[f"{way}, still"].append(values_of(load(path), still))
            for way, values in draws.items():
                name = f"{count or 'all'} tiles, {'names' if named else 'captions'}, {way}"
                found[name] = line(name, values)
    keep(found, args.json)


if __name__ == "__main__":
    main()
