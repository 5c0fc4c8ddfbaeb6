"""Properties of the sound features: lengths, padding, gain, for any clip."""

from __future__ import annotations

import numpy as np
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from dtbh import config
from dtbh.features.sound import SoundFeatures, pad_batch

MODULES = {
    kind: SoundFeatures(**config.SoundFeatures(kind=kind, shift_ms=10).model_dump()) for kind in ("mfcc", "logmel")
}
clips = st.builds(
    lambda samples, seed, level: level * np.random.default_rng(seed).standard_normal(samples).astype(np.float32),
    st.integers(1, 6000),
    st.integers(0, 99),
    st.sampled_from([np.float32(0.001), np.float32(0.1), np.float32(1)]),
)
few = settings(max_examples=25, deadline=None)


@few
@given(st.lists(clips, min_size=1, max_size=4), st.integers(0, 5000), st.sampled_from(["mfcc", "logmel"]))
def test_padding_and_company_change_nothing(waves, more, kind):
    module = MODULES[kind]
    waveforms, lengths = pad_batch(waves)
    waveforms = torch.nn.functional.pad(waveforms, (0, more), value=7.0)
    found, frames = module(waveforms, lengths)
    assert frames.tolist() == [1 + len(wave) // module.hop for wave in waves]
    assert found.isfinite().all()
    for row, wave, count in zip(found, waves, frames.tolist(), strict=True):
        alone, _ = module(*pad_batch([wave]))
        torch.testing.assert_close(row[:, :count], alone[0], atol=1e-3, rtol=1e-4)
        assert not row[:, count:].any()


@few
@given(clips, st.floats(-40, 20), st.sampled_from(["mfcc", "logmel"]))
def test_gain_changes_nothing(wave, decibels, kind):
    louder = wave * np.float32(10 ** (decibels / 20))
    first, _ = MODULES[kind](*pad_batch([wave]))
    second, _ = MODULES[kind](*pad_batch([louder]))
    torch.testing.assert_close(first, second, atol=2e-3, rtol=1e-3)


@few
@given(clips)
def test_normalised_clips_have_mean_0_and_deviation_1(wave):
    found, frames = MODULES["logmel"](*pad_batch([wave]))
    assert float(found.mean(2).abs().max()) < 1e-3
    if int(frames) > 2:
        assert abs(float(found.square().mean()) - 1) < 1e-3
