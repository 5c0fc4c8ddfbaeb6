"""Data sets of Hugging Face `datasets` as they lie on disk, read with pyarrow alone."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from dtbh.data.manifest import Item
from dtbh.data.sources.arrow import ArrowFile, open_arrow
from dtbh.data.sources.arrow_rows import file_rows
from dtbh.data.sources.base import source
from dtbh.data.sources.extracted import Extracted
from dtbh.data.sources.readers import items_or_problems
from dtbh.data.sources.rows import COLUMNS, Row, is_free, items_of
from dtbh.data.sources.split_names import split_named
from dtbh.errors import DataError
from dtbh.utils.files import parse_json

ALIASES = {
    "image": ("img", "image_path", "image_file", "filepath"),
    "sound": ("audio", "speech", "wav"),
    "label": ("labels", "class", "class_name", "category"),
    "transcript": ("caption", "captions", "text", "sentence", "sentences", "raw", "transcription"),
    "speaker": ("speaker_id", "client_id"),
}
"""What columns are called there, the first that is there counts."""


@source("hf")
def hf(path: Path, media: Extracted) -> list[Item]:
    """A Hugging Face data set on disk: what `save_to_disk` wrote, or its Parquet files as they are downloaded.

    Columns are those of a table, or are told by their usual names (``audio``, ``caption``, ...) and by their kind
    (Image, Audio). Class numbers become names. A split is the folder's, or the beginning of a Parquet file's name.
    Further columns of texts and numbers are fields.

    Args:
        path: The folder with ``state.json`` or ``dataset_dict.json``, one with Parquet files, or one such file.
        media: Takes the images and sounds that stand in it.

    Returns:
        As `table`.

    Raises:
        DataError: No such data set, a damaged file, or no column for images or sounds.
    """
    problems: list[str] = []
    items = items_of(_rows(path, media), path if path.is_dir() else path.parent, problems)
    if not items and not problems:
        problems.append(f"{path}: no rows in it")
    return items_or_problems("hf", items, problems)


def _rows(path: Path, media: Extracted) -> Iterator[Row]:
    for split, name, noted in _files(path):
        file = open_arrow(name)
        features = {**file.features, **noted}
        names = _columns(file, features)
        values = {column: of for column, of in names.items() if split is None or of != "split"}
        for row in file_rows(file, media, partial(_value, features), values):
            told = split_named(row.values["split"]) if "split" in row.values else split
            kept = {column: value for column, value in row.values.items() if column != "split"}
            yield Row(row.where, kept | ({"split": told} if told else {}), row.files)


def _files(path: Path) -> Iterable[tuple[str | None, Path, Mapping[str, Any]]]:
    """The data files with their split, and what is noted of their columns beside them."""
    if path.is_file():
        return [(split_named(path.name), path, {})]
    if (path / "dataset_dict.json").is_file():
        splits = _json(path / "dataset_dict.json").get("splits")
        if not isinstance(splits, list) or not all(isinstance(one, str) for one in splits):
            raise DataError(f"{path / 'dataset_dict.json'}: no list `splits` in it; save the data set again")
        return [(split_named(one), *file) for one in splits for file in _saved(_inside(path, one))]
    if (path / "state.json").is_file():
        return [(split_named(path.name), *file) for file in _saved(path)]
    found = sorted(
        file
        for file in path.rglob("*.parquet")
        if not any(part.startswith(".") for part in file.relative_to(path).parts)
    )
    if not found:
        raise DataError(
            f"{path}: no Hugging Face data set; wanted state.json or dataset_dict.json, as save_to_disk writes, or "
            f"*.parquet files"
        )
    return [(split_named(file.name) or split_named(file.parent.name), file, {}) for file in found]


def _saved(folder: Path) -> Iterable[tuple[Path, Mapping[str, Any]]]:
    """The Arrow files of one saved data set, and its columns' features."""
    files = _json(folder / "state.json").get("_data_files")
    names = [one.get("filename") if isinstance(one, dict) else None for one in files or ()]
    if not isinstance(files, list) or not all(isinstance(name, str) for name in names):
        raise DataError(f"{folder / 'state.json'}: no list `_data_files` in it; save the data set again")
    info = folder / "dataset_info.json"
    features = _json(info).get("features") if info.is_file() else {}
    return [(_inside(folder, str(name)), features if isinstance(features, dict) else {}) for name in names]


def _inside(folder: Path, name: str) -> Path:
    """A file or folder that must lie in ``folder``."""
    if name in ("", ".", "..") or re.search(r"[/\\\0]", name):
        raise DataError(f"{folder}: names {name!r}, which does not lie in it; nothing is read from elsewhere")
    return folder / name


def _json(path: Path) -> dict[str, Any]:
    try:
        found = parse_json(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise DataError(f"{path}: can't be read as JSON ({error}); save the data set again") from None
    if not isinstance(found, dict):
        raise DataError(f"{path}: wanted an object, found {type(found).__name__}; save the data set again")
    return found


def _columns(file: ArrowFile, features: Mapping[str, Any]) -> dict[str, str]:
    """What each column is called in a table; those that can't be fields are left out."""
    lower = {name.strip().lower(): name for name in reversed([*file.types])}
    found: dict[str, str] = {}
    for column in COLUMNS:
        for name in (column, *ALIASES.get(column, ())):
            if name in lower and lower[name] not in found:
                found[lower[name]] = column
                break
    for column, kind in (("image", "Image"), ("sound", "Audio")):
        of = [name for name in file.types if _kind(features.get(name)) == kind]
        if column not in found.values() and len(of) == 1:
            found[of[0]] = column
    if not {"image", "sound"} & {*found.values()}:
        there = ", ".join(f"{name} ({kind})" for name, kind in file.types.items()) or "none"
        raise DataError(f"{file.path}: no column for images or sounds; found {there}; name one image or sound")
    return found | {name: name for name in file.types if name not in found and name not in COLUMNS and is_free(name)}


def _kind(feature: Any) -> str | None:
    return feature.get("_type") if isinstance(feature, dict) else None


def _value(features: Mapping[str, Any], column: str, value: Any) -> Any:
    return _meant(features.get(column), value)


def _meant(feature: Any, value: Any) -> Any:
    """A value with class numbers turned into names; a class that is not known is none."""
    if isinstance(feature, list) and len(feature) == 1:  # how a list was noted once
        feature = {"feature": feature[0]}
    if isinstance(value, list):
        inner = feature.get("feature") if isinstance(feature, dict) else None
        return [_meant(inner, one) for one in value]
    names = feature.get("names") if isinstance(feature, dict) and _kind(feature) == "ClassLabel" else None
    if not isinstance(names, Sequence) or isinstance(names, str) or type(value) is not int:
        return value
    return str(names[value]) if 0 <= value < len(names) else None
