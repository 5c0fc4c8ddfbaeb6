"""A model on an archive that it never met: queries typed and spoken, over the tiles of the classes that both know.

    python examples/other_archive.py runs/rsicd --data data/ucm
    python examples/other_archive.py runs/ucm --data data/rsicd --list examples/own_words_rsicd.tsv

``BOTH`` names the twelve classes that UCM and RSICD share. All tiles of these classes are searched, and both halves of
the list are asked: nothing of the archive was seen in training, and nothing chosen on it.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from own_words import LIST, figure, keep, precision, queries, spoken

from dtbh.data.manifest import read_manifest
from dtbh.models.load import load
from dtbh.stages.inputs import absolute

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
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    model, manifest = load(args.run), read_manifest(args.data)
    known = {*BOTH} | {*BOTH.values()}
    tiles = [absolute(manifest, item) for item in manifest.images if item.label in known]
    asked = [query for query in queries(args.list) if query.label in {item.label for item in tiles}]
    gallery, texts = model.encode(tiles, stored=True).codes, [query.text for query in asked]
    ways = {"typed": (model.encode_texts(texts), np.ones(len(texts), np.bool_))}
    if "sound" in model.config.encoders.modalities:
        ways["spoken"] = spoken(model, texts)
    found: dict[str, object] = {}
    for way, (codes, there) in ways.items():
        values = np.zeros(len(asked))  # of what has no code
        values[there] = precision(codes, [q.label for q, has in zip(asked, there, strict=True) if has], gallery)
        for name, plain in (("plain", True), ("own words", False)):
            own = values[[(query.kind == "plain") == plain for query in asked]]
            found[f"{way}, {name}"] = figure(f"{way}, {name}", own)
    classes = len({item.label for item in tiles})
    print(f"{args.data}: {len(tiles)} tiles of {classes} classes; chance {1 / classes:.3f}")
    keep(found, args.json)


if __name__ == "__main__":
    main()
