"""Codes with items of every kind, for the tests of this room."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from dtbh.codes import HashCodes, whole_numbers
from dtbh.data.manifest import Item


def box_at(west: float, south: float, width: float = 16.0, height: float = 3.0):
    """A footprint; one that goes over the 180th meridian has its east in the other hemisphere."""
    east = west + width if west + width <= 180 else west + width - 360
    return (west, south + height), (east, south + height), (east, south), (west, south)


def make_codes(n=60, bits=20, seed=0, encoder="e1", modalities=("image", "sound"), prefix="i", dim=None):
    """Few distinct codes, so that distances tie; every field is known of some items and not of others.

    With ``dim`` there are vectors, of which some are alike, and some have no length.
    """
    rng = np.random.default_rng(seed)
    values = rng.normal(size=(5, bits))[rng.integers(0, 5, n)]
    items = []
    for row in range(n):
        sound = modalities[row % len(modalities)] == "sound"
        items.append(
            Item(
                f"{prefix}{row}",
                modalities[row % len(modalities)],
                None if row % 11 == 3 else f"/media/{prefix}{row}.bin",
                (None, "beach", "river")[rng.integers(3)],
                f"p{row // 2}",
                (None, "train", "test")[rng.integers(3)],
                ("ann", "ben")[row % 3 % 2] if sound else None,
                f"words of {row % 7}" if sound else None,
                None if sound else (0, row, 8, 8),
                None if sound or row % 7 == 5 else box_at(37 * row % 360 - 180.0, 13 * row % 160 - 80.0),
                {"sensor": "S2" if row % 4 else "S1", **({"écluse": "oui ' \" %"} if row % 5 == 0 else {})},
            )
        )
    codes = HashCodes.from_values(values, encoder=encoder, items=items)
    if dim is None:
        return codes
    drawn = rng.normal(size=(n, dim)) * (np.arange(n) % 9 != 4)[:, None]
    drawn[n // 2 :] = drawn[: n - n // 2]
    return replace(codes, vectors=whole_numbers(drawn, np.int16))
