from __future__ import annotations

import numpy as np
import pytest
import torch

from dtbh.config import SoundAugmentation, make_config
from dtbh.errors import ConfigError
from dtbh.features import acoustics
from dtbh.features.acoustics import (
    at_tempo,
    by_telephone,
    clipped,
    coloured_noise,
    crowd,
    in_room,
    room_response,
    with_noise,
)
from dtbh.features.augment import augment_sound
from tests.reference import rooms

RATE = 16000


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def tone(frequency: float, seconds: float = 1.0) -> torch.Tensor:
    return 0.3 * torch.sin(2 * torch.pi * frequency * torch.arange(round(seconds * RATE)) / RATE)


def loudest(wave: torch.Tensor) -> float:
    """The frequency in Hz with the most power."""
    return float(torch.fft.rfft(wave * torch.hann_window(len(wave))).abs().argmax()) * RATE / len(wave)


@pytest.mark.parametrize("factor", [0.7, 1.3])
def test_tempo_changes_the_length_and_not_the_pitch(factor: float) -> None:
    changed = at_tempo(tone(440), factor)
    assert len(changed) == round(RATE / factor)
    assert loudest(changed) == pytest.approx(440, abs=4)


def test_a_room_is_the_sum_of_its_images(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(acoustics, "_ORDER", 2)
    for seed in range(3):
        draws = torch.rand(10, generator=generator(seed), dtype=torch.float64).tolist()
        sides = [low + (high - low) * u for (low, high), u in zip(acoustics._SIDES, draws, strict=False)]
        speaker, microphone = (
            [0.5 + (side - 1) * u for side, u in zip(sides, draws[first:], strict=False)] for first in (3, 6)
        )
        low, high = acoustics._WALLS
        wanted = rooms.response(sides, speaker, microphone, low + (high - low) * draws[9], RATE, 2, RATE // 2)
        found = room_response(generator(seed), sample_rate=RATE)
        assert torch.allclose(found, torch.tensor(wanted), atol=1e-5)
        assert (found != 0).sum() > 50


def test_a_room_lengthens_a_clip_and_keeps_its_power() -> None:
    wave = tone(300)
    heard = in_room(wave, generator(), sample_rate=RATE)
    assert len(heard) == len(wave) + round(0.3 * RATE)
    assert float(heard.square().sum()) == pytest.approx(float(wave.square().sum()), rel=1e-4)
    assert not torch.allclose(heard[: len(wave)], wave, atol=1e-2)


@pytest.mark.parametrize("snr", [-5.0, 10.0])
def test_noise_comes_at_the_ratio_that_is_stated(snr: float) -> None:
    wave = tone(200)
    for noise in (coloured_noise(len(wave), 0.7, generator()), crowd(wave, generator())):
        added = with_noise(wave, noise, snr) - wave
        assert 10 * np.log10(float(wave.square().mean() / added.square().mean())) == pytest.approx(snr, abs=0.01)


def test_babble_has_the_spectrum_of_the_clip_and_not_its_shape() -> None:
    wave = tone(500) * (torch.arange(RATE) < RATE // 2)
    babble = crowd(wave, generator())
    assert len(babble) == len(wave)
    assert 500 * 0.8 < loudest(babble) < 500 / 0.7
    assert torch.corrcoef(torch.stack([wave, babble]))[0, 1].abs() < 0.2
    assert torch.equal(babble, crowd(wave, generator()))


def test_a_telephone_leaves_its_band_alone_and_cuts_the_rest() -> None:
    heard = {f: by_telephone(tone(f), sample_rate=RATE) for f in (100.0, 1000.0, 5000.0)}
    power = {f: float(x.square().mean() / tone(f).square().mean()) for f, x in heard.items()}
    assert 0.5 < power[1000.0] < 1.5
    assert power[100.0] < 0.05
    assert power[5000.0] < 0.05
    assert all(len(x) == RATE for x in heard.values())


def test_clipping_cuts_at_a_part_of_the_peak() -> None:
    wave = tone(200)
    assert float(clipped(wave, 0.5).abs().max()) == pytest.approx(float(wave.abs().max()) / 2)


def test_everything_at_once_is_finite_and_repeats() -> None:
    settings = SoundAugmentation(
        probability=1, babble=0.5, room=1, clipping=1, telephone=1, tempo=(0.8, 1.3), noise_db=(0, 20)
    )
    for seed in range(5):
        one, same = (augment_sound(tone(400), generator(seed), settings, sample_rate=RATE) for _ in range(2))
        assert torch.equal(one, same)
        assert torch.isfinite(one).all()
        assert len(one) > 0.5 * RATE
    assert not torch.equal(one[:4000], augment_sound(tone(400), generator(9), settings, sample_rate=RATE)[:4000])


def test_a_tempo_out_of_range_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"tempo must lie in 0\.25\.\.4"):
        make_config({"encoders": {"sound": {"augmentation": {"tempo": [0.1, 1]}}}})
