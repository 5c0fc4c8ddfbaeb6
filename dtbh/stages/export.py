"""A run to a model that needs no torch."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from dtbh.data.manifest import MODALITIES, Item, Manifest
from dtbh.data.transcripts import as_texts
from dtbh.errors import RunError
from dtbh.models.encoder import EXPORTED
from dtbh.models.fetch import located
from dtbh.models.onnx_encoder import OnnxEncoder, open_exported
from dtbh.stages.inputs import absolute, manifest_for, of_split
from dtbh.utils.packages import check_installed

if TYPE_CHECKING:
    from dtbh.models.torch_encoder import TorchEncoder

CALIBRATION = 128
"""Images, and sounds, that set the ranges of 8-bit integers."""


def export(run: str | Path, *, out: str | Path, data: str | Path | None = None, int8: bool = False) -> OnnxEncoder:
    """Export a run as a model that needs no torch, once its codes were compared with the run's on the test split.

    A model that was exported from these very weights is left as it is.

    Args:
        run: The run folder, or its address, with ``data``.
        out: The model's folder.
        data: The prepared data folder to compare on; None: the run's own.
        int8: Make networks of 8-bit integers, by items of the training split. The model is then another encoder,
            with a fingerprint of its own; ``evaluate`` says what it costs.

    Raises:
        MissingExtraError: The extra ``train`` is not installed.
        RunError: No such run, a tower that can't be exported, or codes that differ beyond rounding; nothing is
            written then.
    """
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
    test, train = (_media(model, manifest, split) for split in ("test", "train"))
    return write_model(model, test, out, calibration=_some(train, CALIBRATION) if int8 else None)


def _media(model: TorchEncoder, manifest: Manifest, split: str) -> list[Item]:
    """What the model's networks take of a split."""
    items = of_split(manifest, split)
    return [absolute(manifest, item) for item in items if item.modality in model.twin.modalities] + as_texts(items)


def _some(items: Sequence[Item], count: int) -> list[Item]:
    """So many items of each modality, evenly over the sequence."""
    chosen: list[Item] = []
    for modality in MODALITIES:
        of = [item for item in items if item.modality == modality]
        chosen += [of[row * len(of) // count] for row in range(count)] if len(of) > count else of
    return chosen
