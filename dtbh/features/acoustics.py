"""How a clip might also have been spoken and recorded: another tempo, a room, a crowd, a telephone, a hot level.

All chance comes from the generator that is given: the same state gives the same result.
"""

from __future__ import annotations

import io
import math

import numpy as np
import torch
import torch.nn.functional as F
import torchaudio.functional as audio_functional
from torch import Generator, Tensor

SOUND_SPEED = 343.0  # m/s
_FFT, _HOP = 512, 128  # of the change of tempo
_SIDES = ((3.0, 10.0), (3.0, 8.0), (2.4, 4.0))  # of a room in m: length, width, height
_WALLS = (0.55, 0.9)  # what a wall gives back of an amplitude
_ORDER = 6  # so many reflections along each axis
_TALKERS = 5  # of a crowd
_LINE = 8000  # samples a second on a telephone line
_BAND = (300.0, 3400.0)  # Hz


def at_tempo(wave: Tensor, factor: float) -> Tensor:
    """Spoken ``factor`` times as fast at the same pitch, by a phase vocoder; float32 [samples / factor]."""
    if factor == 1 or len(wave) <= _FFT:
        return wave
    window = torch.hann_window(_FFT)
    spectrum = torch.stft(wave, _FFT, _HOP, window=window, return_complex=True)
    advance = torch.linspace(0, math.pi * _HOP, spectrum.shape[0])[:, None]
    stretched = audio_functional.phase_vocoder(spectrum, factor, advance)
    return torch.istft(stretched, _FFT, _HOP, window=window, length=max(1, round(len(wave) / factor)))


def room_response(generator: Generator, *, sample_rate: int) -> Tensor:
    """What a room makes of a click: float32 [samples], its first sound at sample 0 with amplitude 1.

    A box with walls that give back a share of each amplitude, after Allen and Berkley (1979): every reflection
    is the direct sound of an image of the speaker behind the walls. Speaker and microphone stand anywhere half
    a metre from the walls.
    """
    draws = torch.rand(10, generator=generator, dtype=torch.float64)
    low, high = torch.tensor(_SIDES, dtype=torch.float64).T
    sides = low + (high - low) * draws[:3]
    speaker, microphone = 0.5 + (sides - 1) * draws[3:6], 0.5 + (sides - 1) * draws[6:9]
    back = _WALLS[0] + (_WALLS[1] - _WALLS[0]) * float(draws[9])
    steps = torch.arange(-_ORDER, _ORDER + 1, dtype=torch.float64)
    # Along an axis the images stand at 2 n L + s and 2 n L - s, after |2 n| and |2 n - 1| reflections.
    places = torch.cat([2 * steps * sides[:, None] + s * speaker[:, None] for s in (1, -1)], dim=1)
    places = places - microphone[:, None]
    bounces = torch.cat([(2 * steps).abs(), (2 * steps - 1).abs()])
    x, y, z = places.square()
    far = (x[:, None, None] + y[:, None] + z).sqrt().flatten()
    count = (bounces[:, None, None] + bounces[:, None] + bounces).flatten()
    first = far.min()
    at = ((far - first) * (sample_rate / SOUND_SPEED)).round().long()
    response = torch.zeros(round(0.5 * sample_rate))
    inside = at < len(response)
    loudness = (first / far) * back**count
    response.index_add_(0, at[inside], loudness[inside].float())
    return response / response[0]


def in_room(wave: Tensor, generator: Generator, *, sample_rate: int) -> Tensor:
    """As heard in a room, at the power it had: float32, up to 0.3 s longer."""
    response = room_response(generator, sample_rate=sample_rate)
    length = 1 << (len(wave) + len(response) - 1).bit_length()
    heard = torch.fft.irfft(torch.fft.rfft(wave, length) * torch.fft.rfft(response, length), length)
    heard = heard[: len(wave) + round(0.3 * sample_rate)]
    gain = (wave.square().sum() / heard.square().sum().clamp(min=1e-20)).sqrt()
    louder: Tensor = heard * gain
    return louder


def crowd(wave: Tensor, generator: Generator) -> Tensor:
    """Babble as long as the clip: five talkers, each the clip backwards from another place at another speed.

    It has speech's spectrum and rhythm and no words, and needs no other recordings.
    """
    talkers = torch.zeros_like(wave)
    for place, speed in torch.rand(_TALKERS, 2, generator=generator).tolist():
        length = max(2, round(len(wave) * (0.75 + 0.5 * speed)))
        voice = F.interpolate(wave.flip(0)[None, None], size=length, mode="linear")[0, 0].roll(round(place * length))
        talkers += voice.repeat(-(-len(wave) // length))[: len(wave)]
    return talkers


def with_noise(wave: Tensor, noise: Tensor, snr_db: float) -> Tensor:
    """The clip and a noise as long at this ratio of their mean powers, in dB."""
    power, noise_power = wave.dot(wave), noise.dot(noise).clamp(min=1e-20)
    level: Tensor = (power / noise_power * 10.0 ** (-snr_db / 10)).sqrt()
    return wave + level * noise


def coloured_noise(samples: int, colour: float, generator: Generator) -> Tensor:
    """Noise, float32 [samples]: white at ``colour`` 0, pink at 1.

    Pink noise is a sum over octaves of equal power: each holds its values twice as long as the one before.
    """
    octaves = 8  # down to 1/256 of the sample rate
    sizes = [(samples >> octave) + 1 for octave in range(octaves)]
    values = torch.split(torch.randn(sum(sizes), generator=generator), sizes)
    noise = values[0][:samples].clone()
    for octave, held in enumerate(values[1:], start=1):
        noise.add_(held[:, None].expand(-1, 1 << octave).reshape(-1)[:samples], alpha=colour)
    return noise


def by_telephone(wave: Tensor, *, sample_rate: int) -> Tensor:
    """Through a telephone: 300 to 3,400 Hz at 8 kHz, coded as GSM 06.10; float32, as long as it was."""
    import soundfile
    import soxr

    narrow = soxr.resample(wave.numpy(), sample_rate, _LINE)
    spectrum = np.fft.rfft(narrow)
    frequencies = np.fft.rfftfreq(len(narrow), 1 / _LINE)
    spectrum[(frequencies < _BAND[0]) | (frequencies > _BAND[1])] = 0
    narrow = np.fft.irfft(spectrum, len(narrow))
    peak = max(1e-6, float(np.abs(narrow).max()))
    file = io.BytesIO()
    soundfile.write(file, narrow / peak * 0.7, _LINE, format="WAV", subtype="GSM610")
    file.seek(0)
    heard = soundfile.read(file, dtype="float32")[0] * np.float32(peak / 0.7)
    wide = torch.from_numpy(soxr.resample(heard, _LINE, sample_rate))
    return F.pad(wide, (0, max(0, len(wave) - len(wide))))[: len(wave)]


def clipped(wave: Tensor, part: float) -> Tensor:
    """Recorded too loud: what passes ``part`` (0..1) of the peak is cut off."""
    limit = float(wave.abs().max()) * part
    return wave.clamp(-limit, limit)
