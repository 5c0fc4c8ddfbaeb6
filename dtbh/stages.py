"""The stages after training, each from paths to a path: evaluate, encode, index.

Comes in: run folders, manifests and media. The stages before stand in their own rooms: ``data.sources.prepare``,
``data.speech.speak`` and ``learning.trainer.train``.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory

from dtbh.card import write_card
from dtbh.codes import HashCodes, read_codes, write_codes
from dtbh.data.layouts import SOUND_TYPES, image_types, media_files
from dtbh.data.manifest import MODALITIES, SPLITS, Item, Manifest, Modality, read_manifest
from dtbh.data.splits import leakage, split_for
from dtbh.errors import DataError, RunError
from dtbh.evaluation.protocol import evaluate as evaluate_codes
from dtbh.evaluation.report import write_report
from dtbh.evaluation.values import RetrievalReport
from dtbh.exported import ExportedModel, open_exported
from dtbh.index.archive import create_archive, open_archive
from dtbh.listening import in_noise, in_other_voices
from dtbh.model import EXPORTED, Encoder, load
from dtbh.progress import say
from dtbh.runs import RULE, read_run

CALIBRATION = 128
"""Images, and sounds, that set the ranges of 8-bit integers."""


@dataclass(frozen=True)
class Done:
    """What a stage left.

    Attributes:
        path: The folder it wrote.
        count: Items in it.
        failures: One line for each file that could not be read and was left out.
    """

    path: Path
    count: int
    failures: tuple[str, ...]


def evaluate(
    run: str | Path,
    *,
    data: str | Path | None = None,
    split: str = "test",
    out: str | Path | None = None,
    voices: str | Path | None = None,
    noise_db: float | None = None,
) -> tuple[RetrievalReport, Path]:
    """Evaluate a run in both directions, or within the only modality it has a tower for; write report and card.

    Args:
        run: The run folder.
        data: Another prepared data folder, taken with its own splits; None: the run's own data, with the
            splits of its protocol.
        split: ``train``, ``val``, ``test``, or ``all``: both gallery and queries.
        out: The report's folder; None: ``report`` in the run folder, and ``-<name>`` for other data, for voices
            and for noise.
        voices: A data folder with the same captions in other voices, which take the place of the split's own.
        noise_db: Signal-to-noise ratio that noise brings the sounds to: for one half babble, for the other
            noise between white and pink.

    Returns:
        The report, and its folder.

    Raises:
        DataError: No such data, nothing in the split, captions that were not spoken yet, other captions in the
            other voices, or no labels.
        RunError: No such run.
    """
    model = load(run)
    manifest, protocol = _manifest_for(model, data)
    manifest = manifest.replaced(_with_towers(model, manifest))
    names = ["report"] + ([] if data is None else [Path(data).resolve().name])
    if voices is not None:
        manifest = in_other_voices(manifest, read_manifest(voices), split)
        protocol += f", voices of {Path(voices).resolve().name}"
        names.append(Path(voices).resolve().name)
    if noise_db is not None:
        protocol += f", noise at {noise_db:g} dB"
        names.append(f"noise{noise_db:g}")
    items = [_absolute(manifest, item) for item in _of_split(manifest, split)]
    codes = _heard(model, items, noise_db)
    towers = model.config.encoders
    images = None if towers.image is None else codes.of("image")
    sounds = None if towers.sound is None else codes.of("sound")
    counts = {name: _counts(_of_split(manifest, name)) for name in SPLITS}
    report = evaluate_codes(
        images,
        sounds,
        protocol=protocol,
        splits=counts,
        leakage=leakage(manifest).to_dict(),
        checkpoint_rule=RULE,
    )
    out = Path(out) if out is not None else model.path / "-".join(names)
    write_report(report, out, images=images, sounds=sounds)
    own = read_manifest(model.path / read_run(model.path)["data"])
    write_card(model.path, split_for(own, model.config))
    return report, out


def _heard(model: Encoder, items: list[Item], noise_db: float | None) -> HashCodes:
    """Codes of items, their sounds as they are or in noise."""
    if noise_db is None:
        return model.encode(items, stored=True).codes
    with TemporaryDirectory(prefix="dtbh-") as folder:
        noisy = in_noise(items, Path(folder), noise_db)
        codes = model.encode([item for item in noisy if item.modality == "sound"]).codes
        images = [item for item in items if item.modality == "image"]
        if images:
            codes = HashCodes.concatenate([model.encode(images, stored=True).codes, codes])
    paths = {item.id: item for item in items}
    return replace(codes, items=tuple(paths[item.id] for item in codes.items))


def encode(run: str | Path, source: str | Path, *, out: str | Path, split: str = "all", strict: bool = False) -> Done:
    """Encode a manifest, a folder of media or a single file, and write the codes.

    Codes of the same items by the same encoder, newer than the media, are left as they are.

    Args:
        run: The run folder.
        source: A prepared data folder, any folder with images or sounds, or a file.
        out: The folder of codes.
        split: Of a manifest, the split to take.
        strict: Stop at the first file that can't be read, instead of leaving it out.
    """
    model, out = load(run), Path(out)
    items = _items_of(model, source, split)
    if (out / "meta.json").is_file():
        old = read_codes(out)
        if old.encoder == model.fingerprint and _unchanged(items, old.items, out / "meta.json"):
            return Done(out, len(old), ())
    codes, failures = _encoded(model, source, items, strict=strict)
    return Done(write_codes(codes, out), len(codes), failures)


def index(run: str | Path, source: str | Path, *, out: str | Path, split: str = "all", strict: bool = False) -> Done:
    """Encode as ``encode`` does, and make a searchable archive of it; one that is up to date is left as it is."""
    model, out = load(run), Path(out)
    items = _items_of(model, source, split)
    if (out / "archive.json").is_file():
        old = open_archive(out)
        stored = old.items(old.rows())
        if old.encoder == model.fingerprint and _unchanged(items, stored, out / "archive.json"):
            return Done(out, len(old), ())
    codes, failures = _encoded(model, source, items, strict=strict)
    return Done(create_archive(out, codes, model=run).path, len(codes), failures)


def export(run: str | Path, *, out: str | Path, data: str | Path | None = None, int8: bool = False) -> ExportedModel:
    """Export a run as a model that needs no torch, once its codes were compared with the run's on the test split.

    A model that was exported from these very weights is left as it is.

    Args:
        run: The run folder.
        out: The model's folder.
        data: The prepared data folder to compare on; None: the run's own.
        int8: Make networks of 8-bit integers, by items of the training split. The model is then another encoder,
            with a fingerprint of its own; ``evaluate`` says what it costs.

    Raises:
        RunError: No such run, a tower that can't be exported, or codes that differ beyond rounding; nothing is
            written then.
    """
    if (Path(run) / EXPORTED).is_file():
        raise RunError(f"{run}: was exported already; copy the folder, or give the run it was made from")
    from dtbh.encode import load as load_run
    from dtbh.export import write_model

    model, out = load_run(run), Path(out)
    if (out / EXPORTED).is_file():
        old = open_exported(out)
        if (old.meta["run"], old.meta["int8"]) == (model.fingerprint, int8):
            return old
    manifest, _ = _manifest_for(model, data)
    test, train = ([_absolute(manifest, item) for item in _of_split(manifest, split)] for split in ("test", "train"))
    return write_model(model, test, out, calibration=_some(train, CALIBRATION) if int8 else None)


def _some(items: Sequence[Item], count: int) -> list[Item]:
    """So many items of each modality, evenly over the sequence."""
    chosen: list[Item] = []
    for modality in MODALITIES:
        of = [item for item in items if item.modality == modality]
        chosen += [of[row * len(of) // count] for row in range(count)] if len(of) > count else of
    return chosen


def items_at(source: Path) -> list[Item]:
    """The media under a folder, or a single file, as items named by their relative path.

    Raises:
        DataError: Nothing there, or nothing that is an image or a sound.
    """
    if not source.exists():
        raise DataError(f"{source}: no such file or folder; wanted a prepared data folder, images or sounds")
    kinds: dict[str, Modality] = dict.fromkeys(image_types(), "image")
    kinds.update((suffix, "sound") for suffix in SOUND_TYPES)
    root, files = (source, media_files(source, frozenset(kinds), [])) if source.is_dir() else (source.parent, [source])
    items = [
        Item(file.relative_to(root).as_posix(), kinds[file.suffix.lower()], str(file.resolve()))
        for file in files
        if file.suffix.lower() in kinds
    ]
    if not items:
        raise DataError(f"{source}: no images or sounds here; wanted files such as .jpg, .png, .tif, .wav or .flac")
    return items


def _items_of(model: Encoder, source: str | Path, split: str) -> list[Item]:
    """The items of a source, with absolute paths."""
    source = Path(source)
    if _is_manifest(source):
        manifest, _ = _manifest_for(model, source)
        items = [_absolute(manifest, item) for item in _with_towers(model, _of_split(manifest, split))]
    elif split != "all":
        raise DataError(f"{source}: has no splits, only a prepared data folder has; leave --split away")
    else:
        items = _with_towers(model, items_at(source))
    if not items:
        wanted = " or ".join(f"{kind}s" for kind in model.config.encoders.modalities)
        raise DataError(f"{source}: has no {wanted}, and {model.path} can encode nothing else")
    return items


def _with_towers(model: Encoder, items: Iterable[Item]) -> list[Item]:
    """The items of the modalities that the model has a tower for; says how many there are of others."""
    items, known = list(items), model.config.encoders.modalities
    kept = [item for item in items if item.modality in known]
    if len(kept) < len(items):
        say(f"{len(items) - len(kept)} items left aside: {model.path} has towers for {known[0]}s alone")
    return kept


def _unchanged(items: Sequence[Item], old: Sequence[Item], written: Path) -> bool:
    """Whether a file stands for these very items, and none of their media is newer."""
    if list(items) != list(old):
        return False
    when = written.stat().st_mtime_ns
    return all(file.is_file() and file.stat().st_mtime_ns < when for file in (Path(str(i.path)) for i in items))


def _encoded(
    model: Encoder, source: str | Path, items: Sequence[Item], *, strict: bool
) -> tuple[HashCodes, tuple[str, ...]]:
    """Codes of the items that can be read, and why the others can't."""
    encoding = model.encode(items, skip=not strict)
    if not len(encoding.codes):
        raise DataError(f"{source}: none of {len(items)} files could be read", encoding.failures[:20])
    return encoding.codes, encoding.failures


def _is_manifest(source: Path) -> bool:
    return source.suffix == ".jsonl" or (source / "manifest.jsonl").is_file()


def _manifest_for(model: Encoder, data: str | Path | None) -> tuple[Manifest, str]:
    """A manifest with splits, and the protocol's name: the run's own protocol on its own data."""
    run = read_run(model.path)
    manifest = read_manifest(model.path / run["data"] if data is None else data)
    if manifest.fingerprint == run["manifest"]:
        return split_for(manifest, model.config), model.config.data.protocol
    if data is None:
        raise DataError(f"{manifest.root}: changed since {model.path} was trained on it; train again")
    return manifest, "files"


def _of_split(manifest: Manifest, split: str) -> Manifest:
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


def _counts(manifest: Manifest) -> dict[str, int]:
    counts = Counter(item.modality for item in manifest)
    return {"images": counts["image"], "sounds": counts["sound"]}


def _absolute(manifest: Manifest, item: Item) -> Item:
    return replace(item, path=str(manifest.file(item).resolve()))
