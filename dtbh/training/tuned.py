"""Fine-tuned image backbones, kept on disk for all runs that begin with the same fine-tuning.

A run of another length, or with other heads, takes the backbone as it was tuned before, and goes on from there: on the
same machine, and with the same PyTorch, it is the same to the last bit. What a backbone is kept by is all that it hangs
on, images and captions too.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import torch

from dtbh.config import FineTuning
from dtbh.encoders.feature_cache import content
from dtbh.encoders.image_backbones import ImageBackbone
from dtbh.encoders.weights import state_fingerprint
from dtbh.errors import DtbhError, RunError
from dtbh.training.checkpoint import read_state, write_state
from dtbh.training.finetuning import Captioned
from dtbh.utils.files import cache_folder
from dtbh.utils.progress import echo

VERSION = 1  # of how it is done


def place_of_tuned(
    backbone: ImageBackbone, data: Captioned, settings: FineTuning, *, seed: int, device: torch.device, mixed: bool
) -> Path:
    """Where the backbone is kept that this fine-tuning gives, whether it is there or not.

    Args:
        backbone: As it stands before.
        data: What it learns from; each image is read.
        settings: How, as are ``seed``, ``device`` and ``mixed`` (`dtbh.training.finetuning.finetune`).
        seed: As said.
        device: As said; other devices sum in another order.
        mixed: As said.

    Raises:
        MediaError: An image can't be read.
    """
    image = data.reader.settings
    told = {
        "version": VERSION, "backbone": [image.backbone, *image.depths, state_fingerprint(backbone)],
        "settings": settings.model_dump(mode="json"), "size": image.size,
        "augmentation": image.augmentation.model_dump(mode="json"), "seed": seed, "device": device.type,
        "mixed": mixed, "captions": [[*rows] for rows in data.captions],
    }  # fmt: skip
    digest = hashlib.sha256(json.dumps(told, sort_keys=True).encode())
    for tensor in (data.vectors, data.labels):
        digest.update(tensor.contiguous().numpy().tobytes())
    for path in data.reader.paths:
        assert isinstance(path, Path)
        digest.update(hashlib.sha256(content(path)).digest())
    return cache_folder() / f"tuned-{digest.hexdigest()[:16]}.safetensors"


def keep_tuned(backbone: ImageBackbone, place: Path) -> None:
    """Keep a backbone that has been tuned, where there is room; what other runs can do without stops none."""
    try:
        write_state({"weights": backbone.state_dict()}, place)
    except DtbhError as error:
        echo(f"image backbone: not kept for other runs; {error}")


def take_tuned(backbone: ImageBackbone, place: Path) -> None:
    """Make the backbone the one that is kept there, in evaluation mode.

    Raises:
        RunError: The file is damaged, or not what this backbone was tuned to.
    """
    try:
        backbone.load_state_dict(read_state(place)["weights"])
    except (KeyError, TypeError, RuntimeError) as error:
        found = " ".join(str(error).split())[:200]
        raise RunError(f"{place}: not this backbone, tuned ({found}); delete it to tune it again") from error
    backbone.requires_grad_(False).eval()
