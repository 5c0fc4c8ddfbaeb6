"""What `examples/hard_sounds.py` does to sounds, and that each is heard from its first word to its last."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from dtbh.data.manifest import Item
from dtbh.data.passages import heard_part, sound_of
from dtbh.media.sound import load_sound


@pytest.fixture(scope="module")
def example() -> Iterator[ModuleType]:
    pytest.importorskip("av", reason="PyAV is not installed: pip install 'dtbh[av]'")
    path = Path(__file__).parents[2] / "examples" / "hard_sounds.py"
    spec = importlib.util.spec_from_file_location("hard_sounds", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(path.parent))
        spec.loader.exec_module(module)
        yield module


def test_every_damage_leaves_the_whole_voice(example: ModuleType, tmp_path: Path) -> None:
    t = np.arange(2 * 16000) / 16000
    voice = sum(np.sin(2 * np.pi * 120 * k * t) / k for k in range(1, 20)) * (0.02 + np.sin(2 * np.pi * 2 * t) ** 2)
    wave = (0.25 * voice / np.abs(voice).max()).astype(np.float32)
    assert set(example.DAMAGES) - set(example.possible()) <= {"AMR, 8 kHz"}
    for number, (name, damage) in enumerate(example.possible().items()):
        path = damage(wave, tmp_path / str(number))
        item, said = heard_part(Item(name, "sound", str(path)), 6.0)
        heard = load_sound(sound_of(item), max_seconds=6.0)
        assert 1.9 < len(heard) / 16000 < 2.5, name
        assert 0.3 * wave.std() < heard.std() < 4 * wave.std(), name
        assert abs(heard.mean()) < 0.02, name
        assert bool(said) == ("silence" in name), name


def test_words_that_differ_are_counted(example: ModuleType) -> None:
    assert example.plain("  Many boats, in a HARBOR. ") == "many boats in a harbor"
    assert [
        example.word_errors("many boats in a harbor", found)
        for found in ("many boats in a harbor", "many goats in harbor", "", "many boats in in a harbor now")
    ] == [0, 2, 5, 2]


def test_declipping_brings_peaks_back_and_leaves_all_else(example: ModuleType) -> None:
    from declipping import declipped

    t = np.arange(8000) / 16000
    wave = (0.3 * np.sin(2 * np.pi * 210 * t) + 0.2 * np.sin(2 * np.pi * 630 * t + 1)).astype(np.float32)
    noise = np.random.default_rng(0).normal(0, 0.1, 8000).astype(np.float32)
    np.testing.assert_array_equal(declipped(noise), noise)
    clipped = np.clip(wave, -0.2, 0.2)
    found = declipped(clipped)
    inside = np.abs(clipped) < 0.19
    np.testing.assert_array_equal(found[inside], wave[inside])
    assert (np.abs(found) >= np.abs(clipped) - 1e-3).all(), "what was clipped lies beyond"
    assert ((found - wave) ** 2).sum() < 0.1 * ((clipped - wave) ** 2).sum(), "10 dB better"
