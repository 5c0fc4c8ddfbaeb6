"""The sounds of an evaluation in other voices, or in noise.

Torch comes in only where noise is made.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

from dtbh.data.manifest import Item, Manifest
from dtbh.data.transcripts import said
from dtbh.errors import DataError
from dtbh.utils.packages import check_installed
from dtbh.utils.progress import track

RATE = 16000


def in_other_voices(manifest: Manifest, other: Manifest, split: str) -> Manifest:
    """The manifest with the sounds of one split as another data folder has them: same ids, same words.

    Args:
        manifest: With splits.
        other: Its splits don't matter; its speakers do.
        split: Whose sounds change; ``all`` changes all.

    Raises:
        DataError: A sound is missing there, was not spoken there, or says something else.
    """
    known = {item.id: item for item in other.sounds}
    items, wrong = [], []
    for item in manifest:
        if item.modality == "sound" and split in ("all", item.split):
            their = known.get(item.id)
            if their is None or their.path is None or said(their) != said(item):
                wrong.append(f"sound {item.id}: " + ("not there" if their is None else "has no clip or other words"))
                continue
            item = replace(item, path=str(other.file(their).resolve()), speaker=their.speaker)
        items.append(item)
    if wrong:
        raise DataError(
            f"{other.root}: {len(wrong)} sounds of {manifest.root} are not here in other voices; prepare it from the "
            "same captions, then dtbh speak it with another engine",
            wrong[:20],
        )
    return manifest.replaced(items)


def in_noise(items: Iterable[Item], folder: Path, snr_db: float) -> list[Item]:
    """The items, with the sounds among them copied into ``folder`` with noise at this signal-to-noise ratio.

    Of every two sounds one gets babble, and one noise between white and pink, by their ids alone.

    Args:
        items: With absolute paths.
        folder: For the noisy clips, 16 kHz FLAC.
        snr_db: Ratio of mean powers over the whole clip, in dB.

    Raises:
        MediaError: A sound can't be read.
        MissingExtraError: The extra ``train`` is not installed.
    """
    check_installed("torch", "torchaudio", extra="train", purpose="dtbh evaluate --noise-db")
    import soundfile
    import torch

    from dtbh.data.passages import sound_of
    from dtbh.features.acoustics import coloured_noise, crowd, with_noise
    from dtbh.media.sound import load_sound

    items = list(items)
    noisy = []
    for number, item in enumerate(track(items, "adding noise", total=len(items))):
        if item.modality == "sound":
            seed = zlib.crc32(item.id.encode())
            chance = torch.Generator().manual_seed(seed)
            wave = torch.from_numpy(load_sound(sound_of(item), sample_rate=RATE))
            colour = float(torch.rand((), generator=chance))
            noise = crowd(wave, chance) if seed % 2 else coloured_noise(len(wave), colour, chance)
            wave = with_noise(wave, noise, snr_db)
            file = folder / f"{number}.flac"
            soundfile.write(file, (wave / max(1.0, float(wave.abs().max()))).numpy(), RATE)
            item = replace(item, path=str(file), window=None)
        noisy.append(item)
    return noisy
