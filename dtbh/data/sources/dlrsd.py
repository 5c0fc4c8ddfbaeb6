"""UC Merced with several labels an image: the table of 17 labels that circulates, beside its images."""

from __future__ import annotations

import csv
import difflib
import io
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from dtbh.data.manifest import BETWEEN, Item
from dtbh.data.sources.base import source
from dtbh.data.sources.captioned import ucm
from dtbh.data.sources.delimited import written
from dtbh.data.sources.readers import items_or_problems, ucm_classes, ucm_place
from dtbh.errors import DataError
from dtbh.media.files import PHOTO_TYPES, media_files
from dtbh.utils.files import check_regular

LABELS = (
    "airplane", "bare-soil", "buildings", "cars", "chaparral", "court", "dock", "field", "grass", "mobile-home",
    "pavement", "sand", "sea", "ship", "tanks", "trees", "water",
)  # fmt: skip


@dataclass(frozen=True)
class Row:
    """A line of the table: its number from 1, and the labels whose cell is 1, as an item has them."""

    line: int
    label: str | None


@source("dlrsd")
def dlrsd(images: Path, labels: Path, captions: Path | None = None, sounds: Path | None = None) -> list[Item]:
    """UC Merced with 17 labels, several an image (Chaudhuri et al., TGRS 2018; DLRSD of Shao et al., 2018).

    The table decides which images there are; with a caption file that does, and each sound has its image's labels.

    Args:
        images: UC Merced's images, as for `ucm`.
        labels: ``LandUse_Multilabeled.txt`` or ``multilabels.txt``: a line with the 17 labels, then a line an image,
            with its name (``agricultural00``) and a 0 or 1 for each; between them tabs, commas, semicolons or bars.
        captions: ``dataset.json`` of UCM-captions, where its sentences are wanted.
        sounds: Recordings of the captions, if any, as for `ucm`.

    Returns:
        The images in the table's order, without pairs; or what `ucm` gives, each item with its image's labels.

    Raises:
        DataError: All that is missing, unknown or neither 0 nor 1, with its line and column.
    """
    problems: list[str] = []
    table = _read(labels, problems)
    items: list[Item] = []
    if captions is not None:
        try:
            items = [*ucm(images, captions, sounds)]
        except DataError as error:
            problems += error.problems
        if not problems:
            items = _labelled(items, images, labels, table, problems)
    elif sounds is not None:
        problems.append(f"{sounds}: recordings are those of captions; give the caption file, too")
    else:
        items = _images(images, labels, table, problems)
    return items_or_problems("dlrsd", items, problems)


def _images(images: Path, labels: Path, table: Mapping[str, Row], problems: list[str]) -> list[Item]:
    """An item for each row of the table."""
    files = media_files(images, PHOTO_TYPES, problems)
    name, found = _namer(files), dict[str, list[Path]]()
    for path in files:
        found.setdefault(name(path), []).append(path)
    items = []
    for key, row in table.items() if files or not problems else ():
        paths = found.get(key, [])
        if len(paths) == 1:
            items.append(Item(key, "image", str(paths[0].resolve()), row.label))
        elif paths:
            several = ", ".join(map(str, paths))
            problems.append(f"{labels}: line {row.line}: {key} fits several files: {several}; keep one")
        else:
            problems.append(f"{labels}: line {row.line}: {key} is not among the images of {images}; wanted {key}.tif")
    return items


def _labelled(
    items: Iterable[Item], images: Path, labels: Path, table: Mapping[str, Row], problems: list[str]
) -> list[Item]:
    """The items of captions with their images' labels."""
    name = _namer(media_files(images, PHOTO_TYPES, []))
    keys = {item.pair: name(Path(item.path)) for item in items if item.modality == "image" and item.path}
    for key in keys.values():
        if key not in table:
            problems.append(f"{labels}: no line for image {key}; give the whole table, or captions of its images alone")
    return [replace(item, label=table[keys[item.pair]].label) for item in items] if not problems else []


def _namer(files: Iterable[Path]) -> Callable[[Path], str]:
    """What an image file is called in the table: ``airplane07``, also where it is ``108.tif``."""
    classes = ucm_classes(files)

    def name(path: Path) -> str:
        place = ucm_place(path.stem, classes)
        return f"{place[0]}{place[1]:02d}" if place and place[0] else path.stem.lower()

    return name


def _read(path: Path, problems: list[str]) -> dict[str, Row]:
    """The rows of the table by the image's name, in lower case and without its type."""
    try:
        check_regular(path, "a table")
        table = written(path.read_bytes(), LABELS)
        lines = csv.reader(io.StringIO(table.text, newline=""), delimiter=table.separator, strict=True)
        rows = [(lines.line_num, [cell.strip() for cell in cells]) for cells in lines if any(map(str.strip, cells))]
    except FileNotFoundError:
        problems.append(f"{path}: no such table of labels")
        return {}
    except (OSError, ValueError, csv.Error) as error:
        wanted = "wanted LandUse_Multilabeled.txt, multilabels.txt, or a spreadsheet of it saved as CSV"
        problems.append(f"{path}: can't be read as a table of text ({error}); {wanted}")
        return {}
    columns = _columns(path, rows[0][1] if rows else [], problems)
    found: dict[str, Row] = {}
    for line, cells in rows[1:] if columns else ():
        key = Path(cells[0]).stem.lower()
        if key in found:
            problems.append(f"{path}: line {line}: {key} stands on line {found[key].line} already")
        values = {label: cells[place] if place < len(cells) else "" for label, place in columns.items()}
        for label, value in values.items():
            if value not in ("0", "1"):
                problems.append(f"{path}: line {line}, column {label}: wanted 0 or 1, found {value or 'nothing'}")
        found[key] = Row(line, BETWEEN.join(label for label, value in values.items() if value == "1") or None)
    if columns and not found:
        problems.append(f"{path}: no line after the first; wanted one for each image")
    return found


def _columns(path: Path, head: list[str], problems: list[str]) -> dict[str, int]:
    """The place of each label in the first line; none where that is not such a line."""
    known = {label.replace("-", ""): label for label in LABELS}  # also "bare soil", "BareSoil"
    plain = ["".join(filter(str.isalnum, name.lower())) for name in head[1:]]
    names = [known.get(short, name) for short, name in zip(plain, head[1:], strict=True)]
    wrong = []
    for label in LABELS:
        if label not in names:
            near = difflib.get_close_matches(label, set(names) - set(LABELS), 1)
            wrong.append(f"{path}: line 1 has no column {label}" + (f"; is it {near[0]}?" if near else ""))
    wrong += [f"{path}: line 1: no label is called {name}" for name in names if name and name not in LABELS]
    wrong += [f"{path}: line 1: column {name} stands {n} times" for name, n in Counter(names).items() if name and n > 1]
    problems += wrong
    return {} if wrong else {label: 1 + names.index(label) for label in LABELS}
