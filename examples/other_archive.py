"""A model on an archive that it never met: queries typed and spoken, over the tiles of the classes that both know.

    python examples/other_archive.py runs/rsicd --data data/ucm
    python examples/other_archive.py runs/ucm --data data/rsicd --list examples/own_words_rsicd.tsv

``BOTH`` names the twelve classes that UCM and RSICD share. All tiles of these classes are searched, and both halves of
the list are asked: nothing of the archive was seen in training. ``--unchosen`` leaves out the archive's validation
split and the validation half of the list, which had a part in choosing how hits serve as examples.

"Weighed" is by asymmetric distance, "expanded" by that and by the first 20 hits, as in ``own_words.py``. Then what
bounds it: typed queries by real values, before their signs; queries that are no words but the mean of what a class's
own tiles have, bits and vectors, which says how far the eye tells classes apart; and typed queries by class.
"""

from __future__ import annotations

import argparse
from itertools import compress
from pathlib import Path

import numpy as np
from bounds import class_map
from own_words import LIST, expanded, figure, keep, precision, queries, spoken, weighed

from dtbh.codes import unpack
from dtbh.data.manifest import read_manifest
from dtbh.models.encoder import text_item
from dtbh.models.load import load
from dtbh.stages.inputs import absolute
from dtbh.utils.vectors import unit

BOTH = {
    "agricultural": "farmland", "baseballdiamond": "baseballfield", "beach": "beach",
    "denseresidential": "denseresidential", "forest": "forest", "harbor": "port",
    "mediumresidential": "mediumresidential", "overpass": "viaduct", "parkinglot": "parking", "river": "river",
    "sparseresidential": "sparseresidential", "storagetanks": "storagetanks",
}  # fmt: skip
"""UCM's names, and RSICD's for the same."""


def main() -> None:
    """Print a line for each way and kind."""
    parser = argparse.ArgumentParser(description=str(__doc__).splitlines()[0])
    parser.add_argument("run", type=Path)
    parser.add_argument("--data", type=Path, required=True, help="a prepared data folder that training did not see")
    parser.add_argument("--list", type=Path, default=LIST, help="a table of label, kind, split and text")
    parser.add_argument("--unchosen", action="store_true", help="only tiles and queries that had no part in choosing")
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    model, manifest = load(args.run), read_manifest(args.data)
    known = {*BOTH} | {*BOTH.values()}
    left = "val" if args.unchosen else ""
    tiles = [absolute(manifest, item) for item in manifest.images if item.label in known and item.split != left]
    there = {item.label for item in tiles}
    asked = [query for query in queries(args.list) if query.label in there and query.split != left]
    seen, texts = model.encode(tiles, stored=True, values=True, vectors=True), [query.text for query in asked]
    told, gallery = model.encode([text_item(text) for text in texts], values=True, vectors=True), seen.codes
    ways = {"typed": (told.codes, np.ones(len(texts), np.bool_))}
    if "sound" in model.config.encoders.modalities:
        ways["spoken"] = spoken(model, texts)
    found: dict[str, object] = {}
    ranked = {f"{way}{more}": (by, *codes) for way, codes in ways.items()
              for more, by in (("", precision), (", weighed", weighed), (", expanded", expanded))}  # fmt: skip
    for way, (by, codes, there) in ranked.items():
        values = np.zeros(len(asked))  # of what has no code
        values[there] = by(codes, [query.label for query in compress(asked, there)], gallery)
        for name, plain in (("plain", True), ("own words", False)):
            own = values[[(query.kind == "plain") == plain for query in asked]]
            found[f"{way}, {name}"] = figure(f"{way}, {name}", own)
    labels = np.array([str(item.label) for item in tiles])
    classes, wanted = np.unique(labels), np.array([query.label for query in asked])
    plain_ones = np.array([query.kind == "plain" for query in asked])
    assert told.values is not None
    assert seen.values is not None
    assert gallery.vectors is not None
    real = -unit(told.values) @ unit(seen.values).T
    for name, chosen in (("plain", plain_ones), ("own words", ~plain_ones)):
        bound = found[f"real values, {name}"] = class_map(real[chosen], wanted[chosen, None] == labels)
        print(f"real values, {name}: mAP {bound:.3f}")
    signs = np.where(unpack(gallery.words, gallery.bits), 1.0, -1.0)
    for name, own in (("bits", signs), ("vectors", unit(gallery.vectors.astype(np.float64)))):
        means = np.stack([own[labels == label].mean(axis=0) for label in classes])
        means = np.where(means >= 0, 1.0, -1.0) if name == "bits" else means
        bound = found[f"means of classes, {name}"] = class_map(-unit(means) @ own.T, classes[:, None] == labels)
        print(f"means of classes, {name}: mAP {bound:.3f}")
    values = precision(told.codes, wanted.tolist(), gallery)
    for label in classes.tolist():
        cells = [values[(wanted == label) & chosen].mean() for chosen in (plain_ones, ~plain_ones)]
        found[f"typed, {label}"] = [float(cell) for cell in cells]
        print(f"typed, {label:19} plain {cells[0]:.3f}, own words {cells[1]:.3f}")
    print(f"{args.data}: {len(tiles)} tiles of {len(classes)} classes; chance {1 / len(classes):.3f}")
    keep(found, args.json)


if __name__ == "__main__":
    main()
