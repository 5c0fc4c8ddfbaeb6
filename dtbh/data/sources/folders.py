"""Trees of class folders."""

from __future__ import annotations

from itertools import permutations
from pathlib import Path

from dtbh.data.manifest import Item, Modality
from dtbh.data.sources.base import source
from dtbh.data.sources.readers import items_or_problems
from dtbh.media.files import SOUND_TYPES, image_types, media_files


@source("folders")
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
