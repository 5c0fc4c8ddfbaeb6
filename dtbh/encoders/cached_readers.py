"""The outputs of a twin's frozen backbones for files, through the store."""

from __future__ import annotations

import hashlib
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from dtbh.config import ImageTower, SoundTower
from dtbh.data.manifest import Modality
from dtbh.encoders.dual_encoder import DualEncoder, Tower
from dtbh.encoders.feature_cache import stored_outputs
from dtbh.encoders.readers import ImageReader, Reader, SoundReader, StoredReader, TextReader
from dtbh.encoders.tta import FLIPS_AND_TURNS, SPEEDS, oriented, paced
from dtbh.encoders.weights import state_fingerprint
from dtbh.features.augment import augment_sound
from dtbh.features.image import load_image
from dtbh.media.raster import Tile
from dtbh.media.sound import Passage

BATCH = 32
AT_ONCE = 8  # batches on a CPU: what each takes of memory is theirs alone
ORIENTATIONS = len(FLIPS_AND_TURNS)


def reader_for(
    twin: DualEncoder,
    modality: Modality,
    paths: Sequence[Path],
    *,
    device: torch.device,
    training: bool = False,
) -> Reader:
    """What reads these files for this twin: stored outputs where the backbone is frozen, else the files.

    Args:
        twin: Its backbones compute what the store lacks, on ``device``.
        modality: Which tower.
        paths: Media files.
        device: Where to compute.
        training: Whether to keep as many views of each file as the settings say for training: flips and turns
            of images, augmented sounds; else those that are averaged.
    """
    media = media_reader(twin, modality, paths)
    tower = twin.tower(modality)
    if not tower.frozen:
        return media
    tower.backbone.to(device).eval()
    image, sound = twin.settings.image, twin.settings.sound
    if modality == "image" and image is not None:
        views, sound = image_views(image) if training else list(range(tower.tta_views)), None
    else:
        assert sound is not None
        views = sound_views(sound, sound.views) if training else list(range(tower.tta_views))
    sequences, cores = tower.temporal is not None, torch.get_num_threads()
    threads = {"cpu": min(cores, AT_ONCE), "cuda": 2}.get(device.type, 1)  # two: one reads while the other computes
    try:
        rows = stored_outputs(
            paths,
            _Computing(tower, media, paths, device, sound, cores=max(1, cores // threads)),
            backbone=backbone_fingerprint(twin, modality),
            views=views,
            batch=BATCH,
            dtype="<f2" if sequences else "<f4",
            threads=threads,
        )
    finally:
        torch.set_num_threads(cores)  # those that compute set their own, which for MKL is everybody's
    together = not training and len(views) > 1
    if sequences:
        return StoredReader(rows.in_rows(tower.backbone.out_dim), together=together)
    return StoredReader(torch.from_numpy(np.stack([np.stack(row) for row in rows])), together=together)


def text_reader(twin: DualEncoder, texts: Sequence[str], *, device: torch.device) -> StoredReader:
    """What the text tower's backbone, which is frozen, gives of texts: float [n, 1, 384], stored like other outputs."""
    settings, backbone = twin.settings.text, twin.tower("text").backbone
    assert settings is not None
    backbone.to(device).eval()

    @torch.inference_mode()
    def compute(wanted: list[tuple[str, int]]) -> list[NDArray[Any]]:
        reader = TextReader([text for text, _ in wanted], settings)
        media = reader.collate([reader(row) for row in range(len(wanted))])
        return list(backbone(*(x.to(device) for x in media)).float().cpu().numpy())

    name = backbone_fingerprint(twin, "text")
    rows = stored_outputs(texts, compute, backbone=name, views=[0], batch=BATCH)
    return StoredReader(torch.from_numpy(np.stack([np.stack(row) for row in rows])))


def image_views(settings: ImageTower) -> list[int]:
    """Numbers of an image's views in training: those of its orientations, then, after `ORIENTATIONS`, of its crops."""
    return [*range(settings.views), *(ORIENTATIONS + zoom for zoom in settings.zooms)]


def sound_views(settings: SoundTower, count: int) -> list[int]:
    """Numbers of a sound's views in training: 0 is the clip as it is; others tell the augmentation, up to 2**63 - 1.

    The first numbers after 0 are its speeds, which the augmentation's don't meet.
    """
    waveform = settings.augmentation.model_dump_json(exclude={"time_masks", "time_mask", "freq_masks", "freq_mask"})
    said = f"{settings.features.sample_rate} {waveform}"
    digests = [hashlib.sha256(f"{said} {number}".encode()).digest() for number in range(1, count)]
    return [0, *((int.from_bytes(digest[:8], "big") >> 1) | 1 for digest in digests)]


class _Computing:
    """What the store calls for outputs that it lacks, from several threads, each with its share of the cores."""

    def __init__(
        self,
        tower: Tower,
        media: ImageReader | SoundReader,
        paths: Sequence[Path],
        device: torch.device,
        sound: SoundTower | None,
        *,
        cores: int,
    ) -> None:
        self._tower, self._media, self._device, self._sound, self._cores = tower, media, device, sound, cores
        self._rows = {path: row for row, path in enumerate(paths)}

    @torch.inference_mode()
    def __call__(self, wanted: list[tuple[Path, int]]) -> list[NDArray[Any]]:
        torch.set_num_threads(self._cores)  # of the thread that calls
        read = [self._view(path, view) for path, view in wanted]
        outputs = self._tower.outputs(*(x.to(self._device) for x in self._media.collate(read)))
        arrays = [x.float().cpu().numpy() for x in outputs]
        if len(arrays) == 1:
            return list(arrays[0])
        return [frames[: int(count)] for frames, count in zip(*arrays, strict=True)]

    def _view(self, path: Path, view: int) -> Tensor:
        """A view of a file; its chances hang on what the file says and the view alone."""
        if isinstance(self._media, ImageReader) and view > ORIENTATIONS:
            return zoomed(path, self._media.settings.size, view - ORIENTATIONS)
        x = self._media(self._rows[path])
        if self._sound is None:
            return oriented(x, view)
        if view < len(SPEEDS):
            return paced(x[None], torch.tensor([len(x)]), view)[0][0]
        seed = view ^ zlib.crc32(x.numpy().tobytes())
        rate = self._sound.features.sample_rate
        generator = torch.Generator().manual_seed(seed)
        return augment_sound(x, generator, settings=self._sound.augmentation, sample_rate=rate)


def zoomed(path: Path, size: int, zoom: int) -> Tensor:
    """A square of an image, in one of the orientations: uint8 [3, size, size].

    Args:
        path: The image's.
        size: Pixels a side.
        zoom: What it shows of the image's side, in percent; beyond 100 the image and its mirror images. Where it lies,
            and how it is turned, hangs on the image.
    """
    whole = load_image(path, -(-size * 100 // zoom)).numpy()
    if (missing := size - whole.shape[-1]) > 0:
        around = (missing // 2, missing - missing // 2)
        whole = np.pad(whole, ((0, 0), around, around), mode="symmetric")
    chances = np.random.default_rng([zoom, zlib.crc32(whole.tobytes())])
    top, left = (int(chances.integers(whole.shape[-1] - size + 1)) for _ in range(2))
    square = torch.from_numpy(whole[:, top : top + size, left : left + size].copy())
    return oriented(square, int(chances.integers(ORIENTATIONS)))


def media_reader(
    twin: DualEncoder, modality: Modality, paths: Sequence[Path | Tile | Passage]
) -> ImageReader | SoundReader:
    """What reads the files of images or sounds, tiles of scenes, or passages of sounds, themselves."""
    twin.tower(modality)  # there is one
    image, sound = twin.settings.image, twin.settings.sound
    if modality == "image" and image is not None:
        return ImageReader([path for path in paths if not isinstance(path, Passage)], image)
    assert sound is not None
    return SoundReader([path for path in paths if not isinstance(path, Tile)], sound)


def backbone_fingerprint(twin: DualEncoder, modality: Modality) -> str:
    """Tells a backbone, with all that comes before it, from any other: 16 hex digits."""
    image, sound, text = twin.settings.image, twin.settings.sound, twin.settings.text
    before = ""
    if modality == "text" and text is not None:
        before = f"text {text.backbone}"
    elif modality == "image" and image is not None:
        before = " ".join(["image", image.backbone, str(image.size), *image.depths])
    elif sound is not None:
        before = f"sound {sound.max_seconds} {sound.features.model_dump_json()}"
        if sound.backbone != "cnn":
            before = f"sound {sound.max_seconds} {sound.backbone}"
    state = state_fingerprint(twin.tower(modality).backbone)
    return hashlib.sha256(f"{before} {state}".encode()).hexdigest()[:16]
