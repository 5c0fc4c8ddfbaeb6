"""From rows to items, whatever the rows were read from: a row is a pair, an item is a file.

Items know their pair by one name, so all that rows connect, also by way of others, is one pair and is named by its
first image: what describes the same images counts as right for all of them, and never stands on two sides of a split.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import product
from pathlib import Path

from dtbh.data.manifest import BETWEEN, SPLITS, Item, Modality, Split, join_labels
from dtbh.data.sources.paths import local_path
from dtbh.errors import DataError

COLUMNS = ("image", "sound", "label", "transcript", "speaker", "split")
OWN: dict[Modality, tuple[str, ...]] = {"image": ("split", "label"), "sound": ("split", "transcript", "speaker")}
"""What all rows that name a file must say alike."""


@dataclass(frozen=True)
class Row:
    """One row.

    Attributes:
        where: It stands, for messages.
        values: What is filled in, by column.
        files: Where the image and the sound lie, as far as that does not follow from the folder and the values.
    """

    where: str
    values: Mapping[str, str]
    files: Mapping[Modality, Path] = field(default_factory=dict)


@dataclass
class _Known:
    """What the rows so far say of a file.

    Attributes:
        id: The first name that it was given.
        said: By column; `OWN` alone.
        rows: Those that name it: their values, and the image that stands there.
        captions: How many rows named it, for the ids of captions.
    """

    id: str
    said: dict[str, str] = field(default_factory=dict)
    rows: list[tuple[Mapping[str, str], Path | None]] = field(default_factory=list)
    captions: int = 0


def is_free(name: str) -> bool:
    """Whether an item may have a field of this name."""
    return bool(name) and name not in Item.__slots__ and "=" not in name


def rows_of(
    where: str, files: Mapping[Modality, Sequence[tuple[str, Path | None]]], captions: Sequence[str],
    values: Mapping[str, str],
) -> Iterator[Row]:  # fmt: skip
    """A row for each pair among the files of one sample, and one for each caption that none of its sounds says.

    Args:
        where: The sample stands.
        files: Its images and sounds, each by its name and where it lies.
        captions: One is what its sounds say; several, or one without a sound, are still to be spoken.
        values: What else is known.
    """
    images, sounds = files.get("image", ()), files.get("sound", ())
    said = {"transcript": captions[0]} if len(captions) == 1 and sounds else {}
    nothing: tuple[tuple[str, Path | None] | None, ...] = (None,)
    for image, sound in product(images or nothing, sounds or (() if captions else nothing)):
        named = {"image": image, "sound": sound}
        yield _row(where, {**values, **said}, {name: file for name, file in named.items() if file})
    for image, caption in product(images or nothing, captions if not said else ()):
        yield _row(where, {**values, "transcript": caption}, {"image": image} if image else {})


def _row(where: str, values: Mapping[str, str], named: Mapping[str, tuple[str, Path | None]]) -> Row:
    names = {column: name for column, (name, _) in named.items()}
    files: dict[Modality, Path] = {}
    for modality in OWN:
        if modality in named and (path := named[modality][1]) is not None:
            files[modality] = path
    return Row(where, {**values, **names}, files)


def items_of(rows: Iterable[Row], folder: Path, problems: list[str]) -> list[Item]:
    """The items that rows name, once each.

    A label, a split, a speaker and a transcript that several rows give for a file must be the same. A sound without
    a label of its own has those of its images, a sound without a split theirs. Further columns are fields of a file as
    far as its rows agree on them. A row with an image and a transcript, and no sound, is a caption.

    Args:
        rows: In order.
        folder: Where paths start.
        problems: What is wrong is added here, with its row.

    Returns:
        Images, then sounds, in the order in which they are first named; ids are the paths as written.
    """
    images, sounds = dict[Path, _Known](), dict[Path, _Known]()
    spoken: list[tuple[str, Path, Row]] = []
    groups = _Groups()
    for row in rows:
        try:
            image = _named(row, "image", folder, images, problems)
            sound = _named(row, "sound", folder, sounds, problems)
        except DataError as error:
            problems.append(f"{row.where}: {error}")
            continue
        if image is None and sound is None:
            found = ", ".join(f"{name} {value!r}" for name, value in row.values.items()) or "nothing"
            problems.append(f"{row.where}: names no image and no sound; found {found}")
        elif sound is None and image is not None and "transcript" in row.values:
            spoken.append((f"{images[image].id}S{images[image].captions}", image, row))
        if sound is not None:
            sounds[sound].rows.append((row.values, image))
            groups.join(("sound", sound), ("image", image) if image else None)
    problems += [f"{path}: stands both as an image and as a sound" for path in images.keys() & sounds.keys()]
    paired = {image for known in sounds.values() for _, image in known.rows} | {image for _, image, _ in spoken}
    names: dict[object, str] = {}
    for path in images:
        if path in paired:
            names.setdefault(groups.first(("image", path)), images[path].id)

    def pair(modality: Modality, path: Path) -> str | None:
        return names.get(groups.first((modality, path)))

    try:
        made = [_image(path, known, pair("image", path)) for path, known in images.items()]
        by_path = dict(zip(images, made, strict=True))
        made += [_sound(path, known, pair("sound", path), by_path, problems) for path, known in sounds.items()]
        made += [_caption(id_, by_path[image], row) for id_, image, row in spoken]
    except DataError as error:
        problems.append(str(error))
        return []
    return made


def _named(row: Row, modality: Modality, folder: Path, known: dict[Path, _Known], problems: list[str]) -> Path | None:
    """The file that a row names, if any, and what the row says of it noted down."""
    if modality not in row.values:
        return None
    text, path = row.values[modality], row.files.get(modality)
    if path is None:
        text, path = local_path(folder, text)
    split = row.values.get("split")
    if split is not None and split not in SPLITS:
        raise DataError(f"split must be train, val or test, found {split!r}")
    of = known.setdefault(path, _Known(Path(text).as_posix()))
    for name in OWN[modality]:
        value = join_labels(row.values.get(name, "")) if name == "label" else row.values.get(name)
        if value and of.said.setdefault(name, value) != value:
            problems.append(f"{row.where}: {name} {value!r} of {of.id}, which an earlier line calls {of.said[name]!r}")
    if modality == "image":
        of.captions += 1
        of.rows.append((row.values, None))
    return path


def _image(path: Path, known: _Known, pair: str | None) -> Item:
    said = known.said
    split: Split | None = said.get("split")  # type: ignore[assignment]
    fields = _agreed([values for values, _ in known.rows])
    return Item(known.id, "image", str(path), said.get("label"), pair, split, fields=fields)


def _sound(path: Path, known: _Known, pair: str | None, images: Mapping[Path, Item], problems: list[str]) -> Item:
    """A sound, with what its own rows leave out from the images that it describes."""
    own = {join_labels(values["label"]) for values, image in known.rows if image is None and "label" in values}
    if len(own) > 1:
        problems.append(f"{path}: lines of its own call it {' and '.join(map(repr, sorted(own)))}; keep one")
    described = [images[image] for _, image in known.rows if image is not None]
    labels = own or {
        label
        for values, image in known.rows
        if (label := values.get("label") or (images[image].label if image else None))
    }
    splits = {known.said["split"]} if "split" in known.said else {image.split for image in described if image.split}
    if len({image.split for image in described if image.split} | splits) > 1:
        told = ", ".join(f"{image.id} of {image.split}" for image in described)
        problems.append(f"{path}: describes images of several splits ({told}); what belongs together is in one")
    label = BETWEEN.join(sorted(labels)) or None
    split: Split | None = min(splits, default=None)  # type: ignore[assignment]
    fields = _agreed([values for values, _ in known.rows])
    return Item(known.id, "sound", str(path), label, pair, split, known.said.get("speaker"),
                known.said.get("transcript"), fields=fields)  # fmt: skip


def _caption(id_: str, image: Item, row: Row) -> Item:
    """A sentence that is still to be spoken."""
    said = row.values
    split: Split | None = said.get("split") or image.split  # type: ignore[assignment]
    return Item(id_, "sound", None, said.get("label") or image.label, image.pair, split, said.get("speaker"),
                said["transcript"], fields=_agreed([said]))  # fmt: skip


def _agreed(rows: Sequence[Mapping[str, str]]) -> dict[str, str]:
    """The further columns on which the rows that fill them in agree."""
    found: dict[str, set[str]] = {}
    for values in rows:
        for name, value in values.items():
            if name not in COLUMNS and is_free(name):
                found.setdefault(name, set()).add(value)
    return {name: min(said) for name, said in found.items() if len(said) == 1}


class _Groups:
    """What is connected, by way of whatever."""

    def __init__(self) -> None:
        self._above: dict[object, object] = {}

    def first(self, one: object) -> object:
        """What stands for all that are connected with ``one``."""
        self._above.setdefault(one, one)
        while self._above[one] != one:
            self._above[one] = one = self._above[self._above[one]]
        return one

    def join(self, one: object, other: object | None) -> None:
        """Connect two, if there are two."""
        if other is not None:
            self._above[self.first(one)] = self.first(other)
