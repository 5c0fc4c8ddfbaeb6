"""Training from a prepared data folder to a run folder.

A run that was cut off goes on where it was; one that is finished is left.
"""

from __future__ import annotations

import logging
import os
import time
import warnings
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import torch
from lightning.pytorch.callbacks import EarlyStopping
from lightning.pytorch.loggers import TensorBoardLogger
from torch import Tensor

from dtbh.config import Config, TextTower
from dtbh.data.joining import read_data
from dtbh.data.manifest import BETWEEN, Item, Manifest, Modality
from dtbh.data.splits import split_for
from dtbh.data.transcripts import as_texts
from dtbh.encoders.cached_readers import reader_for, text_reader
from dtbh.encoders.dual_encoder import DualEncoder
from dtbh.encoders.image_backbones import ImageBackbone
from dtbh.encoders.readers import ImageReader, StoredReader
from dtbh.encoders.transcripts import transcripts
from dtbh.errors import ConfigError, DataError
from dtbh.media.transcriber import WINDOWS, Transcriber
from dtbh.models.run_files import BACKBONE, RESUME
from dtbh.stages.inputs import counted
from dtbh.stages.model_card import write_card
from dtbh.training.checkpoint import SafetensorsIO
from dtbh.training.finetuning import Captioned, finetune
from dtbh.training.module import DualTraining, Side
from dtbh.training.run_folder import Heeding, RunFolder, begin_run, close_run, left_to_do
from dtbh.training.sentence_space import SENTENCE_SPACE
from dtbh.training.tuned import keep_tuned, place_of_tuned, take_tuned
from dtbh.utils.device import resolve_device
from dtbh.utils.files import file_lock
from dtbh.utils.interrupts import held, kept
from dtbh.utils.progress import echo

SECONDS = WINDOWS[-1]  # of a sound that are heard for its transcript
PLAIN: dict[str, Any] = {
    "logger": False, "enable_checkpointing": False, "enable_progress_bar": False, "enable_model_summary": False,
}  # fmt: skip


def train(config: Config, data: str | Path | Sequence[str | Path], out: str | Path) -> Path:
    """Train on the training split, choose the epoch on the validation split, and leave a run folder.

    Args:
        config: All settings.
        data: A prepared data folder; or several, which are trained on as one (`dtbh.data.joining`).
        out: The run folder; a run of the same settings in it is resumed, or left where it is finished.

    Returns:
        The run folder.

    Raises:
        DataError: The data can't be trained on.
        RunError: The folder holds something else.
    """
    out = Path(out)
    manifest = read_data([data] if isinstance(data, str | Path) else data)
    split = split_for(manifest, config)
    if not left_to_do(out, config, manifest):
        echo(f"{out}: already trained with these settings")
        return out
    out.mkdir(parents=True, exist_ok=True)
    with file_lock(out, "training"), kept(f"{out} is kept, and the same call goes on from there"):
        try:
            _train(config, manifest, split, out)
        finally:
            if not any(out.iterdir()):
                out.rmdir()
    return out


def _train(config: Config, manifest: Manifest, split: Manifest, out: Path) -> None:
    """Train into a run folder that is new or unfinished."""
    device = resolve_device(config.training.device)
    pl.seed_everything(config.seed, verbose=False)
    twin = DualEncoder(config.encoders)
    known = split if config.learning.labels else _by_pairs(split)
    folder = RunFolder(out, len(known.labels) if config.learning.labels else 2, config.training.keep)
    learned, chosen_on = (
        counted(i for i in known if i.split == name and i.label and i.modality in twin.modalities)
        for name in ("train", "val")
    )
    echo(f"training {out} on {learned}, validating on {chosen_on}, on {device}", event="start")
    with warnings.catch_warnings():
        _hush()
        if config.learning.finetuning is not None:
            data = _captioned(config, known, twin, device)
            begin_run(out, config, manifest)
            _finetune(config, data, twin, out, device)
        module = DualTraining(
            twin,
            config,
            train=_sides(known, "train", twin, device),
            val=_sides(known, "val", twin, device),
            classes=known.combinations,
            workers=_workers(config.training.workers),
        )
        started = time.monotonic()
        if config.learning.fit is not None:
            module.fit_heads(config.learning.fit)
        begin_run(out, config, manifest)
        try:
            if config.learning.fit is not None and not module.trains:
                with held() as heed:
                    trainer = pl.Trainer(accelerator=device.type, devices=1, callbacks=[Heeding(heed)], **PLAIN)
                    values = trainer.validate(module, verbose=False)[0]
                folder.fitted(module, {**values, "seconds": round(time.monotonic() - started, 1)})
            else:
                _fit(module, config, folder, device)
        except SystemExit:  # what Lightning makes of Ctrl-C and its like
            raise KeyboardInterrupt from None
    close_run(out, config, manifest)
    write_card(out, split)


