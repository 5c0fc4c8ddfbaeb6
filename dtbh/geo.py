"""What the commands say and take of places on Earth: cutting scenes, a box to search in, hits as GeoJSON.

Comes in: arguments from ``dtbh.cli``, and results. Heavy imports stand inside the functions.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import TYPE_CHECKING

from dtbh.errors import ConfigError
from dtbh.files import write_text

if TYPE_CHECKING:
    from dtbh.data.tiles import Cutting
    from dtbh.index.result import SearchResult

Arguments = argparse.Namespace


def add_cutting(parser: argparse.ArgumentParser) -> None:
    """The options that cut scenes into tiles."""
    parser.add_argument("--tile", type=int, metavar="PIXELS", help="cut TIFF scenes into tiles of this side")
    parser.add_argument("--stride", type=int, metavar="PIXELS", help="from a tile to the next (default: the side)")
    parser.add_argument("--bands", metavar="R,G,B", help="band numbers to show, or one (default 1,2,3)")
    parser.add_argument("--range", metavar="LOW,HIGH", help="values shown black and white (default: 2 to 98 percent)")


def cutting(args: Arguments) -> Cutting | None:
    """How to cut; None where ``--tile`` was not given.

    Raises:
        ConfigError: Values that can't be, or options without ``--tile``.
    """
    if args.tile is None:
        for name in ("stride", "bands", "range"):
            if getattr(args, name) is not None:
                raise ConfigError(f"--{name} goes with --tile PIXELS, which cuts scenes")
        return None
    from dtbh.data.tiles import Cutting

    try:
        bands = None if args.bands is None else tuple(int(band) for band in args.bands.split(","))
    except ValueError:
        raise ConfigError(f"--bands {args.bands}: wanted band numbers, as in --bands 4,3,2") from None
    try:
        ends = None if args.range is None else tuple(float(end) for end in args.range.split(","))
    except ValueError:
        ends = ()
    if ends is not None and len(ends) != 2:
        raise ConfigError(f"--range {args.range}: wanted lowest,highest, as in --range 0,3000")
    return Cutting(args.tile, args.stride, bands, None if ends is None else (ends[0], ends[1]))


def write_geojson(result: SearchResult, path: Path) -> int:
    """Write the hits that have a footprint as a FeatureCollection (RFC 7946); returns how many.

    Args:
        result: Of one query or several.
        path: The file, written whole.
    """
    features = []
    for query, hits in enumerate(result):
        for hit in hits:
            if hit.item.footprint is None:
                continue
            known = {name: value for name, value in hit.to_dict().items() if name not in ("footprint", "fields")}
            corners = [list(corner) for corner in _counterclockwise(hit.item.footprint)]
            features.append({
                "type": "Feature",
                "geometry": {"type": "Polygon", "coordinates": [[*corners, corners[0]]]},
                "properties": {"query": query, **known, **hit.item.fields},
            })  # fmt: skip
    text = json.dumps({"type": "FeatureCollection", "features": features}, ensure_ascii=False, indent=1)
    write_text(path, text + "\n")
    return len(features)


def _counterclockwise(corners: tuple[tuple[float, float], ...]) -> tuple[tuple[float, float], ...]:
    """The corners in the order that RFC 7946 wants of an outer ring."""
    following = (*corners[1:], corners[0])
    twice = sum((x2 - x1) * (y2 + y1) for (x1, y1), (x2, y2) in zip(corners, following, strict=True))
    return corners[::-1] if twice > 0 else corners
