"""The stage that evaluates: from a run, or from codes that were made elsewhere, to a report on disk."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from dtbh.codes import META, Embeddings, HashCodes, read_codes
from dtbh.config import differences
from dtbh.data.joining import read_data
from dtbh.data.leakage import leakage
from dtbh.data.manifest import MODALITIES, SPLITS, Item, Manifest, Modality, read_manifest
from dtbh.data.splits import split_for
from dtbh.data.transcripts import as_texts
from dtbh.errors import ConfigError, DataError, RunError
from dtbh.evaluation.evaluate import evaluate as evaluate_codes
from dtbh.evaluation.metrics.ranking import Without
from dtbh.evaluation.report import write_report
from dtbh.evaluation.results.values import DIRECTIONS, RetrievalReport
from dtbh.models.encoder import Encoder, Encoding
from dtbh.models.load import load
from dtbh.models.onnx_encoder import OnnxEncoder
from dtbh.models.run_files import data_folders, is_address, place_of, read_run
from dtbh.stages.inputs import absolute, counted, manifest_for, of_split, with_towers
from dtbh.stages.model_card import write_card
from dtbh.stages.perturbations import in_noise, in_other_voices
from dtbh.utils.progress import echo


@dataclass(frozen=True)
class _Coded:
    """What is evaluated.

    Attributes:
        queries: Codes of the split.
        searched: Codes of the gallery; None where that is the same split.
        protocol: In words.
        splits: Counts of items.
        leaks: What of test stands in training; empty where that is not known.
        rule: How the checkpoint was chosen.
        modalities: What there are codes of.
        real: What real values are ranked beside the codes: the deep features of a method that ranks by them, or the
            hash-like codes where they are wanted.
        names: What the report's folder is called after, behind ``report``.
    """

    queries: HashCodes
    searched: HashCodes | None
    protocol: str
    splits: Mapping[str, Mapping[str, int]]
    leaks: Mapping[str, Any]
    rule: str
    modalities: Sequence[str]
    real: Embeddings | None = None
    names: Sequence[str] = field(default=())


def evaluate(
    run: str | Path,
    *,
    data: str | Path | None = None,
    split: str = "test",
    gallery: str | None = None,
    out: str | Path | None = None,
    voices: str | Path | None = None,
    noise_db: float | None = None,
    within: bool = False,
    real_values: bool = False,
    without: Without = "drop",
) -> tuple[RetrievalReport, Path]:
    """Evaluate codes to images and from images, or within the only modality there is; write report and card.

    Where there is a text tower, the sounds' transcripts are typed queries, each different one of a pair once.

    Args:
        run: A run folder, an exported model, or a folder of codes; or the address of a model, with ``data`` and
            ``out``.
        data: Another prepared data folder, taken with its own splits; None: the run's own data with the splits of
            its protocol, or what the folder of codes itself says of its items.
        split: ``train``, ``val``, ``test``, or ``all``: the queries.
        gallery: The split that is searched, one of the same; None: that of the queries.
        out: The report's folder; None: ``report`` in the run folder, and ``-<name>`` for another gallery, for other
            data, for voices and for noise.
        voices: A data folder with the same captions in other voices, which take the place of the split's own.
        noise_db: Signal-to-noise ratio that noise brings the queries' sounds to: for one half babble, for the
            other noise between white and pink.
        within: Rank images for images, and sounds for sounds, too.
        real_values: Rank the hash-like codes too, as they are before the signs. Of a method that ranks by its deep
            features those are ranked anyway, and instead.
        without: What becomes of queries with nothing relevant in the gallery: ``drop``, ``zero`` or ``error``.

    Returns:
        The report, and its folder.

    Raises:
        CodesError: Damaged codes.
        ConfigError: Voices, noise or real values of codes that are there already; an address without data or out.
        DataError: No such data, nothing in the split, data that is not that of the codes, captions that were not
            spoken yet, other captions in the other voices, or no labels.
        RunError: No such run.
    """
    elsewhere = is_address(run) or place_of(run) != Path(run)
    if elsewhere and (data is None or out is None):
        raise ConfigError(f"{run}: came without data, and is kept as it is; give --data DATA and --out REPORT")
    model = None if (Path(run) / META).is_file() else load(run)
    if model is None:
        if voices is not None or noise_db is not None or real_values:
            raise ConfigError(f"{run}: codes, of which no other voices, noise or real values can be had; give a run")
        coded = _read(Path(run), data, split, gallery or split)
    else:
        coded = _encoded(model, data, split, gallery or split, voices, noise_db, real_values)
    images, sounds, texts = (coded.queries.of(kind) if kind in coded.modalities else None for kind in MODALITIES)
    report = evaluate_codes(
        images,
        sounds,
        texts,
        protocol=coded.protocol,
        splits=coded.splits,
        leakage=coded.leaks,
        checkpoint_rule=coded.rule,
        directions=[way for way in DIRECTIONS if set(way.split("->")) <= set(coded.modalities)] if within else None,
        gallery=gallery or split,
        searched=coded.searched,
        embeddings=coded.real,
        without=without,
    )
    out = Path(out) if out is not None else Path(run) / "-".join(["report", *coded.names])
    write_report(report, out, images=images, sounds=sounds, texts=texts, searched=coded.searched)
    if model is not None and not elsewhere:
        folders = data_folders(model.path)
        if all(folder.exists() for folder in folders):  # a model may have been copied without what it was trained on
            write_card(model.path, split_for(read_data(folders), model.config))
    return report, out


def _encoded(
    model: Encoder, data: str | Path | None, split: str, gallery: str, voices: str | Path | None,
    noise_db: float | None, real_values: bool,
) -> _Coded:  # fmt: skip
    """What a run makes of a split and of the gallery."""
    manifest, protocol = manifest_for(model, data)
    modalities: Sequence[Modality] = model.senses.modalities
    texts = as_texts(manifest) if "text" in modalities else []
    known = with_towers(model, manifest)
    if texts and any(item.modality == "sound" and item.path is None for item in known):
        echo("captions that were not spoken (dtbh speak does that) are met as texts alone")
        known = [item for item in known if item.modality != "sound" or item.path is not None]
        modalities = [kind for kind in modalities if kind != "sound" or any(i.modality == kind for i in known)]
    manifest = manifest.replaced(known)
    names = [f"gallery-{gallery}"] if gallery != split else []
    names += [] if data is None else [Path(data).resolve().name]
    if voices is not None:
        manifest = in_other_voices(manifest, read_manifest(voices), split)
        protocol += f", voices of {Path(voices).resolve().name}"
        names.append(Path(voices).resolve().name)
    if noise_db is not None:
        protocol += f", noise at {noise_db:g} dB"
        names.append(f"noise{noise_db:g}")
    queries, searched = (
        [absolute(manifest, item) for item in of_split(manifest, name)] + [i for i in texts if name in (i.split, "all")]
        for name in (split, gallery)
    )
    asked = {item.id for item in queries}
    what = f"{counted(queries)} of {split}" + (f", searching {counted(searched)} of {gallery}" * (gallery != split))
    echo(f"evaluating {model.path} on {what}, on {model.device}", event="start")
    others = [item for item in searched if item.id not in asked]
    parts = [_heard(model, queries, noise_db, real_values)] if queries else []
    parts += [model.encode(others, stored=True, values=real_values, wordless=True)] if others else []
    if not parts:
        raise DataError(f"{manifest.root}: nothing in the split {split}; choose another split or another protocol")
    codes = HashCodes.concatenate([part.codes for part in parts])
    wanted = {item.id for item in searched}
    real = _embedded(model, [*queries, *others]) if noise_db is None else None
    if real is None and real_values:
        real = Embeddings(np.concatenate([part.values for part in parts if part.values is not None]), codes.items)
    return _Coded(
        queries=codes.select([item.id in asked for item in codes.items]),
        searched=None if gallery == split else codes.select([item.id in wanted for item in codes.items]),
        protocol=protocol,
        splits={name: _counts(of_split(manifest, name)) for name in SPLITS},
        leaks=leakage(manifest).to_dict(),
        rule=read_run(model.path)["checkpoint_rule"],
        modalities=modalities,
        real=real,
        names=names,
    )


def _embedded(model: Encoder, items: list[Item]) -> Embeddings | None:
    """The deep features of a run whose method ranks by them; None where it ranks by codes, or was exported."""
    if model.config.learning.ranked_by == "codes" or isinstance(model, OnnxEncoder):
        return None
    from dtbh.models.torch_encoder import TorchEncoder

    assert isinstance(model, TorchEncoder)
    return model.embed(items, stored=True)


def _heard(model: Encoder, items: list[Item], noise_db: float | None, values: bool) -> Encoding:
    """Codes of items, their sounds as they are or in noise."""
    if noise_db is None:
        return model.encode(items, stored=True, values=values, wordless=True)
    quiet = [item for item in items if item.modality != "sound"]
    with TemporaryDirectory(prefix="dtbh-") as folder:
        noisy = [item for item in in_noise(items, Path(folder), noise_db) if item.modality == "sound"]
        parts = [model.encode(quiet, stored=True, values=values)] if quiet else []
        parts += [model.encode(noisy, values=values, wordless=True)] if noisy else []
    codes = HashCodes.concatenate([part.codes for part in parts])
    own = {item.id: item for item in items}
    codes = replace(codes, items=tuple(own[item.id] for item in codes.items))
    real = [part.values for part in parts if part.values is not None]
    return Encoding(codes, (), np.concatenate(real) if real else None)


def _read(folder: Path, data: str | Path | None, split: str, gallery: str) -> _Coded:
    """Codes that are there already, with what the data or they themselves say of their items."""
    codes = read_codes(folder)
    names = [f"gallery-{gallery}"] if gallery != split else []
    leaks: dict[str, Any] = {}
    if data is None:
        manifest = Manifest(codes.items, folder, "codes")
    else:
        manifest = read_manifest(data)
        codes = fitted(codes, manifest)
        leaks, names = leakage(manifest).to_dict(), [*names, Path(data).resolve().name]
    have = {item.id for item in codes.items}
    chosen = {}
    for name in (split, gallery):
        wanted = [item for item in of_split(manifest, name) if item.modality in {i.modality for i in codes.items}]
        missing = [item.id for item in wanted if item.id not in have]
        advice = "encode all of it, choose another --split or --gallery, or give the data they are of with --data"
        if not wanted:
            raise DataError(f"{folder}: nothing is known to be of split {name}; {advice}")
        if missing:
            raise DataError(
                f"{folder}: {len(missing)} of the {len(wanted)} items of split {name} have no code, the first is "
                f"{missing[0]}; {advice}"
            )
        ids = {item.id for item in wanted}
        chosen[name] = codes.select([item.id in ids for item in codes.items])
    return _Coded(
        queries=chosen[split],
        searched=None if gallery == split else chosen[gallery],
        protocol="files",
        splits={name: _counts(of_split(manifest, name)) for name in SPLITS},
        leaks=leaks,
        rule="not known: codes were given",
        modalities=sorted({item.modality for item in codes.items}),
        names=names,
    )


def fitted(codes: HashCodes, manifest: Manifest) -> HashCodes:
    """The codes with the manifest's word for each item.

    Raises:
        DataError: An item of the codes is not in the manifest, or is another there: all of them are named.
    """
    known = {item.id: item for item in manifest}
    problems, items = [], []
    for item in codes.items:
        own = known.get(item.id)
        if own is None:
            problems.append(f"{item.id}: not in the manifest")
            continue
        for name in ("modality", "label", "pair"):
            mine, theirs = getattr(item, name), getattr(own, name)
            if mine is not None and mine != theirs:
                problems.append(f"{item.id}: {name} {mine} of the codes, {theirs} of the manifest")
        items.append(replace(item, label=own.label, pair=own.pair, split=own.split, speaker=own.speaker,
                             transcript=own.transcript))  # fmt: skip
    if problems:
        raise DataError(
            f"{manifest.root}: not the data of these codes, {len(problems)} things differ; encode this data, or give "
            "the data that was encoded",
            problems[:20],
        )
    return replace(codes, items=tuple(items))


def evaluate_folds(runs: Sequence[str | Path], **settings: Any) -> list[tuple[RetrievalReport, Path]]:
    """Evaluate the runs of a cross-validation, each on its own fold.

    Args:
        runs: Runs of one configuration and one data set, which differ in ``data.fold`` alone.
        settings: As ``evaluate`` takes them, but for ``out``.

    Returns:
        Each run's report and its folder, for ``evaluation.folds.over_folds``.

    Raises:
        RunError: The runs are not the folds of one cross-validation. Otherwise as ``evaluate``.
    """
    models = [load(run) for run in runs]
    first = models[0]
    folds = [model.config.data.fold for model in models]
    if not first.config.data.folds or len(set(folds)) < len(folds):
        raise RunError(
            f"{', '.join(str(model.path) for model in models)}: folds {folds} of {first.config.data.folds}; several "
            "runs are evaluated together as the folds of one cross-validation: train with --set data.folds=5 and "
            "data.fold=1 to 5"
        )
    for model in models[1:]:
        changed = [line for line in differences(first.config, model.config) if not line.startswith("data.fold:")]
        if changed or read_run(model.path)["manifest"] != read_run(first.path)["manifest"]:
            raise RunError(
                f"{model.path}: no fold of the cross-validation that {first.path} is of: "
                f"{'; '.join(changed) or 'trained on other data'}"
            )
    return [evaluate(run, **settings) for run in runs]


def _counts(manifest: Manifest) -> dict[str, int]:
    counts = Counter(item.modality for item in manifest)
    return {"images": counts["image"], "sounds": counts["sound"]}
