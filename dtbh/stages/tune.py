"""Training that goes on from a model, on tiles of one's own: from one of each class on, with captions or without.

Only heads change, so it takes seconds once every image was looked at. The result is a model of the same kind as its
start, an exported one or a run, written whole or not at all.
"""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from dtbh.codes import HashCodes
from dtbh.config import Config, differences, make_config, overridden, read_config, write_config
from dtbh.data.joining import JOINED, read_data
from dtbh.data.manifest import BETWEEN, Item, Manifest, Modality, relative
from dtbh.data.splits import split_for
from dtbh.data.transcripts import as_texts
from dtbh.errors import ConfigError, DataError, RunError
from dtbh.evaluation.evaluate import evaluate
from dtbh.media.class_words import class_words
from dtbh.models.fetch import located
from dtbh.models.load import load
from dtbh.models.run_files import CONFIG, READY, RUN, VERSION, place_of, read_run
from dtbh.models.start import Start, start_of
from dtbh.stages.inputs import absolute
from dtbh.utils.files import atomic_folder, check_place, parse_json, write_text
from dtbh.utils.packages import check_installed
from dtbh.utils.progress import echo
from dtbh.utils.version import __version__

FEWEST = 2
"""Tiles that can be learned from."""
ENOUGH = 100
"""Images of validation by which it is found how far hits are believed; with fewer it remains that of the start."""
FREE = ("data.", "seed:")
"""The settings that are not the start's, as `differences` names them."""


@dataclass(frozen=True)
class _Taught:
    """Images of a split and what is said of them, each with a label; its pair, where there are no classes."""

    images: Sequence[Item]
    texts: Sequence[Item]
    classes: bool = True


def train_from(
    start: str | Path,
    data: str | Path | Sequence[str | Path],
    out: str | Path,
    *,
    keep: bool = False,
    overrides: Sequence[str] = (),
) -> Path:
    """Bring a model's heads to the training split of a data folder; measure the result on its validation split.

    What is said of an image are its captions; where none has any, its class's name in words. A model that was made so
    from the same start, data and settings is left as it is.

    Args:
        start: A model with a text tower and without a network of sounds: ``ready``, a folder or an address.
        data: A prepared data folder, or several. Where they name no splits, some images are held out at random, as
            ``data.protocol`` says it.
        out: The new model's folder: exported where the start is, else a run.
        keep: What the start knows is kept beside the new classes, in the same bits; else codes are for these alone.
        overrides: ``seed=1``, or settings of ``data``, as in ``data.protocol=random``.

    Returns:
        ``out``.

    Raises:
        ConfigError: A start that can't be gone on from, or other settings.
        DataError: Fewer than two tiles or, where nothing is kept, classes; or neither captions nor labels.
        RunError: No such model, or another one in ``out``.
        MediaError: An image that can't be read; nothing is written.
    """
    check_installed("torch", "onnx", extra="train", purpose="dtbh train --from")
    out, began = Path(out), time.monotonic()
    first, manifest = start_of(located(start)), read_data([data] if isinstance(data, str | Path) else data)
    config = _config(first.config, manifest, overrides)
    split = split_for(manifest, config)
    learned = _taught(split, "train")
    if len(learned.images) < FEWEST:
        raise DataError(
            f"{manifest.root}: {len(learned.images)} images with a label or a caption in the train split, wanted "
            f"{FEWEST} at least; give more, or choose another data.protocol"
        )
    if lost := next((item.path for item in learned.images if not Path(str(item.path)).is_file()), None):
        raise DataError(
            f"{lost}: no such file, though the manifest of {manifest.root} names it; run dtbh prepare again"
        )
    if _is_done(out, first, config, manifest, keep):
        echo(f"{out}: already trained with these settings")
        return out
    echo(f"training {out} on {len(learned.images)} images and {len(learned.texts)} texts, from {start}", event="start")
    numbers, classes = _numbers(first, learned, config.seed)
    if classes < FEWEST and not keep:
        raise DataError(
            f"{manifest.root}: the images of its train split are all of one class, which leaves codes nothing to tell "
            "apart; give tiles of others too, or keep what the model knows beside it (--keep)"
        )
    image, text = _tuned(first, learned, numbers, config, keep)
    concepts = first.config.encoders.concepts
    assert concepts is not None
    wider = concepts.model_copy(update={"count": len(image["concepts"])})
    config = config.model_copy(update={"encoders": config.encoders.model_copy(update={"concepts": wider})})
    said: dict[str, Any] = {
        "version": VERSION, "dtbh": __version__,
        "data": [relative(part, out) for part in manifest.parts] or relative(manifest.root, out),
        "source": f"{read_run(first.path)['source']}{JOINED}{manifest.source}", "manifest": manifest.fingerprint,
        "checkpoint_rule": f"heads fitted at once to {len(learned.images)} images of {classes} classes",
        "from": {"model": first.fingerprint, "source": read_run(first.path)["source"], "keep": keep}, "finished": True,
    }  # fmt: skip
    with atomic_folder(out) as new:
        first.write(new, image, text)
        write_config(config, new / CONFIG)
        write_text(new / RUN, json.dumps(said) + "\n")
        said |= _measured(new, first, _taught(split, "val"))
        write_text(new / RUN, json.dumps(said | {"seconds": round(time.monotonic() - began, 1)}, indent=2) + "\n")
    return out


def _config(start: Config, manifest: Manifest, overrides: Sequence[str]) -> Config:
    """The start's settings, but those of the data."""
    named = all(item.split is not None for item in manifest)
    fresh = start.model_copy(update={"data": make_config({"data": {"protocol": "files" if named else "random"}}).data})
    config = overridden(fresh, overrides)
    if wrong := [line for line in differences(fresh, config) if not line.startswith(FREE)]:
        raise ConfigError(f"--set {wrong[0]}: with --from only seed and settings of data may differ from the start's")
    return config


