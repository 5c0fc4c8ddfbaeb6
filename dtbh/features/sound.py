"""Sounds to features: samples to MFCC or log-mel, in batches.

Times are in seconds (settings in ms), frequencies in Hz.

The mel scale and the filters' norm are Slaney's, which are librosa's defaults.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence
from typing import Literal

import numpy as np
import torch
import torch.nn.functional as F
import torchaudio.functional as audio_functional
from torch import Tensor, nn

from dtbh.errors import ConfigError
from dtbh.media.sound import Samples

FLOOR = 1e-10  # the least mel power, -100 dB
LEVEL = 10 ** (-30 / 10)  # mean power that clips are brought to before they are normalised: -30 dBFS
_DECIBELS = 10 / math.log(10)  # natural logarithms to dB
_AT_ONCE = 1000  # frames per step on a CPU: what a step makes is 4 MB at most
_BAND = 16  # mel channels per matrix product: each product meets only the FFT bins its filters cover


def pad_batch(waves: Sequence[Samples] | Sequence[Tensor]) -> tuple[Tensor, Tensor]:
    """Clips of unequal length as one batch, zeros at the end.

    Args:
        waves: Clips, each float32 [samples].

    Returns:
        waveforms: float32 [clips, longest].
        lengths: int64 [clips], samples of each.
    """
    clips = [torch.as_tensor(wave) for wave in waves]
    lengths = torch.tensor([len(clip) for clip in clips], dtype=torch.int64)
    waveforms = torch.empty(len(clips), max(map(len, clips), default=0))
    for row, clip in zip(waveforms, clips, strict=True):
        row[: len(clip)] = clip
        row[len(clip) :] = 0
    return waveforms, lengths


class SoundFeatures(nn.Module):
    """MFCC or log-mel of a batch of clips.

    Hann window, FFT of the next power of two, frames centred on multiples of the shift with zeros beyond both
    ends, power spectrum, Slaney mel filters with Slaney norm, 10 log10(max(power, 1e-10)) without a limit on
    the range; for MFCC the orthonormal DCT-II of that. With equal settings these are the values of
    ``librosa.feature.melspectrogram`` (and ``mfcc``) with ``power_to_db(top_db=None)``.

    ``normalize`` takes from every channel its mean over the clip's frames (cepstral mean normalisation), then
    divides by the clip's one standard deviation. Clips are first brought to a mean power of -30 dBFS, so that
    the floor lies equally deep under all of them and gain changes nothing.

    Args:
        kind: ``"mfcc"`` or ``"logmel"``.
        sample_rate: Of the clips, in Hz.
        window_ms: Length of the window in ms.
        shift_ms: From one frame to the next in ms.
        n_mels: Mel filters.
        n_mfcc: Coefficients kept, the first ones, with the zeroth; at most ``n_mels``.
        f_min: Lower edge of the lowest filter in Hz.
        f_max: Upper edge of the highest filter in Hz, at most half the sample rate.
        normalize: Whether to normalise, as above.

    Attributes:
        channels: Of the result: ``n_mfcc`` or ``n_mels``.

    Raises:
        ConfigError: Settings out of range, or filters so narrow that some meet no FFT bin.
    """

    window: Tensor
    dct: Tensor

    def __init__(
        self,
        *,
        kind: Literal["mfcc", "logmel"],
        sample_rate: int,
        window_ms: float,
        shift_ms: float,
        n_mels: int,
        n_mfcc: int,
        f_min: float,
        f_max: float,
        normalize: bool,
    ) -> None:
        super().__init__()
        length, self.hop = round(sample_rate * window_ms / 1000), round(sample_rate * shift_ms / 1000)
        _check_settings(kind, sample_rate, length, self.hop, n_mels, n_mfcc, f_min, f_max)
        self.kind, self.normalize = kind, normalize
        self.channels = n_mfcc if kind == "mfcc" else n_mels
        self.n_fft = 1 << (length - 1).bit_length()
        # Zeros follow the window instead of surrounding it: that turns phases, and power has none.
        self.before = self.n_fft // 2 - (self.n_fft - length) // 2
        window = F.pad(torch.hann_window(length), (0, self.n_fft - length))
        self.register_buffer("window", window, persistent=False)
        dct = _DECIBELS * audio_functional.create_dct(n_mfcc, n_mels, norm="ortho").T.contiguous()
        self.register_buffer("dct", dct, persistent=False)
        filters = _mel_filters(self.n_fft // 2 + 1, f_min, f_max, n_mels, sample_rate)
        self.bands: list[tuple[int, int]] = []
        for number, band in enumerate(torch.split(filters, _BAND, dim=1)):
            bins = band.sum(1).nonzero().flatten()
            first, end = int(bins[0]), int(bins[-1]) + 1
            self.bands.append((first, end))
            self.register_buffer(f"band{number}", band[first:end].T.contiguous(), persistent=False)

    def frame_lengths(self, lengths: Tensor) -> Tensor:
        """Frames of clips of ``lengths`` samples: 1 + length // hop, int of the same shape."""
        return 1 + torch.div(lengths, self.hop, rounding_mode="floor")

    def forward(self, waveforms: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """Features of a batch; what stands in the padding doesn't matter.

        Computed in float32, under autocast too.

        Args:
            waveforms: float [clips, samples].
            lengths: int [clips], each in 1..samples.

        Returns:
            features: float32 [clips, channels, frames]; in dB, or normalised; 0 beyond a clip's frames.
            frame_lengths: int [clips].

        Raises:
            ValueError: The shapes don't fit.
        """
        if waveforms.ndim != 2 or lengths.shape != waveforms.shape[:1]:
            raise ValueError(
                f"waveforms [clips, samples] and lengths [clips] wanted, found {list(waveforms.shape)} and "
                f"{list(lengths.shape)}"
            )
        with torch.autocast(device_type=waveforms.device.type, enabled=False):
            if waveforms.device.type == "cpu" and not (waveforms.requires_grad or torch.compiler.is_compiling()):
                features = self._one_by_one(waveforms.float(), lengths)
            else:
                features = self._together(waveforms.float(), lengths)
        return features, self.frame_lengths(lengths)

    def _together(self, waveforms: Tensor, lengths: Tensor) -> Tensor:
        """Features [clips, channels, frames] of a batch in one piece, for other devices and for export."""
        samples = waveforms.shape[1]
        beyond = torch.arange(samples, device=lengths.device) >= lengths[:, None]
        waveforms = waveforms.masked_fill(beyond, 0.0)
        if self.normalize:
            waveforms = waveforms * _gain(waveforms.square().sum(1, keepdim=True) / lengths[:, None])
        features = self._spectral(self._frames(waveforms))
        counts = self.frame_lengths(lengths)[:, None, None]
        beyond = torch.arange(features.shape[2], device=lengths.device) >= counts
        features = features.masked_fill(beyond, 0.0)
        if not self.normalize:
            return features
        features = (features - features.sum(2, keepdim=True) / counts).masked_fill(beyond, 0.0)
        return features / _deviation(features.square().sum((1, 2), keepdim=True) / (counts * self.channels))

    def _one_by_one(self, waveforms: Tensor, lengths: Tensor) -> Tensor:
        """The same on a CPU, with no work on padding and little memory touched: several times faster."""
        clips, samples = waveforms.shape
        features = waveforms.new_empty(clips, self.channels, 1 + samples // self.hop)
        for row, wave, length in zip(features, waveforms, lengths.tolist(), strict=True):
            wave = wave[:length]
            if self.normalize:
                wave = wave * _gain(wave.dot(wave) / length)
            frames, done = self._frames(wave), 0
            for part in frames.chunk(1 + len(frames) // _AT_ONCE):
                self._spectral_into(row[:, done : done + len(part)], part)
                done += len(part)
            row[:, done:] = 0
            if self.normalize:
                inside = row[:, :done]
                inside -= inside.mean(1, keepdim=True)
                inside /= _deviation(inside.square().mean())
        return features

    def _frames(self, waves: Tensor) -> Tensor:
        """Overlapping frames [..., frames, n_fft] of waves [..., samples], without a copy."""
        padded = F.pad(waves, (self.before, self.n_fft - self.before))
        return padded.unfold(-1, self.n_fft, self.hop)

    def _spectral(self, frames: Tensor) -> Tensor:
        """Frames [..., frames, n_fft] to features [..., channels, frames]."""
        power = torch.view_as_real(torch.fft.rfft(frames * self.window)).square().sum(-1).mT
        bands = [
            getattr(self, f"band{number}") @ power[..., first:end, :] for number, (first, end) in enumerate(self.bands)
        ]
        logs = torch.cat(bands, dim=-2).clamp(min=FLOOR).log()
        return self.dct @ logs if self.kind == "mfcc" else logs * _DECIBELS

    def _spectral_into(self, out: Tensor, frames: Tensor) -> None:
        """The same for frames [frames, n_fft] of one clip, NumPy's loops where they are the faster ones."""
        squares = torch.view_as_real(torch.fft.rfft(frames * self.window)).square_().flatten(1).numpy()
        power = torch.from_numpy(squares[:, ::2] + squares[:, 1::2]).T
        mel = power.new_empty(self.dct.shape[1], len(frames))
        for number, (first, end) in enumerate(self.bands):
            rows = mel[number * _BAND : (number + 1) * _BAND]
            torch.mm(getattr(self, f"band{number}"), power[first:end], out=rows)
        logs = mel.numpy()
        np.log(np.maximum(logs, FLOOR, out=logs), out=logs)
        if self.kind == "mfcc":
            torch.mm(self.dct, mel, out=out)
        else:
            torch.mul(mel, _DECIBELS, out=out)


def _gain(power: Tensor) -> Tensor:
    """What brings a clip of this mean power to the common level."""
    return (LEVEL / power.clamp(min=1e-20)).sqrt()


def _deviation(variance: Tensor) -> Tensor:
    """The standard deviation in dB; at least 0.001, so that a constant clip gives zeros."""
    return variance.sqrt().clamp(min=1e-3)


def _check_settings(
    kind: str, sample_rate: int, length: int, hop: int, n_mels: int, n_mfcc: int, f_min: float, f_max: float
) -> None:
    """Refuse settings that give no features."""
    if kind not in ("mfcc", "logmel"):
        raise ConfigError(f"kind of sound features must be mfcc or logmel, found {kind!r}")
    if length < 2 or hop < 1:
        raise ConfigError(
            f"window and shift must be at least 2 and 1 samples at {sample_rate} Hz, found {length} and {hop}; "
            "set more milliseconds"
        )
    if not 0 <= f_min < f_max <= sample_rate / 2:
        raise ConfigError(
            f"0 <= f_min < f_max <= {sample_rate / 2:g} Hz (half the sample rate) wanted, found f_min={f_min:g} "
            f"and f_max={f_max:g}"
        )
    if not 1 <= n_mfcc <= n_mels:
        raise ConfigError(f"n_mfcc must be in 1..n_mels, found n_mfcc={n_mfcc} and n_mels={n_mels}")


def _mel_filters(bins: int, f_min: float, f_max: float, n_mels: int, sample_rate: int) -> Tensor:
    """Slaney's filters, float32 [bins, n_mels]."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # said below, as an error
        filters = audio_functional.melscale_fbanks(bins, f_min, f_max, n_mels, sample_rate, "slaney", "slaney")
    empty = int((filters.amax(0) == 0).sum())
    if empty:
        raise ConfigError(
            f"n_mels={n_mels} gives {empty} filters that meet no FFT bin ({sample_rate / 2 / (bins - 1):.1f} Hz "
            "apart); set fewer mels or a longer window"
        )
    return torch.as_tensor(filters)
