"""The manifest: which images and sounds there are, how they pair, and what is known of each.

Paths stand relative to the manifest's own folder, so a data folder can be moved together with its media.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal, get_args

from dtbh.errors import DataError
from dtbh.utils.files import is_utf8, parse_json, write_text

Modality = Literal["image", "sound", "text"]
Split = Literal["train", "val", "test"]
MODALITIES: tuple[Modality, ...] = get_args(Modality)
SPLITS: tuple[str, ...] = get_args(Split)
VERSION = 1
NAME = "manifest.jsonl"
BETWEEN = ";"
"""What stands between the labels of an item that has several."""


def split_labels(text: str) -> tuple[str, ...]:
    """The labels in ``harbor;residential``, sorted, each once and without blanks around it; in ``;`` there is none.

    A text without ``;`` is one label, as it stands.
    """
    if BETWEEN not in text:
        return (text,)
    return tuple(sorted({part.strip() for part in text.split(BETWEEN)} - {""}))


def join_labels(text: str) -> str:
    """Labels as an item has them: those of `split_labels` with ``;`` between them."""
    return BETWEEN.join(split_labels(text))


@dataclass(frozen=True, slots=True)
class Item:
    """One image, one sound or one text.

    Attributes:
        id: Unique in its manifest.
        modality: ``"image"``, ``"sound"`` or ``"text"``.
        path: The media file, relative to the manifest's folder or absolute; None for a text, and for a caption
            that has not been spoken yet.
        label: The class name, or None where it is not known. Several stand with ``;`` between them, as in
            ``"harbor;residential"``, sorted and each once; in whatever order, or as a list, they may be given.
        pair: The pair's name, shared by an image and the sounds that describe it; None where only the
            class relates them.
        split: ``"train"``, ``"val"`` or ``"test"`` as the source has it; None where it has none.
        speaker: Who speaks, for sounds.
        transcript: What is said, for sounds; the text itself.
        window: The part of ``path`` that it is. For a tile of a scene, its place in pixels: column, row, width, height;
            the first two from 0, the others from 1. For a passage of a sound, its time in seconds: start from 0,
            length above 0.
        footprint: The corners of what is seen, as (longitude, latitude) in degrees, WGS 84; at least three.
        fields: What else is known, by name, as in ``{"sensor": "S2"}``; no name is one of the above.
    """

    id: str
    modality: Modality
    path: str | None = None
    label: str | None = None
    pair: str | None = None
    split: Split | None = None
    speaker: str | None = None
    transcript: str | None = None
    window: tuple[int, int, int, int] | tuple[float, float] | None = None
    footprint: tuple[tuple[float, float], ...] | None = None
    fields: Mapping[str, str] = field(default_factory=dict, hash=False)

    def __post_init__(self) -> None:
        if not isinstance(self.id, str) or not self.id:
            raise DataError(f"an item needs an id that is a non-empty string, found {self.id!r}")
        if self.modality not in MODALITIES:
            raise DataError(f"item {self.id}: modality must be image, sound or text, found {self.modality!r}")
        if (label := _label(self.label)) is not self.label:
            object.__setattr__(self, "label", label)
        if self.split is not None and self.split not in SPLITS:
            raise DataError(f"item {self.id}: split must be train, val or test, found {self.split!r}")
        for name in ("path", "label", "pair", "speaker", "transcript"):
            value = getattr(self, name)
            if value is not None and not isinstance(value, str):
                raise DataError(f"item {self.id}: {name} must be a string, found {value!r}")
        if self.window is not None:
            read = _passage if self.modality == "sound" else _window
            object.__setattr__(self, "window", read(self.id, self.window))
        if self.footprint is not None:
            object.__setattr__(self, "footprint", _footprint(self.id, self.footprint))
        if self.fields != {}:
            _check_fields(self.id, self.fields)

    @property
    def labels(self) -> tuple[str, ...]:
        """The labels, sorted: none, one, or several."""
        return () if self.label is None else split_labels(self.label)

    def to_dict(self) -> dict[str, Any]:
        """The item's known fields, in the order above, as values for JSON."""
        known = {name: value for name in self.__slots__ if (value := getattr(self, name)) is not None}
        if self.fields:
            return known | {"fields": dict(self.fields)}
        del known["fields"]
        return known

    def texts(self) -> Iterator[tuple[str, str]]:
        """Name and value of all its texts, and those of ``fields``."""
        yield from ((name, value) for name, value in self.to_dict().items() if isinstance(value, str))
        yield from self.fields.items()

    def not_utf8(self) -> tuple[str, str] | None:
        """Name and value of the first of its texts that UTF-8 can't hold, as a file's name may be; None if none is."""
        for name, value in self.texts():
            if not is_utf8(name + value):
                return name, value
        return None


