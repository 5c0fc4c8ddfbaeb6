"""YAML files of settings, each of which may build on another: ``base: ucm.yaml`` at its head.

A file takes all settings of its base and says only what differs. ``base`` is looked for beside the file, then beside
its folder, so that ``configs/milan/ucm.yaml`` may name ``dtbh/ucm.yaml``. Sections are joined key by key; any other
value, a list and null among them, takes the place of the base's, and so does ``learning.losses``, the objective, as a
whole.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from dtbh.config.renamed import renamed
from dtbh.errors import ConfigError

BASE = "base"
WHOLE = ("learning.losses",)
"""Mappings that are one value."""


def read_preset(path: Path) -> dict[str, Any]:
    """The settings of a file and of what it builds on, without ``base`` and not checked yet.

    Raises:
        ConfigError: A file that can't be read or is not YAML, a base that is missing, or files in a circle.
    """
    content = renamed(_read(path), str(path))
    layers, readers = [content], [path]
    while BASE in content:
        file = _base(content[BASE], readers[-1])
        if file.resolve() in [reader.resolve() for reader in readers]:
            circle = " -> ".join(map(str, [*readers, file]))
            raise ConfigError(f"{path}: base goes in a circle: {circle}; let one of them say its settings itself")
        content = renamed(_read(file), str(file))
        layers.append(content)
        readers.append(file)
    merged: dict[str, Any] = {}
    for layer in reversed(layers):
        merged = merge(merged, {key: value for key, value in layer.items() if key != BASE})
    return merged


def merge(base: Mapping[str, Any], own: Mapping[str, Any], section: str = "") -> dict[str, Any]:
    """The settings of ``base`` with those of ``own`` in their place."""
    merged = {**base}
    for key, value in own.items():
        name, old = f"{section}{key}", base.get(key)
        if isinstance(value, Mapping) and isinstance(old, Mapping) and name not in WHOLE:
            merged[key] = merge(old, value, f"{name}.")
        else:
            merged[key] = value
    return merged


def _base(named: object, reader: Path) -> Path:
    """The file that is named as a base."""
    if not isinstance(named, str) or not named:
        raise ConfigError(f"{reader}: base: {named!r} is no file; wanted a path, as in base: dtbh/ucm.yaml")
    places = [reader.parent / named, reader.parent.parent / named]
    for file in places:
        if file.is_file():
            return file
    raise ConfigError(f"{reader}: base: {named} is neither {places[0]} nor {places[1]}; give the path of a file")


def _read(path: Path) -> dict[str, Any]:
    """What one file says."""
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"{path}: no config can be read here ({error.strerror})") from None
    except (yaml.YAMLError, ValueError, OverflowError, RecursionError) as error:  # of text, dates, or nested too deep
        raise ConfigError(f"{path}: not YAML ({' '.join(str(error).split())})") from None
    if content is None:
        return {}
    if not isinstance(content, dict):
        raise ConfigError(f"{path}: wanted settings as 'key: value', found {type(content).__name__}")
    return content
