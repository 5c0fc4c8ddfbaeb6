"""Several prepared data folders as one: their items side by side, and a class of the same name the same class."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from dtbh.data.manifest import Item, Manifest, read_manifest, relative
from dtbh.data.paraphrases import FIELD
from dtbh.errors import DataError

JOINED = "+"
"""What stands between the sources of a manifest that was joined."""


def read_data(folders: Sequence[str | Path]) -> Manifest:
    """The manifest of one prepared data folder, or those of several as one.

    Args:
        folders: One at least. Of several, items and pairs are named after their folder too, as in ``ucm/308``.

    Raises:
        DataError: No manifest in one of them, or two folders of the same name.
    """
    manifests = [read_manifest(folder) for folder in folders]
    return manifests[0] if len(manifests) == 1 else joined(manifests)


def joined(manifests: Sequence[Manifest]) -> Manifest:
    """Several manifests as one, whose root is the folder that holds them all.

    Raises:
        DataError: Two of them lie in folders of the same name.
    """
    roots = [manifest.root.resolve() for manifest in manifests]
    names = [root.name for root in roots]
    if len(set(names)) < len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise DataError(f"{roots[names.index(twice)]}: given twice, or two data folders of this name; rename one")
    above = Path(os.path.commonpath(roots))
    items = tuple(
        item for manifest, name in zip(manifests, names, strict=True) for item in _named(manifest, name, above)
    )
    return Manifest(items, above, JOINED.join(manifest.source for manifest in manifests), parts=tuple(roots))


def _named(manifest: Manifest, name: str, above: Path) -> Iterator[Item]:
    """The items of a manifest called ``name``, as seen from the folder ``above``."""
    for item in manifest:
        yield replace(
            item,
            id=f"{name}/{item.id}",
            pair=None if item.pair is None else f"{name}/{item.pair}",
            path=None if item.path is None else relative(manifest.root / item.path, above),
            fields={key: f"{name}/{value}" if key == FIELD else value for key, value in item.fields.items()},
        )
