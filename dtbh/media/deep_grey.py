"""Grey images deeper than eight bits to eight, block by block: a large one as float64 would take gigabytes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from dtbh.media import raster

if TYPE_CHECKING:
    from PIL import Image

SHADES = 16
"""Of 256: an image deeper than eight bits that would keep fewer is stretched."""
BLOCK = 1 << 20  # pixels taken at a time
SAMPLE = 1 << 22  # values that percentiles come from: of more, every n-th
NONE, BEYOND = (-9999.0, -99999.0, -32768.0), 1e30  # values that stand for none
NO_DATA = 42113  # GDAL's tag

Pixels = npt.NDArray[np.uint8]
Deep = npt.NDArray[np.generic]
Values = npt.NDArray[np.float64]


def row_blocks(image: Image.Image) -> Iterator[tuple[int, Image.Image]]:
    """The image in blocks of whole rows, from the top, each with its first row's number."""
    rows = max(1, BLOCK // max(1, image.width))
    for top in range(0, image.height, rows):
        yield top, image.crop((0, top, image.width, min(top + rows, image.height)))


def no_data(image: Image.Image) -> tuple[float, ...]:
    """The values that stand for none in a file: what it says, and what is usual."""
    with suppress(ValueError, TypeError, AttributeError, KeyError):  # other kinds of files have no such tag
        return (*NONE, float(str(image.tag_v2[NO_DATA]).strip("\0 ")))  # type: ignore[attr-defined]
    return NONE


def eight_bits(image: Image.Image, missing: tuple[float, ...]) -> Pixels:
    """The grey in eight bits, or where hardly a shade would be left of it, as of heights or heat, its own range.

    Args:
        image: Of a mode of 16 bits, or "I" or "F".
        missing: Values that stand for none, which are black where the range is stretched.

    Returns:
        uint8 [height, width].
    """
    plain = _plain(image)
    if int(plain.max()) - int(plain.min()) >= SHADES:
        return plain
    count = sum(int(_valid(deep, missing).sum()) for deep in _arrays(image))
    if not count:
        return plain
    low, high = np.percentile(_sample(image, missing, count), raster.PERCENTILES)
    if high <= low:
        return plain

    def stretched(deep: Deep) -> Values:
        scaled = (deep.astype(np.float64) - low) / (high - low)
        return np.asarray(255 * np.where(_valid(deep, missing), scaled, 0).clip(0, 1))

    return _mapped(image, stretched)


def _plain(image: Image.Image) -> Pixels:
    """Grey of 16 bits by what they can hold; of 32 by the narrowest usual range: to 1, 255, 65535, or its own."""
    if image.mode.startswith("I;16"):
        return _mapped(image, lambda deep: deep.astype(np.uint16) // 257)
    top = max(float(_positive(deep).max(initial=0.0)) for deep in _arrays(image))
    full = next((limit for limit in (1.0, 255.0, 65535.0) if top <= limit), top)
    return _mapped(image, lambda deep: _positive(deep) * (255 / full))


def _positive(deep: Deep) -> Values:
    """Black where it is no number or below 0."""
    return np.asarray(np.nan_to_num(deep.astype(np.float64), nan=0.0, posinf=0.0, neginf=0.0).clip(min=0))


def _valid(deep: Deep, missing: tuple[float, ...]) -> npt.NDArray[np.bool_]:
    """Which pixels hold data."""
    values = deep.astype(np.float64)
    return np.asarray(np.isfinite(values) & (np.abs(values) < BEYOND) & ~np.isin(values, missing))


def _sample(image: Image.Image, missing: tuple[float, ...], count: int) -> Values:
    """The ``count`` values that are data, or every n-th of them where they are many."""
    step = -(-count // SAMPLE) | 1  # odd, so as not to fall into step with rows
    parts, seen = [], 0
    for deep in _arrays(image):
        values = deep[_valid(deep, missing)]
        parts.append(values[-seen % step :: step].astype(np.float64))
        seen += len(values)
    return np.concatenate(parts)


def _arrays(image: Image.Image) -> Iterator[Deep]:
    """The blocks as arrays [rows, width]."""
    for _, block in row_blocks(image):
        yield np.asarray(block)


def _mapped(image: Image.Image, scale: Callable[[Deep], npt.NDArray[np.generic]]) -> Pixels:
    """All blocks scaled to [0, 255] and rounded."""
    found = np.empty((image.height, image.width), np.uint8)
    top = 0
    for deep in _arrays(image):
        found[top : top + len(deep)] = np.asarray(scale(deep)).round()
        top += len(deep)
    return found
