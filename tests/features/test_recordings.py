"""Clips as they might have been recorded."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from dtbh.features.recordings import RATE, as_recorded


@given(st.integers(0, 2**32 - 1))
def test_recordings_are_clips_still(seed):
    chances = np.random.default_rng(seed)
    clip = (0.3 * np.sin(np.arange(RATE // 2) / 5)).astype(np.float32)
    found = as_recorded(clip, chances)
    assert found.dtype == np.float32
    assert 0.84 * len(clip) < len(found) < 1.16 * len(clip) + 0.18 * RATE
    assert np.isfinite(found).all()
    assert 10 ** (-25.1 / 20) < np.abs(found).max() < 1


def test_silence_stays_silence():
    for seed in range(8):
        assert np.isfinite(as_recorded(np.zeros(4000, np.float32), np.random.default_rng(seed))).all()
