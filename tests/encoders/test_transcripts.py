"""What sound files say, as it is stored."""

from __future__ import annotations

import numpy as np
import pytest
import soundfile

from dtbh.encoders.transcripts import transcripts
from dtbh.media.transcriber import Heard, Way
from dtbh.media.utterance import WIDTH

MEANT = np.arange(WIDTH, dtype=np.float32) / 2**9
WAYS = (Way("a key", sure=False, likelihood=-0.8), Way("a quay", sure=True, likelihood=-0.81))
SAID = [Heard("a quay", sure=True), None, Heard("1 élan", sure=False), Heard("a key", False, WAYS, -0.8)]


@pytest.mark.parametrize("stored", [False, True])
def test_words_are_kept_as_they_were_heard(stored, tmp_path):
    paths = [tmp_path / f"{number}.wav" for number in range(4)]
    for number, path in enumerate(paths):
        soundfile.write(path, 0.1 * (number + 1) * np.resize([1, -1], 16000), 16000, subtype="FLOAT")
    asked = []

    class Hearing:
        any_language, prompt, hypotheses, utterances = True, "", 5, None

        def __call__(self, waves, language):
            assert language == "es"
            asked.extend(waves)
            return [SAID[round(10 * float(wave[0])) - 1] if len(wave) else None for wave in waves]

    hear = Hearing()
    for _ in range(2):
        assert transcripts(hear, paths, language="es", max_seconds=8, stored=stored) == SAID
    assert len(asked) == (4 if stored else 8)
    there = [paths[0], tmp_path / "gone.wav", *paths[2:]]
    assert transcripts(hear, there, language="es", max_seconds=8, stored=stored) == SAID


def test_what_a_prompt_makes_of_them_is_kept_apart(tmp_path):
    path = tmp_path / "a.wav"
    soundfile.write(path, 0.1 * np.resize([1, -1], 16000), 16000, subtype="FLOAT")

    class Hearing:
        any_language, utterances = False, None

        def __init__(self, prompt, hypotheses):
            self.prompt, self.hypotheses = prompt, hypotheses

        def __call__(self, waves, language):
            return [Heard(f"{self.prompt} {self.hypotheses}", sure=True) for _ in waves]

    for prompt, hypotheses in (("", 1), ("a pier", 1), ("courts", 1), ("courts", 5), ("", 1)):
        (found,) = transcripts(Hearing(prompt, hypotheses), [path], language="auto", max_seconds=8, stored=True)
        assert found == Heard(f"{prompt} {hypotheses}", sure=True)


def test_what_is_meant_is_kept_with_the_words(tmp_path):
    heard = [Heard("a quay", True, (), -0.25, MEANT), None, Heard("a key", False, WAYS, -0.8, MEANT[::-1])]
    paths = [tmp_path / f"{number}.wav" for number in range(3)]
    for number, path in enumerate(paths):
        soundfile.write(path, 0.1 * (number + 1) * np.resize([1, -1], 16000), 16000, subtype="FLOAT")

    class Hearing:
        any_language, prompt, hypotheses, utterances, asked = False, "", 5, object(), 0

        def __call__(self, waves, language):
            self.asked += len(waves)
            return [heard[round(10 * float(wave[0])) - 1] for wave in waves]

    hear = Hearing()
    for _ in range(2):
        found = transcripts(hear, paths, language="auto", max_seconds=8, stored=True)
        assert [said and said[:4] for said in found] == [said and said[:4] for said in heard]
        assert [said.meaning.tolist() for said in found if said] == [MEANT.tolist(), MEANT[::-1].tolist()]
    assert hear.asked == 3
