"""What a source is: a function from files on disk to items, or to a manifest of pictures that it draws itself."""

from __future__ import annotations

from collections.abc import Callable

from dtbh.data.manifest import Item, Manifest
from dtbh.utils.registry import load_modules, load_plugins, register

Source = Callable[..., list[Item] | Manifest]
SOURCES: dict[str, Source] = {}
"""What ``dtbh prepare`` takes, by its name, as far as it was imported; `known_sources` imports all."""
GIVEN = ("out", "media")
"""Parameters of a source that ``dtbh prepare`` fills itself."""


def source(name: str) -> Callable[[Source], Source]:
    """A decorator that makes a function the source ``name``.

    Its parameters are what ``dtbh prepare NAME`` takes: one named ``path`` stands alone, the others are options. Their
    types are ``Path``, ``str``, ``int``, ``float``, ``bool``, or one of these ``| None``; their help is what ``Args``
    says of them. It reads names and captions, and gives items with absolute paths, whose files are checked then; all
    problems are raised as one `DataError`. A source that makes files of its own has a parameter ``out``, the data
    folder, and returns the manifest that it wrote there; one that reads media out of other files has a parameter
    ``media``, to which it gives them (`dtbh.data.sources.extracted.Extracted.put`).
    """
    return register(SOURCES, name)


def known_sources() -> dict[str, Source]:
    """`SOURCES` with those of this folder and those of other packages (entry points ``dtbh.sources``), by name.

    Raises:
        ConfigError: A package's entry point can't be loaded.
    """
    load_modules("dtbh.data.sources")
    load_plugins("dtbh.sources")
    return dict(sorted(SOURCES.items()))
