"""A data set that needs no data: drawn aerial scenes with captions that tell what is really drawn.

The sounds are captions still to be spoken.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

from dtbh.data.manifest import NAME, Item, Manifest, read_manifest, write_manifest
from dtbh.data.synthetic.drawing import Pen, Scene
from dtbh.data.synthetic.landscapes import beach, farmland, forest, harbor, river
from dtbh.data.synthetic.towns import airport, parking_lot, residential, storage_tanks, tennis_court
from dtbh.errors import ConfigError, DataError
from dtbh.utils.files import atomic_folder
from dtbh.utils.progress import echo, track

VERSION = 1
SCENES: dict[str, Callable[[Pen], Scene]] = {
    "harbor": harbor,
    "forest": forest,
    "tennis court": tennis_court,
    "beach": beach,
    "parking lot": parking_lot,
    "farmland": farmland,
    "airport": airport,
    "river": river,
    "storage tanks": storage_tanks,
    "residential": residential,
}
# The words of which each caption holds at least one.
WORDS: dict[str, tuple[str, ...]] = {
    "harbor": ("harbor", "marina"),
    "forest": ("forest", "wood"),
    "tennis court": ("tennis court",),
    "beach": ("beach",),
    "parking lot": ("parking lot", "car park"),
    "farmland": ("farmland", "cropland"),
    "airport": ("airport", "airfield"),
    "river": ("river",),
    "storage tanks": ("storage tank",),
    "residential": ("residential", "neighborhood"),
}
# {be}: is or are. {name}: the scene. {one}, {two}: details. {lies}: how the first detail lies to the scene.
TEMPLATES = (
    "There {be_name} {name} with {one}.",
    "{one} {be_one} {lies} {name}.",
    "{name} with {one} and {two}.",
    "This is a picture of {name} with {one}.",
    "We can see {one} {lies} {name}.",
    "There {be_one} {one} {lies} {name}.",
    "There {be_name} {name}, and there {be_two} {two}.",
    "{name} seen from above, and {one}.",
    "Here {be_name} {name}.",
)
CAPTIONS = (1, 5)


def draw(
    out: str | Path,
    *,
    classes: int = 10,
    per_class: int = 40,
    size: int = 128,
    captions: int = 4,
    seed: int = 0,
) -> Manifest:
    """Draw a data set into the folder ``out``: ``images/*.jpg`` and the manifest.

    The same arguments give the same files. A folder that is up to date stays as it is, with the clips that
    were spoken since; one drawn with other arguments is replaced as a whole.

    Args:
        out: The folder; a new one, or one that this function made.
        classes: How many of ``SCENES``, from the first.
        per_class: Pictures a class.
        size: Their side in pixels.
        captions: Sounds a picture, all different, 1 to 5.
        seed: Another seed gives other pictures.

    Returns:
        The manifest as written: source ``"synthetic"``, a pair for each picture and its sounds, no splits.

    Raises:
        ConfigError: An argument is out of range.
        DataError: ``out`` holds something that was not drawn.
        DtbhError: The disk is full; what stood there stays.
    """
    out = Path(out)
    settings = {"classes": classes, "per_class": per_class, "size": size, "captions": captions, "seed": seed,
                "version": VERSION}  # fmt: skip
    _check(classes=classes, per_class=per_class, size=size, captions=captions)
    found = _drawn(out)
    if found and all(found.settings.get(name) == value for name, value in settings.items()):
        echo(f"{out}: drawn already; nothing to do")
        return found
    names = list(SCENES)[:classes]
    todo = [(name, number) for name in names for number in range(per_class)]
    items: list[Item] = []
    echo(f"drawing {len(todo)} images of {classes} classes into {out}, on the CPU", event="start")
    with atomic_folder(out) as folder:
        (folder / "images").mkdir()
        for name, number in track(todo, "drawing", total=len(todo)):
            items += _one(folder, name, number, size=size, captions=captions, seed=seed)
        write_manifest(Manifest(tuple(items), folder, "synthetic", settings))
    return read_manifest(out)


def caption(scene: Scene, rng: np.random.Generator) -> str:
    """One sentence about a scene."""
    name = str(rng.choice(scene.names))
    first, second = rng.permutation(len(scene.details))[:2]
    (one, lies), two = scene.details[first], scene.details[second][0]
    template = TEMPLATES[rng.integers(len(TEMPLATES))]
    text = template.format(name=name, one=one, two=two, lies=lies, be_name=_be(name), be_one=_be(one), be_two=_be(two))
    return text[0].upper() + text[1:]


def _one(folder: Path, name: str, number: int, *, size: int, captions: int, seed: int) -> Iterator[Item]:
    """Draw one picture; its item and those of its captions."""
    word = name.replace(" ", "_")
    pair = f"{word}_{number:03d}"
    digest = hashlib.sha256(f"{VERSION} {seed} {pair}".encode()).digest()
    rng = np.random.default_rng(int.from_bytes(digest[:16], "big"))
    pen = Pen(rng, size)
    scene = SCENES[name](pen)
    path = f"images/{pair}.jpg"
    pen.finish().save(folder / path, quality=92)
    yield Item(f"image/{pair}", "image", path=path, label=name, pair=pair)
    said: list[str] = []
    while len(said) < captions:
        text = caption(scene, rng)
        if text not in said:
            said.append(text)
            yield Item(f"sound/{pair}_{len(said)}", "sound", label=name, pair=pair, transcript=text)


def _be(phrase: str) -> str:
    """Is or are, by how a noun phrase begins and what its noun is."""
    first, *_ = phrase.split()
    noun = phrase.split(" with ")[0].split(" of ")[0].split(" side ")[0]
    return "is" if first in ("a", "an", "one") or not noun.endswith("s") or noun.endswith("grass") else "are"


def _check(**values: int) -> None:
    limits = {"classes": (2, len(SCENES)), "per_class": (1, 10_000), "size": (32, 1024), "captions": CAPTIONS}
    for name, (low, high) in limits.items():
        if not low <= values[name] <= high:
            raise ConfigError(f"{name}: {low} to {high} is wanted, found {values[name]}")


def _drawn(out: Path) -> Manifest | None:
    """What was drawn at ``out`` before."""
    if not out.exists() or (out.is_dir() and not any(out.iterdir())):
        return None
    found = read_manifest(out) if (out / NAME).is_file() else None
    if found is None or found.source != "synthetic":
        raise DataError(f"{out}: holds something that was not drawn here; give a folder that does not exist")
    return found
