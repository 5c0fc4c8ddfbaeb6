"""Trees of class folders."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import permutations
from pathlib import Path

from dtbh.data.manifest import Item, Modality, Split
from dtbh.data.sources.base import source
from dtbh.data.sources.caption_tables import read_caption_table
from dtbh.data.sources.readers import by_stem, items_or_problems
from dtbh.data.sources.split_names import split_named
from dtbh.media.files import SOUND_TYPES, image_types, media_files


@source("folders")
def folders(images: Path, sounds: Path | None = None, captions: Path | None = None) -> list[Item]:
    """Trees of class folders: only the class relates the images and the sounds, unless there are captions.

    With images alone this is how UC Merced, AID, PatternNet, RSSCN7 and most scene sets are published. Where all
    folders of a tree are named after splits (``train``, ``valid``, ``test``, ...), the classes are those below them.

    Args:
        images: ``<class>/**/<any name>`` of every type that PIL reads.
        sounds: ``<class>/**/<any name>`` of every type that soundfile reads, of the same class names; None for
            methods that take images alone.
        captions: A table with the file name of an image and its captions, in several columns or lines or as a list.

    Returns:
        Images, then sounds, without pairs; an id is the path below its tree. With captions, each image is a pair
        with its captions, which are sounds still to be spoken.

    Raises:
        DataError: Classes that only one tree has, files outside a class folder, empty trees.
    """
    problems: list[str] = []
    trees: list[tuple[Modality, Path, frozenset[str]]] = [("image", images, image_types())]
    if sounds is not None:
        trees.append(("sound", sounds, SOUND_TYPES))
    items: list[Item] = []
    for modality, tree, types in trees:
        items += _tree(modality, tree, media_files(tree, types, problems), problems)
    labels = {m: {item.label for item in items if item.modality == m} for m, _, _ in trees}
    for (here, tree, _), (there, other, _) in permutations(trees, 2):
        for label in sorted(map(str, labels[here] - labels[there])):
            problems.append(f"{tree / label}: no {there} of this class; wanted files in {other / label}")
    if not items and not problems:
        problems.append(f"{', '.join(str(tree) for _, tree, _ in trees)}: nothing here; wanted <class>/<file>")
    if captions is not None and not problems:
        items = _captioned(items, captions, problems)
    return items_or_problems("folders", items, problems)


def _tree(modality: Modality, tree: Path, files: Sequence[Path], problems: list[str]) -> list[Item]:
    """The items of one tree."""
    paths = [(path, path.relative_to(tree)) for path in files]
    splits: dict[str, Split | None] = {inside.parts[0]: split_named(inside.parts[0]) for _, inside in paths}
    by_split = all(splits.values()) and all(len(inside.parts) > 2 for _, inside in paths)
    items = []
    for path, inside in paths:
        if len(inside.parts) < 2:
            problems.append(f"{path}: lies in no class folder; wanted {tree}/<class>/{path.name}")
            continue
        label, split = (inside.parts[1], splits[inside.parts[0]]) if by_split else (inside.parts[0], None)
        items.append(Item(inside.as_posix(), modality, str(path.resolve()), label, split=split))
    return items


def _captioned(items: Sequence[Item], captions: Path, problems: list[str]) -> list[Item]:
    """The items, with those images that have captions as pairs, and their captions."""
    by_id = {item.id: item for item in items if item.modality == "image"}
    stems = by_stem(Path(id_) for id_ in by_id)
    said: dict[str, list[str]] = {}
    for where, name, sentences in read_caption_table(captions, problems):
        plain = Path(name.replace("\\", "/"))
        found = [plain.as_posix()] if plain.as_posix() in by_id else []
        found = found or [path.as_posix() for path in stems.get(f"{plain.parent.name}/{plain.stem}".lower(), [])]
        found = found or [path.as_posix() for path in stems.get(plain.stem.lower(), [])]
        if len(set(found)) == 1:
            said.setdefault(found[0], []).extend(sentences)
        elif found:
            problems.append(f"{where}: {name} fits several images: {', '.join(found)}; name its folder, too")
        else:
            problems.append(f"{where}: {name} is not among the images")
    pairs = [replace(item, pair=item.id) if item.id in said and item.modality == "image" else item for item in items]
    for id_, sentences in said.items():
        image = by_id[id_]
        for number, text in enumerate(sentences, start=1):
            pairs.append(Item(f"{id_}S{number}", "sound", None, image.label, id_, image.split, transcript=text))
    return pairs
