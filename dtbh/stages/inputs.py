"""Which items a stage works on: those of a prepared data folder, of a folder of media, or a single file."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path

from dtbh.data.joining import read_data
from dtbh.data.manifest import MODALITIES, SPLITS, Item, Manifest, Modality, read_manifest
from dtbh.data.passages import cut_recording
from dtbh.data.splits import split_for, title
from dtbh.data.tiling import SUFFIXES, Tiling, cut
from dtbh.errors import DataError, MediaError
from dtbh.media.files import SOUND_TYPES, image_types, media_files
from dtbh.media.sound import header_seconds
from dtbh.models.encoder import Encoder
from dtbh.models.run_files import data_folders, read_run
from dtbh.utils.progress import echo

PACKED = frozenset({".zip", ".tar", ".gz", ".tgz", ".bz2", ".xz", ".7z", ".rar"})


def items_at(source: Path, cutting: Tiling | None = None, longest: float | None = None) -> list[Item]:
    """The media under a folder, or a single file, as items named by their relative path.

    With ``cutting``, TIFF files are scenes, of which each tile is an item; with ``longest``, sounds of more seconds are
    recordings, of which each passage is one.

    Raises:
        DataError: Nothing there, nothing that is an image or a sound, or no tile or passage that holds anything.
        MediaError: A scene that can't be read.
    """
    if not source.exists():
        raise DataError(f"{source}: no such file or folder; wanted a prepared data folder, images or sounds")
    kinds: dict[str, Modality] = dict.fromkeys(image_types(), "image")
    kinds.update((suffix, "sound") for suffix in SOUND_TYPES)
    root, files = (source, media_files(source, frozenset(kinds), [])) if source.is_dir() else (source.parent, [source])
    items: list[Item] = []
    for file in files:
        name, suffix = file.relative_to(root).as_posix(), file.suffix.lower()
        if cutting is not None and suffix in SUFFIXES:
            items += _tiles(file, name, cutting)
        elif longest is not None and kinds.get(suffix) == "sound":
            items += _passages(file, name, longest)
        elif suffix in kinds:
            items.append(Item(name, kinds[suffix], str(file.resolve())))
    if not items and cutting is not None:
        raise DataError(f"{source}: no tile with data here; wanted GeoTIFF scenes (.tif, .tiff)")
    if not items and longest is not None:
        raise DataError(f"{source}: nobody speaks here; wanted recordings in which somebody does")
    if not items and (packed := next((file for file in _below(source) if file.suffix.lower() in PACKED), None)):
        raise DataError(f"{source}: no images or sounds here but what {packed} may hold; unpack it and give its folder")
    if not items:
        raise DataError(f"{source}: no images or sounds here; wanted files such as .jpg, .png, .tif, .wav or .flac")
    return items


def _below(source: Path) -> Iterable[Path]:
    return sorted(source.rglob("*")) if source.is_dir() else [source]


def _tiles(file: Path, name: str, cutting: Tiling) -> list[Item]:
    tiles = cut(file, name, cutting)
    echo(f"{file}: {len(tiles)} tiles with data{'' if not tiles or tiles[0].footprint else '; no coordinates'}")
    return tiles


def _passages(file: Path, name: str, longest: float) -> list[Item]:
    try:
        passages = cut_recording(file, name, longest)
    except MediaError:  # whoever encodes it says why, and leaves it out
        return [Item(name, "sound", str(file.resolve()))]
    if not passages or passages[0].window:
        echo(f"{file}: {len(passages)} passages in which somebody speaks")
    return passages


def items_of(
    model: Encoder, source: str | Path, split: str, cutting: Tiling | None = None, passages: bool = False
) -> list[Item]:
    """The items of a source, with absolute paths; with ``passages``, of sounds longer than the model hears those."""
    source, seconds = Path(source), model.senses.seconds
    if _is_manifest(source) and passages:
        raise DataError(
            f"{source}: a prepared data folder, which is not cut; give the recordings themselves to --passages"
        )
    if _is_manifest(source) and cutting is not None:
        raise DataError(f"{source}: a prepared data folder, which is not cut; give the scenes themselves to --tile")
    if _is_manifest(source):
        manifest, _ = manifest_for(model, source)
        items = [absolute(manifest, item) for item in _spoken(manifest, with_towers(model, of_split(manifest, split)))]
    elif split != "all":
        raise DataError(f"{source}: has no splits, only a prepared data folder has; leave --split away")
    else:
        items = with_towers(model, items_at(source, cutting, seconds if passages else None))
        if seconds and not passages:
            _say_what_is_long(items, seconds)
    if not items:
        wanted = " or ".join(f"{kind}s" for kind in model.senses.modalities)
        raise DataError(f"{source}: has no {wanted}, and {model.path} can encode nothing else")
    return items


def _spoken(manifest: Manifest, items: list[Item]) -> list[Item]:
    """The items without captions that nobody has spoken yet, which are left aside beside others; says so."""
    there = [item for item in items if item.path is not None]
    if not there or len(there) == len(items):
        return items
    echo(
        f"{manifest.root}: {len(items) - len(there)} captions left aside, which nobody has spoken yet; dtbh speak "
        f"{manifest.root} makes sounds of them"
    )
    return there


def _say_what_is_long(items: Iterable[Item], longest: float) -> None:
    """A remark where sounds are longer than what is heard of them."""
    sounds = [Path(str(item.path)) for item in items if item.modality == "sound"]
    if long := [path for path in sounds if header_seconds(path) > longest]:
        echo(
            f"{len(long)} of {len(sounds)} sounds are longer than the {longest:g} s that are heard of each, the first "
            f"is {long[0]}; --passages makes an item of each passage"
        )


def with_towers(model: Encoder, items: Iterable[Item]) -> list[Item]:
    """The items of the modalities that the model has a tower for; says how many there are of others."""
    items, known = list(items), model.senses.modalities
    kept = [item for item in items if item.modality in known]
    if len(kept) < len(items):
        towers = " and ".join(f"{modality}s" for modality in known)
        echo(f"{len(items) - len(kept)} items left aside: {model.path} has towers for {towers} alone")
    return kept


def storable(items: Sequence[Item], *, strict: bool) -> tuple[Sequence[Item], tuple[str, ...]]:
    """The items that codes and archives can hold, and a line for each other one, whose name is not UTF-8.

    Raises:
        MediaError: There is such an item, and ``strict`` takes none.
    """
    wrong = {place: found[0] for place, item in enumerate(items) if (found := item.not_utf8())}
    said = tuple(f"{items[place].path!a}: its {name} is not UTF-8; rename the file" for place, name in wrong.items())
    if said and strict:
        raise MediaError(said[0])
    return [item for place, item in enumerate(items) if place not in wrong] if wrong else items, said


def counted(items: Iterable[Item]) -> str:
    """How many there are of each modality, as in ``36 images and 72 sounds``."""
    counts = Counter(item.modality for item in items)
    found = [f"{counts[kind]} {kind}{'s' * (counts[kind] != 1)}" for kind in MODALITIES if counts[kind]]
    return " and ".join(found) or "nothing"


def _is_manifest(source: Path) -> bool:
    return source.suffix == ".jsonl" or (source / "manifest.jsonl").is_file()


def manifest_for(model: Encoder, data: str | Path | None) -> tuple[Manifest, str]:
    """A manifest with splits, and the protocol's name: the run's own protocol on its own data."""
    manifest = read_data(data_folders(model.path)) if data is None else read_manifest(data)
    if manifest.fingerprint == read_run(model.path)["manifest"]:
        return split_for(manifest, model.config), title(model.config.data)
    if data is None:
        raise DataError(f"{manifest.root}: changed since {model.path} was trained on it; train again")
    return manifest, "files"


def of_split(manifest: Manifest, split: str) -> Manifest:
    """The items of one split.

    Raises:
        DataError: No such split, or nothing in it.
    """
    if split == "all":
        return manifest
    if split not in SPLITS:
        raise DataError(f"split {split!r}: wanted train, val, test or all")
    chosen = [item for item in manifest if item.split == split]
    return manifest.replaced(chosen)


def absolute(manifest: Manifest, item: Item) -> Item:
    """The item with an absolute path."""
    return replace(item, path=str(manifest.file(item).resolve()))
