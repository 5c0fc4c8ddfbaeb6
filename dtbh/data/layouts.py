"""How published data lie on disk: caption files, media trees, recordings and tables.

Comes in: paths. What a published data set's items are, sources.py decides; a table says it by itself.
Readers append what is wrong to a list of problems and go on, so that everything is told at once. No torch
in this room.
"""

from __future__ import annotations

import csv
import difflib
import io
import json
import re
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any, cast

from dtbh.data.manifest import Item, Modality, Split
from dtbh.errors import DataError

PHOTO_TYPES = frozenset({".tif", ".tiff", ".png", ".jpg", ".jpeg"})
SOUND_TYPES = frozenset(
    {".wav", ".flac", ".ogg", ".oga", ".opus", ".mp3", ".aif", ".aiff", ".aifc", ".au", ".snd", ".caf",
     ".w64", ".rf64", ".voc", ".sph", ".nist", ".paf", ".ircam"}
)  # fmt: skip
COLUMNS = ("image", "sound", "label", "transcript", "speaker", "split")
ALMOST = 0.75  # a column this like one of them is taken for a slip

# UC Merced's classes in alphabetical order: UCM-captions numbers its images by them.
UCM_CLASSES = (
    "agricultural", "airplane", "baseballdiamond", "beach", "buildings", "chaparral", "denseresidential",
    "forest", "freeway", "golfcourse", "harbor", "intersection", "mediumresidential", "mobilehomepark",
    "overpass", "parkinglot", "river", "runway", "sparseresidential", "storagetanks", "tenniscourt",
)  # fmt: skip
UCM_PER_CLASS = 100

# The last image number of each class of Sydney-captions.
SYDNEY_CLASSES = {"residential": 242, "airport": 264, "meadow": 314, "river": 359, "ocean": 451,
                  "industrial": 547, "runway": 613}  # fmt: skip


@dataclass(frozen=True)
class Captioned:
    """One entry of a caption file.

    Attributes:
        stem: The file name without its type, for instance ``"1"`` or ``"airport_1"``.
        filename: As the caption file has it.
        number: The image's number from 1 in the whole file (``imgid + 1``), where known.
        label: The entry's ``class``, where the file has one.
        split: ``split`` as it stands there, where the file has one.
        captions: The sentences as written, in order.
    """

    stem: str
    filename: str
    number: int | None
    label: str | None
    split: str | None
    captions: tuple[str, ...]


@cache
def image_types() -> frozenset[str]:
    """Every file type that PIL opens and decodes, lower case with the dot."""
    from PIL import Image

    stubs = {"BUFR", "GRIB", "HDF5", "MPEG", "WMF", "EPS"}  # recognised, but not decoded by PIL alone
    found = Image.registered_extensions().items()
    return frozenset(ext.lower() for ext, name in found if name in Image.OPEN and name not in stubs)


def media_files(folder: Path, types: frozenset[str], problems: list[str]) -> list[Path]:
    """All files under ``folder`` of these types, in upper or lower case; sorted, without hidden ones."""
    if not folder.is_dir():
        problems.append(f"{folder}: no such folder; give the folder that holds the files")
        return []
    found = [path for path in folder.rglob("*") if path.suffix.lower() in types]
    return sorted(path for path in found if path.is_file() and not path.name.startswith("."))


def by_stem(files: Iterable[Path]) -> dict[str, list[Path]]:
    """Files by their lower-case name without type, and by ``folder/name`` likewise."""
    found: dict[str, list[Path]] = {}
    for path in files:
        for key in (path.stem, f"{path.parent.name}/{path.stem}"):
            found.setdefault(key.lower(), []).append(path)
    return found


def read_captions(path: Path, problems: list[str]) -> list[Captioned]:
    """The entries of a caption file in its published JSON form (``images[].filename``, ``sentences[].raw``).

    Sentences without a letter or digit (RSICD has three, each a bare full stop) keep their place as an
    empty string.
    """
    try:
        document = json.loads(path.read_text(encoding="utf-8-sig"))
    except FileNotFoundError:
        problems.append(f"{path}: no such caption file")
        return []
    except (OSError, ValueError) as error:
        problems.append(f"{path}: can't be read as JSON ({error})")
        return []
    entries = document.get("images") if isinstance(document, dict) else None
    if not isinstance(entries, list) or not entries:
        problems.append(f"{path}: no list `images` in it; wanted the caption file as published")
        return []
    found: dict[str, Captioned] = {}
    for place, entry in enumerate(entries):
        try:
            captioned = _captioned(entry)
        except (KeyError, TypeError, ValueError) as error:
            problems.append(f"{path}: images[{place}] lacks a well-formed filename or sentences[].raw ({error})")
            continue
        if captioned.stem in found:
            problems.append(f"{path}: images[{place}]: {captioned.filename} stands twice")
        found[captioned.stem] = captioned
    return list(found.values())


