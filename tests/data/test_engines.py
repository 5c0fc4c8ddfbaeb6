from __future__ import annotations

import shutil
import time
from pathlib import Path

import pytest
import soundfile

from dtbh.data.speech.engines import ENGINES, ESPEAK_VOICES, VOICES, check_engine
from dtbh.errors import DtbhError, MediaError, MissingExtraError
from dtbh.stages.speak import speak
from tests.stages.test_speak import clips, folder, sentences


def test_missing_programs_and_packages(monkeypatch: pytest.MonkeyPatch) -> None:
    from dtbh.data.speech import engines

    engines._program.cache_clear()
    monkeypatch.setattr(shutil, "which", lambda _: None)
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    with pytest.raises(DtbhError, match="flite: no such program"):
        check_engine("flite")
    with pytest.raises(MissingExtraError, match=r"pip install 'dtbh\[speech\]'"):
        check_engine("espeak")
    engines._program.cache_clear()


def test_no_two_espeak_voices_share_a_timbre() -> None:
    timbres = [voice.partition("+")[2] for voice in ESPEAK_VOICES]
    assert len(ESPEAK_VOICES) >= 40
    assert len(set(timbres)) == len(timbres)


@pytest.mark.parametrize("engine", list(ENGINES))
def test_real_engine(tmp_path: Path, engine: str) -> None:
    if engine == "espeak":
        pytest.importorskip("espeakng_loader", reason="espeakng-loader (the speech extra) is not installed")
    elif shutil.which(engine) is None:
        pytest.skip(f"the program {engine} is not installed")
    voices = VOICES[engine]
    one, two = folder(tmp_path / "1", sentences(len(voices))), folder(tmp_path / "2", sentences(len(voices)))
    spoken = speak(one, engine=engine, workers=1)
    for item in spoken.sounds:
        assert 0.4 < soundfile.info(spoken.file(item)).duration < 8
    time.sleep(1.1)  # breath that is seeded from the clock would differ now
    speak(two, engine=engine, workers=2)
    assert clips(one) == clips(two)
    for voice in voices:
        slow, rate = ENGINES[engine]("two tennis courts beside a straight road", voice, 130, 50)
        fast, _ = ENGINES[engine]("two tennis courts beside a straight road", voice, 210, 50)
        assert len(slow) > 1.2 * len(fast) > 0.5 * rate


@pytest.mark.parametrize("engine", list(ENGINES))
def test_real_engine_without_the_voice(tmp_path: Path, engine: str) -> None:
    if engine == "espeak":
        pytest.importorskip("espeakng_loader", reason="espeakng-loader (the speech extra) is not installed")
    elif shutil.which(engine) is None:
        pytest.skip(f"the program {engine} is not installed")
    data = folder(tmp_path, sentences(1))
    with pytest.raises(MediaError, match=r"sound s/0, voice .*nobody"):
        speak(data, engine=engine, voices=["xx-nobody"], workers=1)
    assert not clips(data)
