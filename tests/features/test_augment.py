"""Augmentation: what each change does, and that chance comes from the generator alone."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from dtbh.config import ImageAugmentation, SoundAugmentation
from dtbh.features.augment import augment_image, augment_sound, spec_augment

STILL = {"noise_db": (200.0, 200.0), "gain_db": (0.0, 0.0), "speed": (1.0, 1.0), "shift_seconds": 0.0}


def chance(seed=0):
    return torch.Generator().manual_seed(seed)


def only(**settings):
    """Every change happens, but only these do anything."""
    return SoundAugmentation(probability=1.0, **{**STILL, **settings})


def wave(samples=16000):
    return 0.3 * torch.sin(2 * torch.pi * 440 * torch.arange(samples) / 16000)


def tile(size=16, dtype=torch.uint8):
    pixels = torch.randint(0, 256, (3, size, size), generator=chance(5), dtype=torch.uint8)
    return pixels if dtype == torch.uint8 else pixels.float() / 255


def test_the_generator_decides():
    settings = SoundAugmentation(probability=1.0)
    torch.manual_seed(1)
    first = augment_sound(wave(), chance(3), settings=settings)
    torch.manual_seed(2)
    assert torch.equal(first, augment_sound(wave(), chance(3), settings=settings))
    other = augment_sound(wave(), chance(4), settings=settings)
    assert first.shape != other.shape or not torch.equal(first, other)


def test_none_changes_nothing():
    assert torch.equal(augment_sound(wave(), chance(), settings=SoundAugmentation(probability=0)), wave())
    assert torch.equal(augment_image(tile(), chance(), settings=ImageAugmentation(probability=0)), tile())


@pytest.mark.parametrize("snr", [0.0, 12.0, 30.0])
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_noise_has_the_wanted_ratio(snr, seed):
    noise = augment_sound(wave(), chance(seed), settings=only(noise_db=(snr, snr))) - wave()
    found = 10 * torch.log10(wave().square().mean() / noise.square().mean())
    assert abs(float(found) - snr) < 0.1


def test_noise_is_white_to_pink():
    def slope(seed):
        noise = augment_sound(wave(65536), chance(seed), settings=only(noise_db=(0.0, 0.0))) - wave(65536)
        power = np.abs(np.fft.rfft(noise.numpy())) ** 2
        low, high = power[1000:2000].mean(), power[16000:32000].mean()  # four octaves apart
        return 10 * np.log10(low / high) / 4

    slopes = [slope(seed) for seed in range(12)]
    assert min(slopes) < 1.2
    assert max(slopes) > 2
    assert max(slopes) < 4.5  # pink is 3 dB an octave


def test_gain():
    found = augment_sound(wave(), chance(), settings=only(gain_db=(-20.0, -20.0)))
    torch.testing.assert_close(found, 0.1 * wave(), atol=1e-6, rtol=0)


def test_speed_changes_length_and_pitch():
    found = augment_sound(wave(), chance(), settings=only(speed=(1.25, 1.25)))
    assert len(found) == 12800
    assert np.abs(np.fft.rfft(found.numpy())).argmax() == 440  # 550 Hz over 0.8 s


def test_shift_adds_silence_or_cuts():
    lengths = []
    for seed in range(20):
        found = augment_sound(wave(), chance(seed), settings=only(shift_seconds=0.05))
        lengths.append(len(found) - 16000)
        kept = min(16000, len(found))
        torch.testing.assert_close(found[-kept:], wave()[-kept:], atol=1e-5, rtol=0)
    assert min(lengths) < 0 < max(lengths)
    assert max(map(abs, lengths)) <= 800


@pytest.mark.parametrize("samples", [1, 2, 17])
def test_the_shortest_clips_stay(samples):
    for seed in range(10):
        found = augment_sound(torch.ones(samples), chance(seed), settings=SoundAugmentation(probability=1.0))
        assert len(found) >= 1
        assert found.isfinite().all()


def test_silence_stays_silent():
    found = augment_sound(torch.zeros(1000), chance(), settings=SoundAugmentation(probability=1.0))
    assert not found.any()


def test_spec_augment_masks_within_the_lengths():
    features, lengths = torch.ones(40, 20, 100), torch.tensor([100, 10, 50, 1] * 10)
    found = spec_augment(features, lengths, chance(), time_masks=1, time_width=0.3, freq_masks=0)
    assert torch.equal(features, torch.ones(40, 20, 100))
    gone = (found == 0).all(1)
    assert torch.equal(gone, (found == 0).any(1))
    for row, length in zip(gone, lengths.tolist(), strict=True):
        assert not row[length:].any()
        assert int(row.sum()) <= 0.3 * length + 1
    assert len({int(row.sum()) for row in gone[::4]}) > 3  # each clip has its own


def test_spec_augment_masks_channels():
    found = spec_augment(
        torch.ones(300, 20, 9),
        torch.full((300,), 9),
        chance(),
        time_masks=0,
        freq_masks=1,
        freq_width=0.25,
    )
    gone = (found == 0).all(2)
    assert torch.equal(gone, (found == 0).any(2))
    assert int(gone.sum(1).max()) == 5
    assert gone.any(0).all()  # every channel is met


def test_spec_augment_with_no_masks_changes_nothing():
    features = torch.ones(2, 4, 5)
    found = spec_augment(features, torch.tensor([5, 3]), chance(), time_masks=0, freq_masks=0)
    assert torch.equal(found, features)


def test_all_eight_orientations_are_equally_likely():
    image = torch.arange(3 * 4).reshape(3, 2, 2).to(torch.uint8)
    settings = ImageAugmentation(scale=(1.0, 1.0), brightness=(1.0, 1.0), contrast=(1.0, 1.0), saturation=(1.0, 1.0))
    generator = chance()
    seen = {}
    for _ in range(800):
        key = tuple(augment_image(image, generator, settings=settings).flatten().tolist())
        seen[key] = seen.get(key, 0) + 1
    assert len(seen) == 8
    assert 60 < min(seen.values()) <= max(seen.values()) < 140


@pytest.mark.parametrize("dtype", [torch.uint8, torch.float32])
def test_images_keep_type_shape_and_range(dtype):
    settings = ImageAugmentation(brightness=(0.0, 3.0), contrast=(0.0, 3.0), saturation=(0.0, 3.0))
    image = tile(dtype=dtype)
    generator = chance()
    found = torch.stack([augment_image(image, generator, settings=settings) for _ in range(50)])
    assert found.dtype == dtype
    assert found.shape == (50, 3, 16, 16)
    assert float(found.min()) >= 0
    assert float(found.max()) <= (255 if dtype == torch.uint8 else 1)
    assert torch.equal(image, tile(dtype=dtype))
    assert len({tuple(one.flatten().tolist()) for one in found}) > 40


COLOUR = {"brightness": (1.0, 1.0), "contrast": (1.0, 1.0), "saturation": (1.0, 1.0)}


@pytest.mark.parametrize("name", ["brightness", "contrast", "saturation"])
def test_colours_one_at_a_time(name):
    image = tile(dtype=torch.float32) * 0.5
    settings = ImageAugmentation(scale=(1.0, 1.0), **{**COLOUR, name: (0.5, 0.5)})
    found = augment_image(image, chance(), settings=settings)
    grey = torch.tensor([0.299, 0.587, 0.114])[:, None, None]
    luma = (image * grey).sum(0)
    wanted = {
        "brightness": image * 0.5,
        "contrast": (image - luma.mean()) * 0.5 + luma.mean(),
        "saturation": (image - luma) * 0.5 + luma,
    }[name]
    turned = [torch.rot90(w, k, (1, 2)) for k in range(4) for w in (wanted, wanted.flip(2))]
    assert any(torch.allclose(found, one, atol=1e-5) for one in turned)


def test_crops_come_from_everywhere_in_the_image():
    ramp = torch.linspace(0, 1, 64).expand(3, 64, 64).contiguous()
    settings = ImageAugmentation(scale=(0.5, 0.5), **COLOUR)
    generator = chance()
    found = [augment_image(ramp, generator, settings=settings) for _ in range(60)]
    assert all(abs(float(one.max() - one.min()) - 31 / 63) < 0.01 for one in found)
    assert min(float(one.min()) for one in found) < 0.05
    assert max(float(one.max()) for one in found) > 0.95


@pytest.mark.parametrize("shape", [(3, 4, 5), (1, 4, 4), (2, 3, 4, 4)])
def test_other_shapes_are_refused(shape):
    with pytest.raises(ValueError, match=r"\[3, size, size\] wanted"):
        augment_image(torch.zeros(shape), chance(), settings=ImageAugmentation())
