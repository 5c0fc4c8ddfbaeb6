"""Filtering by place: which footprints meet a box of longitudes and latitudes.

A footprint counts as the least box around it; one that goes over the 180th meridian is narrow there, not as wide as the
Earth.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from dtbh.errors import ConfigError

BOX = "bbox"
"""The name of the filter."""
Box = tuple[float, float, float, float]
Bounds = NDArray[np.float64]
TURNS = (-360.0, 0.0, 360.0)


def parse_box(text: str) -> Box:
    """West, south, east and north in degrees; a west beyond the east goes over the 180th meridian.

    Raises:
        ConfigError: Not four numbers, or no such place.
    """
    try:
        west, south, east, north = (float(part) for part in text.split(","))
    except ValueError:
        raise ConfigError(f"bbox {text!r}: wanted west,south,east,north in degrees, as in 8.4,47.3,8.7,47.5") from None
    if not (all(map(math.isfinite, (west, east))) and max(abs(west), abs(east)) <= 180 and -90 <= south <= north <= 90):
        raise ConfigError(f"bbox {text!r}: longitudes lie in -180..180 and latitudes in -90..90, south before north")
    return west, south, east + 360 if east < west else east, north


def bounds_of(footprint: Sequence[tuple[float, float]]) -> Box:
    """The least box around a footprint; east may be beyond 180."""
    longitudes = [longitude for longitude, _ in footprint]
    latitudes = [latitude for _, latitude in footprint]
    if max(longitudes) - min(longitudes) > 180:
        longitudes = [longitude + 360 if longitude < 0 else longitude for longitude in longitudes]
    return min(longitudes), min(latitudes), max(longitudes), max(latitudes)


def meets(bounds: Bounds, box: Box) -> NDArray[np.bool_]:
    """Which bounds, float [n, 4], share a point with the box, bool [n]."""
    west, south, east, north = box
    across = np.zeros(len(bounds), np.bool_)
    for turn in TURNS:
        across |= (bounds[:, 0] <= east + turn) & (bounds[:, 2] >= west + turn)
    return across & (bounds[:, 1] <= north) & (bounds[:, 3] >= south)
