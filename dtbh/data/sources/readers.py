"""How published data lie on disk: caption files, media trees, recordings and tables.

What a published data set's items are, sources.py decides; a table says it by itself. Readers append what is wrong to a
list of problems and go on, so that everything is told at once.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dtbh.data.manifest import Item
from dtbh.errors import DataError
from dtbh.utils.files import check_regular, parse_json

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
        check_regular(path, "a caption file")
        document = parse_json(path.read_text(encoding="utf-8-sig"))
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
        except (KeyError, TypeError, ValueError, AttributeError) as error:
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
            check_regular(path, "a class list")
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
