"""The stages after training, each from paths to a path: evaluate, encode, index, export.

Comes in: run folders, manifests and media. The stages before stand in their own rooms: ``data.sources.prepare``,
``data.speech.speak`` and ``learning.trainer.train``; encoding and indexing stand in ``dtbh.indexing``.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

from dtbh.card import write_card
from dtbh.codes import HashCodes
from dtbh.data.manifest import MODALITIES, SPLITS, Item, Manifest, read_manifest
from dtbh.data.splits import leakage, split_for
from dtbh.errors import RunError
from dtbh.evaluation.embeddings import Embeddings
from dtbh.evaluation.protocol import evaluate as evaluate_codes
from dtbh.evaluation.report import write_report
from dtbh.evaluation.values import RetrievalReport
from dtbh.exported import ExportedModel, open_exported
from dtbh.gathering import absolute, manifest_for, of_split, with_towers
from dtbh.indexing import Done, encode, index
from dtbh.listening import in_noise, in_other_voices
from dtbh.model import EXPORTED, Encoder, load
from dtbh.runs import RULE, read_run

__all__ = ["Done", "encode", "evaluate", "export", "index"]

CALIBRATION = 128
"""Images, and sounds, that set the ranges of 8-bit integers."""


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
    manifest, protocol = manifest_for(model, data)
    manifest = manifest.replaced(with_towers(model, manifest))
    names = ["report"] + ([] if data is None else [Path(data).resolve().name])
    if voices is not None:
        manifest = in_other_voices(manifest, read_manifest(voices), split)
        protocol += f", voices of {Path(voices).resolve().name}"
        names.append(Path(voices).resolve().name)
    if noise_db is not None:
        protocol += f", noise at {noise_db:g} dB"
        names.append(f"noise{noise_db:g}")
    items = [absolute(manifest, item) for item in of_split(manifest, split)]
    codes = _heard(model, items, noise_db)
    embeddings = _embedded(model, items) if noise_db is None else None
    towers = model.config.encoders
    images = None if towers.image is None else codes.of("image")
    sounds = None if towers.sound is None else codes.of("sound")
    counts = {name: _counts(of_split(manifest, name)) for name in SPLITS}
    report = evaluate_codes(
        images,
        sounds,
        protocol=protocol,
        splits=counts,
        leakage=leakage(manifest).to_dict(),
        checkpoint_rule=RULE,
        embeddings=embeddings,
    )
    out = Path(out) if out is not None else model.path / "-".join(names)
    write_report(report, out, images=images, sounds=sounds)
    own = read_manifest(model.path / read_run(model.path)["data"])
    write_card(model.path, split_for(own, model.config))
    return report, out


def _embedded(model: Encoder, items: list[Item]) -> Embeddings | None:
    """The deep features of a run whose method ranks by them; None where it ranks by codes, or was exported."""
    if model.config.learning.ranked_by == "codes":
        return None
    from dtbh.encode import Model

    return model.embed(items, stored=True) if isinstance(model, Model) else None


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
    manifest, _ = manifest_for(model, data)
    test, train = ([absolute(manifest, item) for item in of_split(manifest, split)] for split in ("test", "train"))
    return write_model(model, test, out, calibration=_some(train, CALIBRATION) if int8 else None)


def _some(items: Sequence[Item], count: int) -> list[Item]:
    """So many items of each modality, evenly over the sequence."""
    chosen: list[Item] = []
    for modality in MODALITIES:
        of = [item for item in items if item.modality == modality]
        chosen += [of[row * len(of) // count] for row in range(count)] if len(of) > count else of
    return chosen


def _counts(manifest: Manifest) -> dict[str, int]:
    counts = Counter(item.modality for item in manifest)
    return {"images": counts["image"], "sounds": counts["sound"]}
