"""The outputs of a twin's frozen backbones for files, through the store.

Comes in: a twin and paths.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor

from dtbh.data.manifest import Modality
from dtbh.encoders.reading import ImageReader, Reader, SoundReader, StoredReader
from dtbh.encoders.store import oriented, stored_outputs
from dtbh.encoders.twin import TwinEncoder
from dtbh.encoders.weights import state_fingerprint

BATCH = 32


def reader_for(
    twin: TwinEncoder, modality: Modality, paths: Sequence[Path], *, device: torch.device, views: int = 1
) -> Reader:
    """What reads these files for this twin: stored outputs where the backbone is frozen, else the files.

    Args:
        twin: Its backbones compute what the store lacks, on ``device``.
        modality: Which tower.
        paths: Media files.
        device: Where to compute.
        views: Stored views of each image; sounds have one.
    """
    media = media_reader(twin, modality, paths)
    tower = twin.tower(modality)
    if not tower.frozen:
        return media
    rows = {path: row for row, path in enumerate(paths)}
    tower.backbone.to(device).eval()

    @torch.inference_mode()
    def compute(files: list[Path], which: list[int]) -> Tensor:
        read = [media(rows[file]) for file in files]
        if modality == "image":
            read = [oriented(x, view) for x, view in zip(read, which, strict=True)]
        outputs: Tensor = tower.backbone(*(x.to(device) for x in media.collate(read)))
        return outputs

    views = views if modality == "image" else 1
    return StoredReader(
        stored_outputs(paths, compute, backbone=backbone_fingerprint(twin, modality), views=views, batch=BATCH)
    )


def media_reader(twin: TwinEncoder, modality: Modality, paths: Sequence[Path]) -> Reader:
    """What reads the files themselves."""
    twin.tower(modality)  # there is one
    image, sound = twin.settings.image, twin.settings.sound
    if modality == "image" and image is not None:
        return ImageReader(paths, image)
    assert sound is not None
    return SoundReader(paths, sound)


def backbone_fingerprint(twin: TwinEncoder, modality: Modality) -> str:
    """Tells a backbone, with all that comes before it, from any other: 16 hex digits."""
    image, sound = twin.settings.image, twin.settings.sound
    before = ""
    if modality == "image" and image is not None:
        before = f"image {image.backbone} {image.size}"
    elif sound is not None:
        before = f"sound {sound.max_seconds} {sound.features.model_dump_json()}"
    state = state_fingerprint(twin.tower(modality).backbone)
    return hashlib.sha256(f"{before} {state}".encode()).hexdigest()[:16]