def _captioned(entry: Mapping[str, Any]) -> Captioned:
    filename, label, split = entry["filename"], entry.get("class"), entry.get("split")
    for value in (filename, label, split):
        if value is not None and not isinstance(value, str):
            raise ValueError(f"{value!r} is not a string")
    stem = Path(filename).stem
    if not stem:
        raise ValueError("empty filename")
    raws = [sentence["raw"] for sentence in entry["sentences"]]
    captions = tuple(raw.strip() if any(c.isalnum() for c in raw) else "" for raw in raws)
    number = entry.get("imgid")
    return Captioned(
        stem,
        filename,
        number + 1 if isinstance(number, int) else None,
        label or None,
        split or None,
        captions,
    )


def ucm_classes(files: Iterable[Path]) -> tuple[str, ...]:
    """The classes that UCM's numbers run through: its own, or the class folders where those are others."""
    folders = {path.parent.name.lower() for path in files if class_of_folder_name(path) is not None}
    return UCM_CLASSES if folders <= set(UCM_CLASSES) else tuple(sorted(folders))


def class_of_folder_name(path: Path) -> str | None:
    """The class of ``<class>/<class>NN.<type>`` as UC Merced ships its images; None for any other name."""
    match = re.fullmatch(r"(.+?)\d+", path.stem.lower())
    return match[1] if match and match[1] == path.parent.name.lower() else None


def ucm_place(stem: str, classes: tuple[str, ...]) -> tuple[str | None, int] | None:
    """Class and place in the class of UCM's image number ``stem``; None where it is no number."""
    if not stem.isdecimal() or int(stem) < 1:
        return None
    block, place = divmod(int(stem) - 1, UCM_PER_CLASS)
    return (classes[block] if block < len(classes) else None), place


def sydney_class(stem: str) -> str | None:
    """The class of Sydney's image number ``stem``; None where it is no number of that set."""
    if not stem.isdecimal() or int(stem) < 1:
        return None
    return next((name for name, last in SYDNEY_CLASSES.items() if int(stem) <= last), None)


def class_lists(folder: Path, problems: list[str]) -> dict[str, str]:
    """Classes by lower-case image stem, from a folder of ``<class>.txt`` lists with a file name a line."""
    lists = sorted(folder.glob("*.txt")) if folder.is_dir() else []
    if not lists:
        problems.append(f"{folder}: no class lists here; wanted a folder of <class>.txt, as txtclasses_rsicd")
    found: dict[str, str] = {}
    for path in lists:
        try:
            names = path.read_text(encoding="utf-8-sig").split()
        except (OSError, ValueError) as error:
            problems.append(f"{path}: can't be read ({error})")
            continue
        for name in names:
            stem, label = Path(name).stem.lower(), path.stem.lower()
            if found.setdefault(stem, label) != label:
                problems.append(f"{path}: {name} stands in {found[stem]}.txt too")
    return found


def items_or_problems(what: str, items: list[Item], problems: Sequence[str]) -> list[Item]:
    """The items, unless there are problems: then all of them in one ``DataError``."""
    if problems:
        raise DataError(f"{what}: {count(problems, 'problem')}; nothing was written", problems)
    return items


def count(lines: Sequence[str], word: str) -> str:
    """``3 problems``, ``1 problem``."""
    return f"{len(lines)} {word}{'' if len(lines) == 1 else 's'}"


def table(path: Path) -> list[Item]:
    """A CSV or JSON Lines table: ``image``, ``sound``, ``label``, ``transcript``, ``speaker``, ``split``.

    Paths are relative to the table. A row may lack the sound or the image. An image on several rows is one
    item with several sounds. A row with a transcript and no sound is a caption still to be spoken. Further
    columns are fields of the row's items, as far as the rows of an image agree on them.

    Args:
        path: ``.jsonl``, ``.ndjson`` or ``.json`` is read as JSON Lines, anything else as CSV with a header.

    Returns:
        Images, then sounds; ids are the paths as written; a pair is named by its image.

    Raises:
        DataError: Columns that are nearly one of these, rows that contradict each other, all at once.
    """
    problems: list[str] = []
    images: dict[Path, Item] = {}
    sounds: dict[Path, Item] = {}
    spoken: Counter[str] = Counter()
    further: dict[str, dict[str, set[str]]] = {}
    empty = True
    for number, row in _table_rows(path, problems):
        empty = False
        where = f"{path}: line {number}"
        if not ("sound" in row or "image" in row):
            problems.append(f"{where} has neither image nor sound")
            continue
        try:
            image = _row_image(path, row, where, images, problems)
            pair = image.id if image else None
            spoken[pair or ""] += 1
            for name, value in _further(row).items():
                further.setdefault(pair or "", {}).setdefault(name, set()).add(value)
            if "sound" in row:
                _row_sound(path, row, where, pair, sounds, problems)
            elif "transcript" in row and pair:
                key = Path(f"{pair}S{spoken[pair]}")
                sounds[key] = _row_item(key.as_posix(), "sound", None, row, pair)
        except DataError as error:
            problems.append(f"{where}: {error}")
    if empty and not problems:
        problems.append(f"{path}: no rows; wanted a first line with columns and a line for each pair")
    for file in images.keys() & sounds.keys():
        problems.append(f"{path}: {file} stands both as an image and as a sound")
    agreed = {
        id_: {name: min(said) for name, said in fields.items() if len(said) == 1} for id_, fields in further.items()
    }
    described = [replace(image, fields=agreed.get(image.id, {})) for image in images.values()]
    return items_or_problems("table", _joined(described, sounds.values()), problems)


