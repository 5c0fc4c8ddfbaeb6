"""A source of one's own: one function, and ``dtbh prepare`` takes it.

    python examples/custom_source.py notes --photos photos --out data/notes

Here: a folder of photos named ``harbor_1.png``, with a text file of the same name beside each, one caption a line.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from dtbh.cli.main import main as dtbh
from dtbh.data.manifest import Item
from dtbh.data.sources.base import source
from dtbh.errors import DataError


@source("notes")
def notes(photos: Path) -> list[Item]:
    """Photos with a text file beside each.

    Args:
        photos: The folder, of ``<class>_<number>.png`` and ``.txt``.

    Returns:
        Each image, followed by a sound still to be spoken for each line of its text.

    Raises:
        DataError: Photos without a text.
    """
    files = sorted(photos.glob("*.png"))
    missing = [f"{text}: no such file" for file in files if not (text := file.with_suffix(".txt")).is_file()]
    if missing or not files:
        raise DataError(f"{photos}: wanted *.png, and a .txt beside each", missing)
    items = []
    for file in files:
        label = file.stem.rpartition("_")[0]
        items.append(Item(file.stem, "image", str(file.resolve()), label, pair=file.stem))
        lines = [line for line in file.with_suffix(".txt").read_text(encoding="utf-8").splitlines() if line]
        for number, line in enumerate(lines, start=1):
            items.append(Item(f"{file.stem}S{number}", "sound", None, label, pair=file.stem, transcript=line))
    return items


def main(arguments: Sequence[str]) -> int:
    """``dtbh prepare``, with the source above."""
    return dtbh(["prepare", *arguments])


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
