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
        any_language = True

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