def _taught(split: Manifest, name: str) -> _Taught:
    """The images of a split that are said something of, and that.

    Raises:
        DataError: Images that have neither captions nor labels.
    """
    images = [absolute(split, item) for item in split.images if item.split == name]
    texts = as_texts(item for item in split if item.split == name)
    told = {item.pair for item in texts} - {None}
    if any(item.pair in told for item in images):
        images = [item for item in images if item.pair in told]
        pairs = {item.pair for item in images}
        texts = [item for item in texts if item.pair in pairs]
    else:
        if images and not any(item.label for item in images):
            raise DataError(
                f"{split.root}: its images have neither captions nor labels, so there is nothing to learn; lay them "
                "out in a folder a class (dtbh prepare folders), or give captions"
            )
        ranks = word_ranks()
        images = [replace(item, pair=item.label) for item in images if item.label]
        names = {str(item.label): class_words(str(item.label), ranks) or str(item.label) for item in images}
        texts = [
            Item(f"{label}.txt", "text", label=label, pair=label, transcript=said) for label, said in names.items()
        ]
        if name == "train" and texts:
            some = ", ".join(f'"{item.transcript}"' for item in texts[:4])
            echo(f"{split.root}: no captions, so classes go by their names: {some}{', ...' * (len(texts) > 4)}")
    classes = all(item.label for item in images)
    if not classes:
        images, texts = ([replace(item, label=_alone(item.pair)) for item in part] for part in (images, texts))
    return _Taught(images, texts, classes)


def _alone(pair: str | None) -> str:
    return str(pair).replace(BETWEEN, "\n")  # a file's name is no list of labels


def word_ranks() -> dict[str, int]:
    """The words of the tokenizer that comes with the package, the frequent ones first."""
    ranks: dict[str, int] = parse_json((place_of(READY) / "tokenizer.json").read_text(encoding="utf-8"))["model"][
        "vocab"
    ]
    return ranks


def _numbers(first: Start, learned: _Taught, seed: int) -> tuple[dict[str, int], int]:
    """A number for the images of each pair, and how many there are: its class, or a group of like meaning."""
    labels = {str(item.pair): str(item.label) for item in learned.images}
    if learned.classes:
        known = sorted(set(labels.values()))
        return {pair: known.index(label) for pair, label in labels.items()}, len(known)
    from dtbh.training.tuning import grouped

    vectors = first.outputs(learned.texts)
    pairs = np.array([str(item.pair) for item in learned.texts])
    found = grouped(np.stack([vectors[pairs == pair].mean(axis=0) for pair in labels]), seed)
    return dict(zip(labels, found.tolist(), strict=True)), 1 + int(found.max())


def _tuned(
    first: Start, learned: _Taught, numbers: dict[str, int], config: Config, keep: bool
) -> tuple[dict[str, Any], ...]:
    """The heads of images and of texts."""
    from dtbh.training.shallow import Sample
    from dtbh.training.tuning import tuned_heads

    settings = config.encoders.concepts
    assert settings is not None
    order = {pair: row for row, pair in enumerate(numbers)}
    of_images = [str(item.pair) for item in learned.images]
    seen = Sample(
        first.outputs(learned.images),
        np.array([numbers[pair] for pair in of_images]),
        np.array([order[pair] for pair in of_images]),
    )
    said_of = np.array([order[str(item.pair)] for item in learned.texts])
    image, text = first.heads()
    texts = first.outputs(learned.texts)
    return tuned_heads(image, text, seen, texts, said_of, settings=settings, seed=config.seed, keep=keep)


def _measured(new: Path, first: Start, held: _Taught) -> dict[str, float]:
    """The validation mAP; how far hits are believed is found there too, where there is enough."""
    if len(held.images) < ENOUGH and (believed := load(first.path).confidence) is not None:
        believed.write(new)
    if not held.images:
        return {}
    model = load(new)
    from dtbh.training.confidence import fit_confidence

    codes = model.encode([*held.images, *held.texts], stored=True).codes
    images, texts = codes.of("image"), codes.of("text")
    report = evaluate(images, None, texts, protocol="", splits={}, leakage={}, checkpoint_rule="", gallery="val")
    validated = {"kept_val_map": float(np.mean([one.map for one in report.directions.values()]))}
    if len(held.images) < ENOUGH:
        return validated
    names = sorted({str(item.label) for item in codes.items})
    sides: dict[Modality, HashCodes] = {"image": images, "text": texts}
    labels = {kind: np.array([names.index(str(i.label)) for i in side.items]) for kind, side in sides.items()}
    fit_confidence({kind: side.words for kind, side in sides.items()}, labels, codes.bits).write(new)
    return validated


def _is_done(out: Path, first: Start, config: Config, manifest: Manifest, keep: bool) -> bool:
    """Whether ``out`` is this very model.

    Raises:
        RunError: It is something else.
    """
    if not out.exists() or not any(out.iterdir()):
        return False
    check_place(out, RUN, "model")
    run = read_run(out)
    old = read_config(out / CONFIG)
    wanted = config.model_copy(update={"encoders": old.encoders})
    if (
        run.get("from", {}).get("model") == first.fingerprint
        and run["from"].get("keep", True) == keep  # older ones kept
        and run["manifest"] == manifest.fingerprint
        and (not differences(old, wanted))
    ):
        return True
    raise RunError(f"{out}: holds another model, or one of other data or settings; choose another --out")
