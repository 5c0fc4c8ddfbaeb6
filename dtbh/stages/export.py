"""A run to a model that needs no torch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from dtbh.codes import HashCodes
from dtbh.data.manifest import MODALITIES, Item, Manifest, Modality
from dtbh.data.transcripts import as_texts
from dtbh.errors import ConfigError, DtbhError, RunError
from dtbh.evaluation.evaluate import evaluate
from dtbh.models.cost import BOUND, Cost
from dtbh.models.encoder import EXPORTED, Encoder
from dtbh.models.fetch import located
from dtbh.models.onnx_encoder import BATCH, OnnxEncoder, open_exported
from dtbh.models.quantize import times_as_fast
from dtbh.stages.inputs import absolute, manifest_for, of_split, with_towers
from dtbh.utils.packages import check_installed

if TYPE_CHECKING:
    from dtbh.models.torch_encoder import TorchEncoder

CALIBRATION = 128
"""Images, and sounds, that set the ranges of 8-bit integers."""


def export(
    run: str | Path, *, out: str | Path, data: str | Path | None = None, int8: bool = False, bound: float = BOUND
) -> OnnxEncoder:
    """Export a run as a model that needs no torch, once its codes were compared with the run's on the test split.

    A model that was exported from these very weights is left as it is.

    Args:
        run: The run folder, or its address, with ``data``.
        out: The model's folder.
        data: The prepared data folder to compare on; None: the run's own.
        int8: Make networks of 8-bit integers, by items of the training split. The model is then another encoder,
            with a fingerprint of its own, and measured against the run on the validation split (`Cost`).
        bound: With ``int8``, how much mAP may be lost in any direction, in [0, 1].

    Raises:
        ConfigError: A bound out of range.
        MissingExtraError: The extra ``train`` is not installed.
        RunError: No such run, a tower that can't be exported, codes that differ beyond rounding, or 8-bit integers
            that cost more than the bound, or that can't be measured; nothing is written then.
    """
    if not 0 <= bound <= 1:
        raise ConfigError(f"--bound {bound:g}: wanted how much mAP may be lost, from 0 to 1")
    run = located(run)
    if (run / EXPORTED).is_file():
        raise RunError(f"{run}: was exported already; copy the folder, or give the run it was made from")
    check_installed("torch", "onnx", "onnxscript", extra="train", purpose="dtbh export")
    from dtbh.models.export import write_model
    from dtbh.models.torch_encoder import load as load_run

    model, out = load_run(run), Path(out)
    if (out / EXPORTED).is_file():
        old = open_exported(out)
        if (old.meta["run"], old.meta["int8"]) == (model.fingerprint, int8):
            return old
    manifest, _ = manifest_for(model, data)
    test, train, val = (_media(model, manifest, split) for split in ("test", "train", "val"))
    if not int8:
        return write_model(model, test, out)

    def judge(exported: OnnxEncoder, whole: Mapping[Modality, bytes]) -> Cost:
        cost = _cost(model, exported, whole, val)
        if not cost.lost <= bound:
            raise RunError(
                f"{out}: 8 bits cost up to {cost.lost:.4f} validation mAP ({cost.maps()}), at most {bound:g} is "
                "wanted; export without --int8, or give another --bound"
            )
        return cost

    return write_model(model, test, out, calibration=_some(train, CALIBRATION), judge=judge)


def _cost(model: Encoder, exported: OnnxEncoder, whole: Mapping[Modality, bytes], val: Sequence[Item]) -> Cost:
    """What the networks of 8-bit integers cost, and bring, on labelled items."""
    items = [item for item in with_towers(model, val) if item.label is not None]
    try:
        before, after = (_maps(one.encode(items, stored=True).codes) for one in (model, exported))
    except DtbhError as error:
        raise RunError(
            f"{model.path}: what 8 bits cost can't be measured on the validation split ({error}); give other --data, "
            "or export without --int8"
        ) from error
    networks = {name: (exported.path / exported.meta["towers"][name]["file"]).read_bytes() for name in whole}
    speed: dict[str, float] = {
        name: times_as_fast(data, networks[name], exported.read(name, own))
        for name, data in whole.items()
        if (own := [item for item in items if item.modality == name][:BATCH])
    }
    return Cost(before, after, sum(map(len, whole.values())), sum(map(len, networks.values())), speed)


def _maps(codes: HashCodes) -> dict[str, float]:
    """The mAP of each direction."""
    there = {item.modality for item in codes.items}
    sides = [codes.of(modality) if modality in there else None for modality in MODALITIES]
    report = evaluate(*sides, protocol="", splits={}, leakage={}, checkpoint_rule="", gallery="val")
    return {way: direction.map for way, direction in report.directions.items()}


def _media(model: TorchEncoder, manifest: Manifest, split: str) -> list[Item]:
    """What the model's networks take of a split."""
    items = of_split(manifest, split)
    towers = model.twin.modalities
    media = [absolute(manifest, item) for item in items if item.modality in towers]
    return media + (as_texts(items) if "text" in towers else [])


def _some(items: Sequence[Item], count: int) -> list[Item]:
    """So many items of each modality, evenly over the sequence."""
    chosen: list[Item] = []
    for modality in MODALITIES:
        of = [item for item in items if item.modality == modality]
        chosen += [of[row * len(of) // count] for row in range(count)] if len(of) > count else of
    return chosen
