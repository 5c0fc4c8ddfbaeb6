"""Results as GeoJSON."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

from dtbh.utils.files import write_text

if TYPE_CHECKING:
    from dtbh.index.result import SearchResult


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