def _table_rows(path: Path, problems: list[str]) -> Iterator[tuple[int, dict[str, str]]]:
    """Line number and what is filled in of each row of a CSV, or JSON Lines (.jsonl, .ndjson, .json), table."""
    try:
        text = path.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        problems.append(f"{path}: no such table")
        return
    except (OSError, ValueError) as error:
        problems.append(f"{path}: can't be read as UTF-8 text ({error})")
        return
    rows = _json_rows if path.suffix.lower() in {".jsonl", ".ndjson", ".json"} else _csv_rows
    seen: set[str] = set()
    for number, row in rows(path, text, problems):
        for name in row.keys() - set(COLUMNS) - seen:
            columns = ", ".join(COLUMNS)
            if nearest := difflib.get_close_matches(name.lower(), COLUMNS, 1, ALMOST):
                problems.append(
                    f"{path}: unknown column {name!r}, the nearest is {nearest[0]!r}; columns are {columns}"
                )
            elif not _free(name):
                problems.append(f"{path}: column {name!r} can't be a field of one's own; give it another name")
        seen |= row.keys()
        yield number, {name: value.strip() for name, value in row.items() if value and value.strip()}


def _csv_rows(path: Path, text: str, problems: list[str]) -> Iterator[tuple[int, dict[str, str]]]:
    reader = csv.DictReader(io.StringIO(text, newline=""), restkey="", restval="", skipinitialspace=True, strict=True)
    try:
        for row in reader:
            if row.pop("", None):
                problems.append(f"{path}: line {reader.line_num} has more fields than the first line has columns")
            yield reader.line_num, row
    except csv.Error as error:
        problems.append(f"{path}: no CSV after line {reader.line_num} ({error})")


def _json_rows(path: Path, text: str, problems: list[str]) -> Iterator[tuple[int, dict[str, str]]]:
    for number, line in enumerate(text.split("\n"), start=1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except ValueError as error:
            problems.append(f"{path}: line {number} is no JSON ({error}); wanted one object a line")
            continue
        if not isinstance(row, dict) or not all(value is None or isinstance(value, str) for value in row.values()):
            problems.append(f"{path}: line {number}: wanted an object whose values are strings or null")
            continue
        yield number, row


def _row_item(id_: str, modality: Modality, path: Path | None, row: dict[str, str], pair: str | None) -> Item:
    sound = modality == "sound"
    return Item(
        id_,
        modality,
        str(path) if path else None,
        row.get("label"),
        pair,
        cast("Split", row.get("split")),
        speaker=row.get("speaker") if sound else None,
        transcript=row.get("transcript") if sound else None,
        fields=_further(row) if sound else {},
    )


def _further(row: dict[str, str]) -> dict[str, str]:
    """What a row says in columns of its own."""
    return {name: value for name, value in row.items() if name not in COLUMNS and _free(name)}


def _free(name: str) -> bool:
    """Whether an item may have a field of this name."""
    return name not in Item.__slots__ and "=" not in name


def _row_image(
    table: Path, row: dict[str, str], where: str, images: dict[Path, Item], problems: list[str]
) -> Item | None:
    """The image of a row, new or known; where several rows name it, they must agree."""
    if "image" not in row:
        return None
    file = (table.parent / row["image"]).resolve()
    new = _row_item(Path(row["image"]).as_posix(), "image", file, row, None)
    old = images.setdefault(file, new)
    for name in ("label", "split"):
        if getattr(old, name) and getattr(new, name) and getattr(old, name) != getattr(new, name):
            problems.append(
                f"{where}: {name} {getattr(new, name)!r} of {old.id}, which an earlier line calls "
                f"{getattr(old, name)!r}"
            )
    images[file] = replace(old, label=old.label or new.label, split=old.split or new.split)
    return images[file]


def _row_sound(
    table: Path,
    row: dict[str, str],
    where: str,
    pair: str | None,
    sounds: dict[Path, Item],
    problems: list[str],
) -> None:
    file = (table.parent / row["sound"]).resolve()
    if file in sounds:
        problems.append(f"{where}: sound {row['sound']} stands on an earlier line; a sound has one line")
    sounds[file] = _row_item(Path(row["sound"]).as_posix(), "sound", file, row, pair)


def _joined(images: Collection[Item], sounds: Collection[Item]) -> list[Item]:
    """Images named as pairs where they have sounds, and sounds that inherit what their rows leave out."""
    by_id = {image.id: image for image in images}
    paired = {sound.pair for sound in sounds}
    items = [replace(image, pair=image.id if image.id in paired else None) for image in by_id.values()]
    for sound in sounds:
        image = by_id.get(sound.pair) if sound.pair else None
        if image:
            sound = replace(sound, label=sound.label or image.label, split=sound.split or image.split)
        items.append(sound)
    return items
