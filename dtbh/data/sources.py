"""From files on disk to a manifest: the published data sets, class folders, and tables of one's own.

Comes in: paths. A source only reads names and captions, and gives items with absolute paths; `prepare`
has every file checked and writes the manifest. Whatever is wrong is told at once. No torch in this room.
"""

from __future__ import annotations

import hashlib
import inspect
import json
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import permutations
from pathlib import Path
from typing import Any, cast

from dtbh.data.checks import check
from dtbh.data.layouts import (
    PHOTO_TYPES,
    SOUND_TYPES,
    Captioned,
    by_stem,
    class_lists,
    class_of_folder_name,
    count,
    image_types,
    items_or_problems,
    media_files,
    read_captions,
    sydney_class,
    table,
    ucm_classes,
    ucm_place,
)
from dtbh.data.manifest import NAME, Item, Manifest, Modality, Split, read_manifest, relative, write_manifest
from dtbh.errors import DataError

Files = dict[str, list[Path]]


@dataclass(frozen=True)
class Prepared:
    """What `prepare` gives.

    Attributes:
        manifest: As it stands on disk; paths are relative to its root.
        warnings: What is odd, though usable, one line each.
        changed: False where the manifest was up to date and nothing was done.
    """

    manifest: Manifest
    warnings: tuple[str, ...]
    changed: bool


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


def sydney(images: Path, captions: Path, sounds: Path | None = None) -> list[Item]:
    """Sydney-captions (Qu et al. 2016): ``1.tif`` to ``613.tif`` in seven classes.

    The class comes from the caption file's ``class``, else from the number. Arguments, result and errors
    are those of `ucm`.
    """
    problems: list[str] = []
    files = media_files(images, PHOTO_TYPES, problems)
    return _captioned(files, captions, sounds, problems, label=lambda entry, _: entry.label or sydney_class(entry.stem))


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


def folders(images: Path, sounds: Path | None = None) -> list[Item]:
    """Trees of class folders without captions: only the class relates the images and the sounds.

    With images alone this is how UC Merced, AID, PatternNet, RSSCN7 and most scene sets are published.

    Args:
        images: ``<class>/**/<any name>`` of every type that PIL reads.
        sounds: ``<class>/**/<any name>`` of every type that soundfile reads, of the same class names; None for
            methods that take images alone.

    Returns:
        Images, then sounds, without pairs or splits; an id is the path below its tree.

    Raises:
        DataError: Classes that only one tree has, files outside a class folder, empty trees.
    """
    problems: list[str] = []
    trees: list[tuple[Modality, Path, frozenset[str]]] = [("image", images, image_types())]
    if sounds is not None:
        trees.append(("sound", sounds, SOUND_TYPES))
    items: list[Item] = []
    for modality, tree, types in trees:
        for path in media_files(tree, types, problems):
            inside = path.relative_to(tree)
            if len(inside.parts) < 2:
                problems.append(f"{path}: lies in no class folder; wanted {tree}/<class>/{path.name}")
                continue
            items.append(Item(inside.as_posix(), modality, str(path.resolve()), label=inside.parts[0]))
    labels = {m: {item.label for item in items if item.modality == m} for m, _, _ in trees}
    for (here, tree, _), (there, other, _) in permutations(trees, 2):
        for label in sorted(map(str, labels[here] - labels[there])):
            problems.append(f"{tree / label}: no {there} of this class; wanted files in {other / label}")
    if not items and not problems:
        problems.append(f"{', '.join(str(tree) for _, tree, _ in trees)}: nothing here; wanted <class>/<file>")
    return items_or_problems("folders", items, problems)


SOURCES: dict[str, Callable[..., list[Item]]] = {
    "ucm": ucm, "sydney": sydney, "rsicd": rsicd, "folders": folders, "table": table,
}  # fmt: skip


def prepare(source: str, out: Path, *, strict: bool = False, **arguments: Path | None) -> Prepared:
    """Run a source, check every file, and write the manifest into ``out``.

    A manifest that was made from the same arguments and the same files (captions, names, sizes, times of
    change) is left alone, together with the clips that were spoken for it since.

    Args:
        source: A name of `SOURCES`.
        out: The data folder, made where it is missing.
        strict: Warnings stop it, as problems do.
        arguments: What the source takes; None counts as not given.

    Raises:
        DataError: An unknown source, arguments that do not fit it, or all problems of the data; nothing is
            written then.
    """
    given = _arguments(source, arguments)
    items = SOURCES[source](**given)
    settings: dict[str, Any] = {
        "arguments": {name: str(path.resolve()) for name, path in given.items()},
        "inputs": _fingerprint(items),
    }
    earlier = _earlier(out, source, settings)
    if earlier is not None:
        warnings = tuple(earlier.settings.get("warnings", ()))
    else:
        findings = check(items)
        if findings.problems:
            raise DataError(f"{source}: {count(findings.problems, 'problem')}; nothing written", findings.problems)
        warnings = findings.warnings
    if strict and warnings:
        raise DataError(f"{source}: {count(warnings, 'warning')}, and --strict takes none", warnings)
    if earlier is not None:
        return Prepared(earlier, warnings, False)
    written = (replace(item, path=relative(Path(item.path), out)) if item.path else item for item in items)
    manifest = Manifest(tuple(written), out, source, {**settings, "warnings": list(warnings)})
    write_manifest(manifest)
    return Prepared(manifest, warnings, True)


def _arguments(source: str, arguments: dict[str, Path | None]) -> dict[str, Path]:
    """The arguments that were given, if they are those that the source takes."""
    if source not in SOURCES:
        raise DataError(f"unknown source {source!r}; there are {', '.join(SOURCES)}")
    wanted = inspect.signature(SOURCES[source]).parameters
    given = {name: Path(path) for name, path in arguments.items() if path is not None}
    takes = ", ".join(wanted)
    problems = [f"it takes no {name}" for name in given if name not in wanted]
    problems += [
        f"it needs {name}"
        for name, parameter in wanted.items()
        if name not in given and parameter.default is inspect.Parameter.empty
    ]
    if problems:
        raise DataError(f"source {source}: wrong arguments (it takes {takes})", problems)
    return given


def _fingerprint(items: Iterable[Item]) -> str:
    """SHA-256 over the items and their files' sizes and times of change, 16 hex digits."""
    digest = hashlib.sha256()
    for item in items:
        digest.update(json.dumps(item.to_dict(), sort_keys=True).encode())
        if item.path is not None and (path := Path(item.path)).exists():
            digest.update(f"{path.stat().st_size} {path.stat().st_mtime_ns}".encode())
    return digest.hexdigest()[:16]


def _earlier(out: Path, source: str, settings: dict[str, Any]) -> Manifest | None:
    """The manifest in ``out``, if it was made from just these settings and is whole."""
    if not (out / NAME).is_file():
        return None
    try:
        manifest = read_manifest(out)
    except DataError:
        return None
    made = {name: value for name, value in manifest.settings.items() if name != "warnings"}
    return manifest if manifest.source == source and made == settings else None


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
