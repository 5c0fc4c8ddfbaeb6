"""Tiles of scenes: windows of a raster file, without torch and without reading the whole.

Pixels without data are black. Needs the extra ``geo``.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from dtbh.errors import DtbhError, MediaError, MissingExtraError
from dtbh.media.files import check_media

if TYPE_CHECKING:
    from PIL import Image

Window = tuple[int, int, int, int]
PERCENTILES = (2.0, 98.0)  # shown black and white, where the values are not of eight bits
Ranges = tuple[tuple[float, float], ...]


@dataclass(frozen=True)
class Tile:
    """A window of a scene, and how its values are shown.

    Attributes:
        path: The scene.
        window: Column, row, width and height in pixels.
        bands: Numbers from 1, three for red, green and blue or one for grey; None: the first three, or the only one.
        ranges: For each band the values shown black and white; None: what the data type can hold.
    """

    path: Path
    window: Window
    bands: tuple[int, ...] | None = None
    ranges: Ranges | None = None


def picture(tile: Tile, *, least: int | None = None) -> Image.Image:
    """The tile as RGB, in its own size, or, where ``least`` is given, as the scene's overviews have it.

    Args:
        tile: Of which scene, and how it is shown.
        least: Read the coarsest overview that has so many pixels a side of the tile; the tile itself where none has.

    Raises:
        MediaError: The file can't be read, or has no such window or band.
        MissingExtraError: rasterio is not installed.
    """
    from PIL import Image

    with opened(tile.path) as scene:
        column, row, width, height = tile.window
        if column + width > scene.width or row + height > scene.height:
            raise MediaError(f"{tile.path}: {scene.width} x {scene.height} pixels, no window {list(tile.window)} in it")
        bands = tile.bands or shown_bands(scene)
        check_bands(scene, bands)
        ranges = tile.ranges or tuple(_whole(scene.dtypes[band - 1]) for band in bands)
        values, valid = read(scene, bands, tile.window, least=least)
    low, high = (np.array(ends)[:, None, None] for ends in zip(*ranges, strict=True))
    scaled = (np.where(valid, values, low) - low) / np.maximum(high - low, 1e-12)
    grey = (255 * scaled.clip(0, 1)).round().astype(np.uint8)
    return Image.fromarray(np.ascontiguousarray(np.broadcast_to(grey, (3, *grey.shape[1:])).transpose(1, 2, 0)))


@contextmanager
def opened(path: Path) -> Iterator[Any]:
    """The scene as rasterio's dataset, its errors as one line.

    Raises:
        MediaError: It can't be read.
        MissingExtraError: rasterio is not installed.
    """
    try:
        import rasterio
        from rasterio.errors import NotGeoreferencedWarning
    except ImportError:
        raise MissingExtraError("rasterio", "geo", "a tile of a scene") from None
    check_media(path, "a scene's")
    if not path.is_file():
        raise MediaError(f"{path}: no such file; check the path")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", NotGeoreferencedWarning)
            with rasterio.open(path) as scene:
                yield scene
    except DtbhError:
        raise
    except Exception as error:  # of damaged files not only rasterio's own
        reason = " ".join(str(error).split())
        raise MediaError(f"{path}: a scene that can't be read ({reason}); copy it again or leave it out") from None


def read(
    scene: Any, bands: tuple[int, ...], window: Window, *, least: int | None = None
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.bool_]]:
    """Values float32 [bands, height, width] of a window, and which pixels [height, width] hold data.

    With ``least`` they are of the coarsest overview of the scene that has so many pixels a side of the window; of the
    scene itself where none has.
    """
    from rasterio.windows import Window as Part

    there = set.intersection(*(set(scene.overviews(band)) for band in bands)) if least else set()
    smaller = max((times for times in there if min(window[2:]) >= times * (least or 0)), default=1)
    how = {"window": Part(*window), "out_shape": (len(bands), -(-window[3] // smaller), -(-window[2] // smaller))}
    values = scene.read(list(bands), out_dtype=np.float32, **how)
    valid = (scene.read_masks(list(bands), **how) > 0).all(axis=0) & np.isfinite(values).all(axis=0)
    return values, valid


def shown_bands(scene: Any) -> tuple[int, ...]:
    """The first three bands, or the first where there are fewer."""
    return (1, 2, 3) if scene.count >= 3 else (1,)


def check_bands(scene: Any, bands: tuple[int, ...]) -> None:
    """Raise `MediaError` unless the scene has these bands."""
    if missing := [band for band in bands if not 1 <= band <= scene.count]:
        raise MediaError(
            f"{scene.name}: has bands 1 to {scene.count}, wanted band {missing[0]}; give others to --bands"
        )


def _whole(dtype: str) -> tuple[float, float]:
    """The values that a data type can hold; those of floats are taken to lie in [0, 1]."""
    if np.dtype(dtype).kind not in "iu":
        return 0.0, 1.0
    return 0.0, float(np.iinfo(dtype).max)
