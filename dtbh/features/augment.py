"""Augmentation in training: sounds and images as they might also have been recorded.

All chance comes from the generator that is given: the same state gives the same result. Aerial images have no up, so
all eight turns and mirrorings of a tile are equally likely.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Generator, Tensor

from dtbh.config import ImageAugmentation, Range, SoundAugmentation
from dtbh.features.acoustics import at_tempo, by_telephone, clipped, coloured_noise, crowd, in_room, with_noise

_CLIPPED = (0.1, 0.6)  # of the peak is what is left of a level that was too high
_GREY = (0.299, 0.587, 0.114)  # luma of ITU-R BT.601


def augment_sound(
    wave: Tensor, generator: Generator, settings: SoundAugmentation, *, sample_rate: int = 16000
) -> Tensor:
    """A clip as it might also have been recorded: by another speaker, elsewhere, with noise, at another level.

    Args:
        wave: float32 [samples], on the CPU, not changed.
        generator: Of the CPU.
        settings: What may happen, and how strongly.
        sample_rate: In Hz.

    Returns:
        float32 [samples], of another length where the speed or the shift changed it; never empty. It may
        pass full scale, which the features don't mind.
    """
    happens = (torch.rand(4, generator=generator) < settings.probability).tolist()
    speed, shift, snr, colour, gain = torch.rand(5, generator=generator).tolist()
    # What the paper's preset leaves off is drawn apart, so that its own draws stay what they were.
    also = torch.Generator().manual_seed(int(colour * (1 << 53)))
    draws = iter(torch.rand(7, generator=also).tolist())
    if next(draws) < settings.probability:
        wave = at_tempo(wave, _within(settings.tempo, next(draws)))
    if happens[0]:
        wave = _at_speed(wave, _within(settings.speed, speed))
    if happens[1]:
        wave = _shifted(wave, round((2 * shift - 1) * settings.shift_seconds * sample_rate))
    if next(draws) < settings.room:
        wave = in_room(wave, also, sample_rate=sample_rate)
    if happens[2]:
        babble = next(draws) < settings.babble
        noise = crowd(wave, also) if babble else coloured_noise(len(wave), colour, generator)
        wave = with_noise(wave, noise, _within(settings.noise_db, snr))
    if next(draws) < settings.clipping:
        wave = clipped(wave, _within(_CLIPPED, next(draws)))
    if next(draws) < settings.telephone:
        wave = by_telephone(wave, sample_rate=sample_rate)
    return wave * 10 ** (_within(settings.gain_db, gain) / 20) if happens[3] else wave


def _within(ends: Range, part: float) -> float:
    """The value at ``part`` (0..1) of a range."""
    return ends[0] + (ends[1] - ends[0]) * part


def _at_speed(wave: Tensor, factor: float) -> Tensor:
    """Played ``factor`` times as fast, by linear interpolation."""
    length = max(1, round(len(wave) / factor))
    return F.interpolate(wave[None, None], size=length, mode="linear", align_corners=False)[0, 0]


def _shifted(wave: Tensor, samples: int) -> Tensor:
    """Later by ``samples`` (silence before it), or earlier (its beginning is cut, at most a tenth of it)."""
    return F.pad(wave, (max(samples, -(len(wave) // 10)), 0))


def spec_augment(
    features: Tensor,
    lengths: Tensor,
    generator: Generator,
    *,
    time_masks: int = 2,
    time_width: float = 0.15,
    freq_masks: int = 2,
    freq_width: float = 0.15,
) -> Tensor:
    """Bands of time and of channels set to 0, which is the mean of normalised features.

    After Park et al., SpecAugment, Interspeech 2019 (without the time warp); every clip has masks of its own.
    MFCC channels are no frequencies: set ``freq_masks=0`` for them.

    Args:
        features: float [clips, channels, frames], not changed.
        lengths: int [clips], frames of each; masks of time fall within them.
        generator: Of the CPU; the features may lie elsewhere.
        time_masks: Masks of time for a clip, 0 or more.
        time_width: The widest of them, as a part of the clip's frames, in [0, 1].
        freq_masks: Masks of channels for a clip, 0 or more.
        freq_width: The widest of them, as a part of the channels, in [0, 1].

    Returns:
        float [clips, channels, frames].
    """
    clips, channels, frames = features.shape
    every = torch.full((clips,), channels, device=lengths.device)
    in_time = _masks(lengths, frames, time_masks, time_width, generator)
    in_channels = _masks(every, channels, freq_masks, freq_width, generator)
    return features.masked_fill(in_time[:, None, :] | in_channels[:, :, None], 0.0)


def _masks(lengths: Tensor, size: int, count: int, width: float, generator: Generator) -> Tensor:
    """Bool [clips, size]: ``count`` runs for each clip, at most ``width`` of its length wide, within it."""
    draws = torch.rand(2, len(lengths), count, 1, generator=generator).to(lengths.device)
    whole = lengths[:, None, None]
    widths = (draws[0] * (whole * width + 1)).floor().clamp(max=whole)
    starts = (draws[1] * (whole - widths + 1)).floor()
    places = torch.arange(size, device=lengths.device)
    return ((places >= starts) & (places < starts + widths)).any(1)


def augment_image(image: Tensor, generator: Generator, settings: ImageAugmentation) -> Tensor:
    """A tile as it might also have been taken: turned or mirrored, cropped, in another light.

    Args:
        image: uint8, or float in [0, 1], [3, size, size]; not changed.
        generator: Of the CPU.
        settings: What may happen, and how strongly.

    Returns:
        The same type and shape.

    Raises:
        ValueError: The image is not square or has other than three channels.
    """
    if image.ndim != 3 or image.shape[0] != 3 or image.shape[1] != image.shape[2]:
        raise ValueError(f"an image [3, size, size] wanted, found {list(image.shape)}")
    if settings.probability == 0:
        return image
    turns, crops, colours = (torch.rand(3, generator=generator) < settings.probability).tolist()
    way, side, top, left, *factors = torch.rand(7, generator=generator).tolist()
    if turns:
        way = int(way * 8)
        image = torch.rot90(image, way % 4, (1, 2))
        image = image.flip(2) if way >= 4 else image
    if not (crops or colours):
        return image.contiguous()
    full = 255.0 if image.dtype == torch.uint8 else 1.0
    pixels = image.float()
    if crops:
        pixels = _cropped(pixels, _within(settings.scale, side), top, left)
    if colours:
        ranges = (settings.brightness, settings.contrast, settings.saturation)
        pixels = _coloured(pixels, *map(_within, ranges, factors), full=full)
    pixels = pixels.clamp(0, full)
    return (pixels.round() if image.dtype == torch.uint8 else pixels).to(image.dtype)


def _cropped(pixels: Tensor, part: float, top: float, left: float) -> Tensor:
    """The square of ``part`` of the side at a place in 0..1 of the room there is, at full size again."""
    size = pixels.shape[1]
    side = max(1, round(size * part))
    first, second = round(top * (size - side)), round(left * (size - side))
    cut = pixels[None, :, first : first + side, second : second + side]
    return F.interpolate(cut, size=(size, size), mode="bilinear", align_corners=False)[0]


def _coloured(pixels: Tensor, brightness: float, contrast: float, saturation: float, *, full: float) -> Tensor:
    """Brightness, then contrast, then saturation, each by its factor."""
    pixels = (pixels * brightness).clamp_(0, full)
    grey: Tensor = torch.tensordot(torch.tensor(_GREY, device=pixels.device), pixels, dims=1)
    mean = grey.mean()
    pixels = (pixels - mean) * contrast + mean
    grey = (grey - mean) * contrast + mean
    return (pixels - grey) * saturation + grey