def _label(label: Any) -> Any:
    """Several labels as one text; anything else as it is."""
    if isinstance(label, (list, tuple)) and all(isinstance(one, str) for one in label):
        label = BETWEEN.join(label) or None
    return join_labels(label) or None if isinstance(label, str) and BETWEEN in label else label


def _window(id_: str, window: Any) -> tuple[int, int, int, int]:
    """The window as a tuple, if it is one."""
    whole = isinstance(window, (tuple, list)) and all(type(number) is int for number in window)
    if not whole or len(window) != 4 or min(window) < 0 or min(window[2:]) < 1:
        raise DataError(f"item {id_}: window must be column, row, width, height in pixels, found {window!r}")
    return (window[0], window[1], window[2], window[3])


def _passage(id_: str, window: Any) -> tuple[float, float]:
    """The window of a sound as a tuple, if it is one."""
    try:
        start, seconds = map(float, window if isinstance(window, (tuple, list)) else ())
    except (TypeError, ValueError):
        start, seconds = 0.0, 0.0
    if not (0 <= start < math.inf and 0 < seconds < math.inf):
        raise DataError(f"item {id_}: window of a sound must be start, length in seconds, found {window!r}")
    return start, seconds


def _footprint(id_: str, footprint: Any) -> tuple[tuple[float, float], ...]:
    """The corners as tuples, if they are some."""
    try:
        corners = tuple((float(longitude), float(latitude)) for longitude, latitude in footprint)
    except (TypeError, ValueError, OverflowError):
        corners = ()
    if len(corners) < 3 or not all(abs(longitude) <= 360 and abs(latitude) <= 90 for longitude, latitude in corners):
        raise DataError(f"item {id_}: footprint must be three or more (longitude, latitude), found {footprint!r}")
    return corners


def _check_fields(id_: str, fields: Any) -> None:
    """Raise `DataError` unless ``fields`` are texts by names that no item field has."""
    if not isinstance(fields, Mapping):
        raise DataError(f"item {id_}: fields must be texts by name, found {fields!r}")
    for name, value in fields.items():
        if not isinstance(name, str) or not name or "=" in name or name in Item.__slots__:
            raise DataError(f"item {id_}: a further field needs a name of its own and without =, found {name!r}")
        if not isinstance(value, str):
            raise DataError(f"item {id_}: the value of field {name} must be a string, found {value!r}")


