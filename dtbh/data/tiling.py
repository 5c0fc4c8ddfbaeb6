"""Scenes to tiles: which windows of a raster file are items, and where on Earth they lie.

An item is a window; ``fields`` holds the scene's name and how its values are shown, so that a picture of it is always
the same.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from dtbh.data.manifest import Item
from dtbh.errors import ConfigError, MediaError
from dtbh.media.raster import PERCENTILES, Ranges, Tile, Window, check_bands, opened, read, shown_bands

SUFFIXES = frozenset({".tif", ".tiff"})
PROBES = 6  # windows along each side that the percentiles are taken from
SEEN = 64  # pixels a side that tell whether a tile is empty
LEAST = 0.1  # share of pixels with data, below which a tile is empty


@dataclass(frozen=True)
class Tiling:
    """How scenes are cut.

    Attributes:
        size: Side of a tile in pixels, from 8.
        stride: Pixels from a tile to the next; None: the size, so that tiles do not overlap.
        bands: Numbers from 1 of what is shown as red, green and blue, or one for grey; None: the first three.
        range: The values shown black and white; None: 0 to 255 for eight bits, else percentiles of each band.
    """

    size: int = 256
    stride: int | None = None
    bands: tuple[int, ...] | None = None
    range: tuple[float, float] | None = None

    def __post_init__(self) -> None:
        if self.size < 8:
            raise ConfigError(f"--tile {self.size}: wanted 8 pixels or more")
        if self.stride is not None and self.stride < 1:
            raise ConfigError(f"--stride {self.stride}: wanted 1 pixel or more")
        if self.bands is not None and (len(self.bands) not in (1, 3) or min(self.bands) < 1):
            raise ConfigError(f"--bands {_joined(self.bands)}: wanted one band or three, as in --bands 4,3,2")
        if self.range is not None and not (math.isfinite(sum(self.range)) and self.range[0] < self.range[1]):
            raise ConfigError(f"--range {_joined(self.range)}: wanted lowest,highest, as in --range 0,3000")

    def to_json(self) -> str:
        """As text, for another process."""
        return json.dumps([self.size, self.stride, self.bands, self.range])

    @classmethod
    def from_json(cls, text: str) -> Tiling:
        """The inverse of `to_json`."""
        size, stride, *others = json.loads(text)
        bands, range = (None if values is None else tuple(values) for values in others)
        return cls(size, stride, bands, range)


def cut(path: Path, name: str, cutting: Tiling) -> list[Item]:
    """The tiles of a scene that hold data, as items; the last of a row or column ends at the scene's edge.

    Args:
        path: The scene.
        name: What its tiles' ids begin with.
        cutting: How to cut.

    Raises:
        MediaError: It can't be read, or lacks a band.
        MissingExtraError: rasterio is not installed.
    """
    with opened(path) as scene:
        bands = cutting.bands or shown_bands(scene)
        check_bands(scene, bands)
        fields = {"scene": name, "bands": _joined(bands), "range": _written(_ranges(scene, bands, cutting))}
        return [
            Item(f"{name}@{window[0]},{window[1]}", "image", str(path.resolve()), window=window,
                 footprint=_footprint(scene, window), fields=fields)
            for window in _windows(scene.width, scene.height, cutting)
            if _holds_data(scene, bands, window)
        ]  # fmt: skip


def media_of(item: Item) -> Path | Tile:
    """What is read for an image: its file, or a window of it.

    Raises:
        MediaError: A window whose bands or ranges can't be read.
    """
    path = Path(str(item.path))
    if item.window is None or len(item.window) != 4:
        return path
    try:
        bands = tuple(int(band) for band in item.fields["bands"].split(",")) if "bands" in item.fields else None
        ranges = _parsed(item.fields["range"]) if "range" in item.fields else None
    except ValueError:
        raise MediaError(f"item {item.id}: its bands or range can't be read; index its scene again") from None
    return Tile(path, item.window, bands, ranges)


def _windows(width: int, height: int, cutting: Tiling) -> Iterator[Window]:
    size = cutting.size
    for row in _starts(height, size, cutting.stride or size):
        for column in _starts(width, size, cutting.stride or size):
            yield column, row, min(size, width), min(size, height)


def _starts(length: int, size: int, stride: int) -> list[int]:
    """Where tiles begin along one side."""
    last = max(length - size, 0)
    return [*range(0, last, stride), last]


def _holds_data(scene: Any, bands: tuple[int, ...], window: Window) -> bool:
    """Whether enough pixels are valid and not 0 in every band; an overview of the scene will do."""
    values, valid = read(scene, bands, window, least=SEEN)
    return bool((valid & values.any(axis=0)).mean() >= LEAST)


def _ranges(scene: Any, bands: tuple[int, ...], cutting: Tiling) -> Ranges:
    """For each band the values that are shown black and white."""
    if cutting.range is not None:
        return (cutting.range,) * len(bands)
    if all(scene.dtypes[band - 1] == "uint8" for band in bands):
        return ((0.0, 255.0),) * len(bands)
    side = min(cutting.size, scene.width, scene.height)
    parts = []
    for row in np.linspace(0, scene.height - side, PROBES).astype(int).tolist():
        for column in np.linspace(0, scene.width - side, PROBES).astype(int).tolist():
            values, valid = read(scene, bands, (column, row, side, side))
            parts.append(values[:, valid & values.any(axis=0)])
    values = np.concatenate(parts, axis=1)
    if not values.size:
        return ((0.0, 1.0),) * len(bands)
    low, high = np.percentile(values, PERCENTILES, axis=1).astype(float)
    return tuple((a, b if b > a else a + 1) for a, b in zip(low.tolist(), high.tolist(), strict=True))


def _footprint(scene: Any, window: Window) -> tuple[tuple[float, float], ...] | None:
    """The corners as longitude and latitude, clockwise from the first pixel; None where the scene does not say."""
    if scene.crs is None:
        return None
    from rasterio.transform import xy
    from rasterio.warp import transform

    column, row, width, height = window
    columns, rows = [column, column + width, column + width, column], [row, row, row + height, row + height]
    eastings, northings = xy(scene.transform, rows, columns, offset="ul")
    longitudes, latitudes = transform(scene.crs, "EPSG:4326", eastings, northings)[:2]
    corners = tuple((round(x, 7), round(y, 7)) for x, y in zip(longitudes, latitudes, strict=True))
    return corners if all(math.isfinite(value) for corner in corners for value in corner) else None


def _joined(values: tuple[float, ...]) -> str:
    return ",".join(f"{value:g}" for value in values)


def _written(ranges: Ranges) -> str:
    """Ranges as text, ``0,3000 0,2500 0,2000``."""
    return " ".join(f"{low:.6g},{high:.6g}" for low, high in ranges)


def _parsed(text: str) -> Ranges:
    """The inverse of `_written`."""
    pairs = (part.split(",") for part in text.split())
    return tuple((float(low), float(high)) for low, high in pairs)
