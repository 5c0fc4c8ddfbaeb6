"""Drawn scenes: a data set that needs no data."""

from __future__ import annotations

from pathlib import Path

from dtbh.data.manifest import Manifest
from dtbh.data.sources.base import source


@source("synthetic")
def synthetic(out: Path, classes: int = 10, per_class: int = 40, size: int = 128, seed: int = 0) -> Manifest:
    """Aerial scenes drawn here, with captions that tell what is really drawn; nothing is read.

    Args:
        out: The data folder.
        classes: How many kinds of scenes, 1 to 10.
        per_class: Pictures of each.
        size: Their side in pixels.
        seed: Another one gives other pictures.

    Raises:
        ConfigError: A number out of range.
        DataError: ``out`` holds something that was not drawn.
    """
    from dtbh.data.synthetic.generate import draw  # what draws is heavy, and most of the time another source is meant

    return draw(out, classes=classes, per_class=per_class, size=size, seed=seed)
