"""Where items' files lie as seen from a folder, and items as lines of JSON."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

from dtbh.data.manifest import Item
from dtbh.errors import CodesError, DataError
from dtbh.utils.files import parse_json


def read_items(path: Path, text: str) -> Iterator[Item]:
    """The items of a JSON Lines text, with paths made absolute from the folder of ``path``."""
    decode = absolute_from(path.parent)
    for number, line in enumerate(text.split("\n")[:-1], start=1):
        try:
            yield decode(Item(**parse_json(line)))
        except (TypeError, ValueError, DataError) as error:
            raise CodesError(f"{path}: line {number} is no item ({error})") from None


def relative_to(folder: Path) -> Callable[[Item], Item]:
    """A function that writes an item's path relative to ``folder``, with forward slashes."""
    root = folder.parent.resolve() / folder.name  # not where a link in its place points to: it is replaced
    parents: dict[str, str] = {}

    def encode(item: Item) -> Item:
        if item.path is None:
            return item
        parent, name = os.path.split(item.path)  # strings: this runs for every item of an archive
        if parent not in parents:
            parents[parent] = Path(os.path.relpath(Path(parent).resolve(), root)).as_posix()
        return replace(item, path=f"{parents[parent]}/{name}")

    return encode


def absolute_from(folder: Path) -> Callable[[Item], Item]:
    """A function that makes an item's path absolute, from where ``folder`` stands now."""
    root = folder.resolve()

    def decode(item: Item) -> Item:
        return item if item.path is None else replace(item, path=os.path.normpath(root / item.path))

    return decode