def _captioned(config: Config, known: Manifest, twin: DualEncoder, device: torch.device) -> Captioned:
    """The training images with their captions."""
    settings, image = config.learning.finetuning, twin.settings.image
    assert settings is not None
    if config.learning.fit != SENTENCE_SPACE or twin.settings.text is None or image is None or not image.frozen:
        raise ConfigError(
            "learning.finetuning: goes with learning.fit=sentence_space and encoders.image.frozen=true (its heads are "
            "fitted to the backbone as it then stands); set it to null"
        )
    texts = _texts(known, "train", twin, device)
    said = defaultdict(list)
    for row, item in enumerate(texts.items):
        said[item.pair].append(row)
    images = [item for item in known.images if item.split == "train" and item.label and item.pair and item.pair in said]
    if not images:
        raise DataError(f"{known.root}: no training image has a caption, and learning.finetuning learns from them")
    assert isinstance(texts.reader, StoredReader)
    assert isinstance(texts.reader.outputs, Tensor)
    larger = image.model_copy(update={"size": settings.size * 5 // 4})  # crops of it are about as large as trained on
    numbers = {name: number for number, name in enumerate(known.combinations)}
    return Captioned(
        ImageReader([known.file(item) for item in images], larger),
        [said[item.pair] for item in images],
        texts.reader.outputs.flatten(0, 1),
        torch.tensor([numbers[str(item.label)] for item in images]),
    )


def _finetune(config: Config, data: Captioned, twin: DualEncoder, out: Path, device: torch.device) -> None:
    """Have the image backbone learn from captions, unless one that has learned the same is kept."""
    settings, backbone = config.learning.finetuning, twin.image.backbone
    assert settings is not None
    assert isinstance(backbone, ImageBackbone)
    if not config.learning.labels:
        settings = settings.model_copy(update={"class_weight": 0.0})
    precision = config.training.precision
    mixed = precision in ("bf16", "16") or (precision == "auto" and device.type == "cuda")
    workers = _workers(config.training.workers)
    place = place_of_tuned(backbone, data, settings, seed=config.seed, device=device, mixed=mixed)
    if place.is_file():
        echo(f"image backbone: as it was fine-tuned before, {place}")
        take_tuned(backbone, place)
        return
    with held() as heed:
        finetune(
            backbone, data, settings, resume=out / BACKBONE, seed=config.seed, device=device, workers=workers,
            mixed=mixed, heed=heed,
        )  # fmt: skip
    keep_tuned(backbone, place)


def _by_pairs(manifest: Manifest) -> Manifest:
    """The manifest with each pair as a class of its own; what has no pair has no label."""

    def alone(pair: str | None) -> str | None:
        return None if pair is None else pair.replace(BETWEEN, "\n")  # a file's name is no list of labels

    return manifest.replaced(replace(item, label=alone(item.pair)) for item in manifest)


def _sides(manifest: Manifest, split: str, twin: DualEncoder, device: torch.device) -> dict[Modality, Side]:
    """One split's labelled items of each modality that has a tower, and what reads them."""

    def side(modality: Modality) -> Side:
        chosen = [i for i in manifest if i.modality == modality and i.split == split and i.label is not None]
        if not chosen:
            raise DataError(
                f"{manifest.root}: no labelled {modality} in the {split} split; choose another data.protocol or "
                f"other shares, or train without {modality}s (encoders.{modality}=null)"
            )
        paths = [manifest.file(item) for item in chosen]
        return Side(chosen, reader_for(twin, modality, paths, device=device, training=split == "train"))

    sides: dict[Modality, Side] = {}
    sides |= {modality: side(modality) for modality in twin.modalities if modality != "text"}
    if "text" in twin.modalities:
        sides["text"] = _texts(manifest, split, twin, device)
    return sides


def _texts(manifest: Manifest, split: str, twin: DualEncoder, device: torch.device) -> Side:
    """The different captions of each pair in one split, as texts."""
    settings = twin.settings.text
    assert settings is not None
    chosen = [item for item in manifest.sounds if item.split == split and item.label is not None]
    texts = as_texts(_transcribed(manifest, chosen, settings))
    if not texts:
        raise DataError(
            f"{manifest.root}: no sound has a transcript or says a word, and a text tower learns from them; give the "
            "table a column transcript, or take a preset without encoders.text"
        )
    return Side(texts, text_reader(twin, [str(item.transcript) for item in texts], device=device))


def _transcribed(manifest: Manifest, sounds: list[Item], settings: TextTower) -> list[Item]:
    """The sounds; what is said in those without a transcript is heard once, and kept in the store on disk."""
    mute = {item.id: manifest.file(item) for item in sounds if item.transcript is None}
    if not mute:
        return sounds
    echo(f"{manifest.root}: hearing what is said in {len(mute)} sounds without a transcript")
    ears = Transcriber(any_language=settings.any_language)
    found = transcripts(ears, list(mute.values()), language="auto", max_seconds=SECONDS, stored=True)
    heard = {id: said.text for id, said in zip(mute, found, strict=True) if said is not None}
    return [replace(item, transcript=item.transcript or heard.get(item.id)) for item in sounds]


def _fit(module: DualTraining, config: Config, folder: RunFolder, device: torch.device) -> None:
    """Take the steps; a signal that ends the command waits for the end of one, but for processes on several devices."""
    resume = folder.path / RESUME
    goes_on = resume if resume.is_file() else None
    if config.training.devices > 1:
        _trainer(config, folder.path, [folder], device).fit(module, ckpt_path=goes_on)
        return
    with held() as heed:
        _trainer(config, folder.path, [folder, Heeding(heed)], device).fit(module, ckpt_path=goes_on)


def _trainer(config: Config, out: Path, callbacks: list[pl.Callback], device: torch.device) -> pl.Trainer:
    settings = config.training
    mixed = {"cuda": "bf16-mixed", "mps": "16-mixed"}.get(device.type, "32-true")
    precision: Any = {"auto": mixed, "32": "32-true", "bf16": "bf16-mixed", "16": "16-mixed"}[settings.precision]
    stops = [EarlyStopping("val/map", mode="max", patience=settings.patience)] if settings.keep == "best" else []
    return pl.Trainer(
        accelerator=device.type,
        devices=settings.devices,
        strategy="ddp_spawn" if settings.devices > 1 else "auto",
        precision=precision,
        max_epochs=settings.epochs,
        gradient_clip_val=settings.clip,
        callbacks=[*stops, *callbacks],
        plugins=[SafetensorsIO()],
        logger=TensorBoardLogger(out, name="events", version=""),
        default_root_dir=out,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        num_sanity_val_steps=0,
        use_distributed_sampler=False,
        reload_dataloaders_every_n_epochs=1,
        log_every_n_steps=10,
    )


def _workers(setting: int) -> int:
    """How many processes read files."""
    return min(8, max(1, (os.cpu_count() or 1) - 1)) if setting < 0 else setting


def _hush() -> None:
    """Keep Lightning's remarks on hardware, workers and loggers away from the user."""
    for name in ("lightning.pytorch", "lightning.fabric", "lightning"):
        logging.getLogger(name).setLevel(logging.ERROR)
    warnings.filterwarnings("ignore", module="lightning")
    warnings.filterwarnings("ignore", message=".*does not have many workers.*")
