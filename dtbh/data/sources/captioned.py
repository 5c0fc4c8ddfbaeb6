"""The published data sets that have captions: UCM, Sydney and RSICD, in every layout in which they circulate."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import cast

from dtbh.data.manifest import Item, Split
from dtbh.data.sources.base import source
from dtbh.data.sources.readers import (
    Captioned,
    by_stem,
    class_lists,
    class_of_folder_name,
    items_or_problems,
    read_captions,
    sydney_class,
    ucm_classes,
    ucm_place,
)
from dtbh.errors import DataError
from dtbh.media.files import PHOTO_TYPES, SOUND_TYPES, media_files

Files = dict[str, list[Path]]


@source("ucm")
def ucm(images: Path, captions: Path, sounds: Path | None = None) -> list[Item]:
    """UC Merced images with UCM-captions (Yang and Newsam 2010; Qu et al. 2016).

    Number n is image ``(n - 1) % 100`` of class ``(n - 1) // 100`` in alphabetical order. A caption file
    with some of the images only is as good as the whole.

    Args:
        images: Class folders (``beach/beach07.tif``) or numbered files (``308.tif``), as .tif, .png or .jpg.
        captions: ``dataset.json``; its ``class`` is taken where it is there.
        sounds: Recordings, if any, as ``<number>S<k>``, ``<stem>_<k>`` or ``<stem>/<k>``; k counts from 1.

    Returns:
        Each image, followed by one sound for each of its captions; absolute paths.

    Raises:
        DataError: All that is missing or ambiguous, with its path.
    """
    problems: list[str] = []
    files = media_files(images, PHOTO_TYPES, problems)
    classes = ucm_classes(files)

    def names(entry: Captioned) -> list[str]:
        place = ucm_place(entry.stem, classes)
        label = entry.label or (place[0] if place else None)
        return [entry.stem] + ([f"{label}{place[1]:02d}"] if place and label else [])

    def label(entry: Captioned, path: Path) -> str | None:
        place = ucm_place(entry.stem, classes)
        return entry.label or class_of_folder_name(path) or (place[0] if place else None)

    return _captioned(files, captions, sounds, problems, names=names, label=label)


@source("sydney")
def sydney(images: Path, captions: Path, sounds: Path | None = None) -> list[Item]:
    """Sydney-captions (Qu et al. 2016): ``1.tif`` to ``613.tif`` in seven classes.

    The class comes from the caption file's ``class``, else from the number.

    Args:
        images: The folder of numbered images.
        captions: ``dataset.json``.
        sounds: Recordings, as for `ucm`.

    Returns:
        As `ucm`.

    Raises:
        DataError: All that is missing or ambiguous, with its path.
    """
    problems: list[str] = []
    files = media_files(images, PHOTO_TYPES, problems)
    return _captioned(files, captions, sounds, problems, label=lambda entry, _: entry.label or sydney_class(entry.stem))


@source("rsicd")
def rsicd(images: Path, captions: Path, sounds: Path | None = None, classes: Path | None = None) -> list[Item]:
    """RSICD (Lu et al. 2017): names such as ``airport_1.jpg`` give the class.

    Bare numbers (``00001.jpg``) take it from the caption file's ``class`` or from ``classes``. Captions
    that hold no word (three bare full stops) become no sound; the others keep their numbers.

    Args:
        images: The folder of images.
        captions: ``dataset_rsicd.json``.
        sounds: Recordings, as for `ucm`; the number in ``<number>S<k>`` is the caption file's ``imgid + 1``.
        classes: ``txtclasses_rsicd``: one ``<class>.txt`` a class, a file name a line.

    Raises:
        DataError: All that is missing or ambiguous, with its path.
    """
    problems: list[str] = []
    files = media_files(images, PHOTO_TYPES, problems)
    listed = class_lists(classes, problems) if classes else {}

    def label(entry: Captioned, _: Path) -> str | None:
        named = re.fullmatch(r"([A-Za-z]+)_\d+", entry.stem)
        return named[1].lower() if named else entry.label or listed.get(entry.stem.lower())

    return _captioned(files, captions, sounds, problems, label=label, numbered_by_stem=False)


def _captioned(
    files: Sequence[Path],
    captions: Path,
    sounds: Path | None,
    problems: list[str],
    *,
    label: Callable[[Captioned, Path], str | None],
    names: Callable[[Captioned], list[str]] = lambda entry: [entry.stem],
    numbered_by_stem: bool = True,
) -> list[Item]:
    """Items of a captioned data set; ``names`` are the stems under which an entry's image may lie."""
    if not files and not problems:
        problems.append(f"{captions}: no image (.tif, .png, .jpg) in the folder given for its images")
    entries = read_captions(captions, problems)
    recorded = by_stem(media_files(sounds, SOUND_TYPES, problems)) if sounds else None
    if not files or (sounds and not recorded):
        problems += [] if recorded or not sounds else [f"{sounds}: no sound file in this folder"]
        return items_or_problems(str(captions), [], problems)
    stems, items, unknown = by_stem(files), list[Item](), list[str]()
    for entry in entries:
        path = _image_file(entry, stems, names(entry), captions, problems)
        if path is None:
            continue
        name = label(entry, path)
        unknown += [] if name else [entry.filename]
        number = entry.stem if numbered_by_stem else str(entry.number)
        try:
            image = Item(entry.stem, "image", str(path.resolve()), name, entry.stem, cast("Split", entry.split))
        except DataError as error:
            problems.append(f"{captions}: {error}")
            continue
        items.append(image)
        for k, caption in enumerate(entry.captions, start=1):
            if caption:
                file = _recording(recorded, (number, entry.stem, path.stem), k, problems) if recorded else None
                items.append(replace(image, id=f"{entry.stem}S{k}", modality="sound", path=file, transcript=caption))
    if unknown:
        some = ", ".join(unknown[:5]) + (", ..." if len(unknown) > 5 else "")
        problems.append(
            f"{captions}: {len(unknown)} images have no class, nor one in their names or numbers ({some}); "
            f"add a `class` to each, or for rsicd give the folder txtclasses_rsicd as classes"
        )
    return items_or_problems(str(captions), items, problems)


def _image_file(entry: Captioned, stems: Files, names: list[str], captions: Path, problems: list[str]) -> Path | None:
    """The one file of an entry's image, under the first of its names that is there."""
    found = next((stems[name.lower()] for name in names if name.lower() in stems), [])
    exact = [path for path in found if path.name == entry.filename]
    chosen = exact if len(exact) == 1 else found
    if len(chosen) == 1:
        return chosen[0]
    if found:
        problems.append(f"{captions}: {entry.filename} fits several files: {', '.join(map(str, found))}; keep one")
    else:
        wanted = " or ".join(names)
        problems.append(f"{captions}: {entry.filename} is not among the images; wanted {wanted}, .tif .png .jpg")
    return None


def _recording(recorded: Files, names: tuple[str, str, str], k: int, problems: list[str]) -> str | None:
    """The recording of the k-th caption, in any of the layouts in which recordings circulate."""
    number, *stems = names
    keys = [f"{number}S{k}", *(f"{stem}{form}{k}" for stem in stems for form in ("S", "_", "/"))]
    found = sorted({path for key in keys for path in recorded.get(key.lower(), [])})
    if len(found) == 1:
        return str(found[0].resolve())
    if found:
        problems.append(f"{found[0]}: sound {k} of image {stems[0]} is there again as {found[1]}; keep one")
    else:
        problems.append(f"image {stems[0]}: no recording of its caption {k}; wanted {keys[0]}, {keys[2]} or {keys[3]}")
    return None
