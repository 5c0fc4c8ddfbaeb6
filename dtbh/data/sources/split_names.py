"""What splits are called by those who publish data."""

from __future__ import annotations

import re

from dtbh.data.manifest import Split

NAMES: dict[str, Split] = {
    "train": "train", "training": "train", "val": "val", "valid": "val", "validation": "val", "dev": "val",
    "test": "test", "testing": "test",
}  # fmt: skip


def split_named(name: str) -> Split | None:
    """The split that a folder or a file is called after (``validation``, ``train-00000-of-00003.parquet``), if any."""
    return NAMES.get(re.split(r"[-_.]", name.strip().lower())[0])