@dataclass(frozen=True)
class Manifest:
    """All items of a data set, in a fixed order.

    Attributes:
        items: Images and sounds, with unique ids.
        root: The folder that relative paths start from.
        source: What it was made from, for instance ``"ucm"``.
        settings: The arguments that made it, so that a stage can see whether it is up to date.
        parts: The data folders that were joined to it (`dtbh.data.joining`); none where it is one itself.
    """

    items: tuple[Item, ...]
    root: Path
    source: str
    settings: Mapping[str, Any] = field(default_factory=dict)
    parts: tuple[Path, ...] = ()

    def __post_init__(self) -> None:
        twice = sorted(id_ for id_, times in Counter(item.id for item in self.items).items() if times > 1)
        if twice:
            raise DataError(f"{self.root}: {len(twice)} ids stand more than once", [f"id {i}" for i in twice])

    def __len__(self) -> int:
        return len(self.items)

    def __iter__(self) -> Iterator[Item]:
        return iter(self.items)

    @property
    def images(self) -> tuple[Item, ...]:
        """The images, in order."""
        return tuple(item for item in self.items if item.modality == "image")

    @property
    def sounds(self) -> tuple[Item, ...]:
        """The sounds, in order, spoken or not."""
        return tuple(item for item in self.items if item.modality == "sound")

    @property
    def labels(self) -> tuple[str, ...]:
        """The class names, sorted; of items with several labels each of them."""
        return tuple(sorted({label for item in self.items for label in item.labels}))

    @property
    def combinations(self) -> tuple[str, ...]:
        """What stands in ``Item.label``, sorted: the class names, where no item has several."""
        return tuple(sorted({item.label for item in self.items if item.label is not None}))

    @property
    def fingerprint(self) -> str:
        """SHA-256 over the items, 16 hex digits: the same items give the same fingerprint."""
        return _digest(item.to_dict() for item in self.items)

    def file(self, item: Item) -> Path:
        """The media file of an item.

        Raises:
            DataError: The item is a caption that has not been spoken yet.
        """
        if item.path is None:
            raise DataError(f"{self.root}: sound {item.id} has no file yet; run: dtbh speak {self.root}")
        return self.root / item.path

    def replaced(self, items: Iterable[Item]) -> Manifest:
        """The same manifest with other items."""
        return replace(self, items=tuple(items))


def _digest(entries: Iterable[Mapping[str, Any]]) -> str:
    """SHA-256 over items as they are written, 16 hex digits."""
    digest = hashlib.sha256()
    for entry in entries:
        digest.update(json.dumps(entry, sort_keys=True).encode())
    return digest.hexdigest()[:16]


def relative(path: Path, root: Path) -> str:
    """How a media file is written in the manifest of ``root``: relative, with forward slashes."""
    return Path(os.path.relpath(path.resolve(), root.resolve())).as_posix()


def write_manifest(manifest: Manifest) -> Path:
    """Write ``manifest.jsonl`` into the manifest's root, beside and renamed; returns its path."""
    header = {"version": VERSION, "source": manifest.source, "fingerprint": manifest.fingerprint,
              "settings": dict(manifest.settings)}  # fmt: skip
    lines = [json.dumps(header)] + [json.dumps(item.to_dict(), ensure_ascii=False) for item in manifest]
    return write_text(manifest.root / NAME, "\n".join(lines) + "\n")


def read_manifest(path: str | Path) -> Manifest:
    """Read a manifest from its file, or from the folder that holds it.

    Raises:
        DataError: No such file, a line that is not an item (named by its number), or a fingerprint that
            does not fit the items, as after a truncated copy.
    """
    path = Path(path)
    if path.is_dir():
        path = path / NAME
    if not path.is_file():
        raise DataError(f"{path}: no manifest here; make one with: dtbh prepare ... --out {path.parent}")
    try:
        lines = path.read_text(encoding="utf-8").removesuffix("\n").split("\n")
        header = parse_json(lines[0])
        version, source, fingerprint = header["version"], header["source"], header["fingerprint"]
        settings = header.get("settings", {})
        if not isinstance(source, str) or not isinstance(settings, dict):
            raise TypeError("source must be a string and settings an object")
    except (IndexError, KeyError, TypeError, ValueError) as error:
        raise DataError(f"{path}: line 1 is not a manifest's header ({error}); run dtbh prepare again") from None
    if version != VERSION:
        raise DataError(f"{path}: manifest version {version}, this dtbh reads {VERSION}; run dtbh prepare again")
    entries, items = [], []
    for number, line in enumerate(lines[1:], start=2):
        try:
            entries.append(parse_json(line))
            items.append(Item(**entries[-1]))
        except (TypeError, ValueError, DataError) as error:
            raise DataError(f"{path}: line {number} is no item ({error}); run dtbh prepare again") from None
    manifest = Manifest(tuple(items), path.parent, source, settings)
    if fingerprint not in (manifest.fingerprint, _digest(entries)):  # labels may stand in another order than ours
        raise DataError(
            f"{path}: the items do not fit the header's fingerprint {fingerprint} (found "
            f"{manifest.fingerprint}): the file was cut or edited; run dtbh prepare again"
        )
    return manifest
