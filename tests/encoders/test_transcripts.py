"""What sound files say, as it is stored."""

from __future__ import annotations

import numpy as np
import pytest
import soundfile

from dtbh.encoders.transcripts import transcripts
from dtbh.media.transcriber import Heard

SAID = [Heard("a quay", sure=True), None, Heard("1 élan", sure=False)]


@pytest.mark.parametrize("stored", [False, True])
def test_words_are_kept_as_they_were_heard(stored, tmp_path):
    paths = [tmp_path / f"{number}.wav" for number in range(3)]
    for number, path in enumerate(paths):
        soundfile.write(path, 0.1 * (number + 1) * np.resize([1, -1], 16000), 16000, subtype="FLOAT")
    asked = []

    class Hearing:
        any_language, prompt = True, ""

        def __call__(self, waves, language):
            assert language == "es"
            asked.extend(waves)
            return [SAID[round(10 * float(wave[0])) - 1] if len(wave) else None for wave in waves]

    hear = Hearing()
    for _ in range(2):
        assert transcripts(hear, paths, language="es", max_seconds=8, stored=stored) == SAID
    assert len(asked) == (3 if stored else 6)
    there = [paths[0], tmp_path / "gone.wav", paths[2]]
    assert transcripts(hear, there, language="es", max_seconds=8, stored=stored) == SAID


def test_what_a_prompt_makes_of_them_is_kept_apart(tmp_path):
    path = tmp_path / "a.wav"
    soundfile.write(path, 0.1 * np.resize([1, -1], 16000), 16000, subtype="FLOAT")

    class Hearing:
        any_language = False

        def __init__(self, prompt):
            self.prompt = prompt

        def __call__(self, waves, language):
            return [Heard(self.prompt or "plain", sure=True) for _ in waves]

    for prompt in ("", "a pier", "courts", ""):
        (found,) = transcripts(Hearing(prompt), [path], language="auto", max_seconds=8, stored=True)
        assert found == Heard(prompt or "plain", sure=True)
