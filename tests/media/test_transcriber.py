"""Speech to text: what is heard in speech, and that nothing is heard in what is none."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from dtbh.errors import MissingExtraError
from dtbh.media import transcriber
from dtbh.media.sound import load_sound
from dtbh.media.transcriber import (
    RATE,
    SHARE,
    Heard,
    Transcriber,
    Way,
    believed,
    log_mel,
    loops,
    most_tokens,
    once,
    window_of,
)
from tests.reference import whisper


@pytest.fixture(scope="module")
def hear() -> Transcriber:
    return Transcriber()


def spoken(text: str, folder: Path, voice: str = "slt") -> np.ndarray:
    if shutil.which("flite") is None:
        pytest.skip("flite is not installed: apt-get install flite")
    path = folder / "said.wav"
    subprocess.run(["flite", "-voice", voice, "-t", text, "-o", path], check=True)
    return load_sound(path, sample_rate=RATE, max_seconds=30)


def test_words_are_heard(hear, tmp_path):
    wave = spoken("Many boats are docked in the harbor.", tmp_path)
    (heard,) = hear([wave])
    assert heard is not None
    assert heard.sure
    assert {"boats", "harbor"} <= set(heard.text.lower().strip(".").split())
    assert hear([wave, np.zeros(RATE, np.float32), wave]) == [heard, None, heard]


def test_nothing_is_heard_where_nobody_speaks(hear):
    rng, time = np.random.default_rng(0), np.arange(3 * RATE) / RATE
    for wave in (
        np.zeros(3 * RATE),
        0.1 * rng.normal(size=3 * RATE),
        0.3 * np.sin(2 * np.pi * 440 * time),
        sum(0.1 * np.sin(2 * np.pi * f * time) * (np.sin(5 * time) > 0) for f in (262, 330, 392)),
        np.r_[np.zeros(2000), 0.5 * rng.normal(size=800), np.zeros(5000)],
        np.zeros(0),
    ):
        assert hear([wave.astype(np.float32)]) == [None]


def test_who_listens_keeps_the_threads_of_all_else(hear):
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        hear([np.zeros(RATE, np.float32)])
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)


@pytest.mark.parametrize("samples", [0, 1, 159, 1600, 2 * RATE + 77, 8 * RATE - 300, 8 * RATE - 20, 8 * RATE, 9 * RATE])
def test_the_mel_frames_are_whispers(samples):
    wave = np.random.default_rng(1).normal(size=samples).astype(np.float32) * 0.1
    found = log_mel(wave, 8)
    assert (found.shape, found.dtype) == ((80, 800), np.float32)
    assert found.flags.c_contiguous
    np.testing.assert_allclose(found, whisper.log_mel_in_window(wave, 8), atol=2e-4)


class Said(NamedTuple):
    """What CTranslate2 gives of a clip."""

    sequences: list[list[str]]
    scores: list[float]
    no_speech_prob: float


def test_each_of_many_clips_has_its_own_words_whatever_is_heard_beside_it(monkeypatch):
    seconds = [*np.random.default_rng(0).uniform(0.2, 4, 40), 7.9, 12.0, 12.1, 29.0, 14.7, 3.0]
    waves = [np.full(round(length * RATE), 0.5, np.float32) for length in seconds]
    waves[5][:] = 0  # nobody speaks
    calls: list[tuple[int, int, set[int]]] = []

    def decoded(self, group, window, spoken, most):
        calls.append((len(group), window, {most_tokens(len(wave)) for wave in group}))
        assert calls[-1][2] == {most}
        looping = "you you you you" if window == 8 else "a quay"  # the third is told apart in a longer window
        said = [looping if len(wave) == len(waves[2]) else f"clip {len(wave)}" for wave in group]
        return [(Said([[text]], [-0.3], 0.1), None) for text in said]

    monkeypatch.setattr(Transcriber, "_decoded", decoded)
    wanted = [Heard(f"clip {len(wave)}", sure=True, likelihood=-0.3) for wave in waves]
    wanted[2], wanted[5] = Heard("a quay", sure=True, likelihood=-0.3), None
    hear = Transcriber()
    assert hear(waves) == wanted
    assert max(count for count, window, _ in calls if window == 8) > 4
    assert all(count * window <= transcriber.TOGETHER for count, window, _ in calls)
    assert sum(count for count, _, _ in calls) == len(waves)  # one not at all, and one twice
    assert {window for _, window, _ in calls} == {8, 15, 30}
    assert [hear([wave])[0] for wave in waves] == wanted


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("boats in a harbor", False),
        ("no, no, no, I said no", False),
        ("you you you you", True),
        ("He is a free, " * 8, True),
        ("", False),
        ("a dense forest with a dark green canopy and a river", False),
    ],
)
def test_the_same_again_and_again(text, wanted):
    assert loops(text) is wanted


@pytest.mark.parametrize(
    ("text", "likelihood", "silence", "wanted"),
    [
        (" a  quay ", -0.3, 0.1, Way("a quay", sure=True, likelihood=-0.3)),
        ("a quay", -1.2, 0.9, None),
        ("a quay", -0.9, 0.9, Way("a quay", sure=False, likelihood=-0.9)),
        ("a quay", -1.7, 0.1, None),
        ("...", -0.1, 0.0, None),
        ("you " * 9, -0.1, 0.0, None),
    ],
)
def test_what_is_believed(text, likelihood, silence, wanted):
    assert believed(text, likelihood, silence) == wanted


def test_unsure_words_share_the_code_with_their_sound():
    assert [Heard("a quay", sure).share for sure in (True, False)] == [1, SHARE]
    assert 0.5 < SHARE < 1  # words lead


@pytest.mark.parametrize(("text", "wanted"), [
    ("Boats in a harbor. Boats in a harbor. Boats in", "Boats in a harbor."),
    ("Boats in a harbor. Boats in a bay.", "Boats in a harbor. Boats in a bay."),
    ("a pier a pier a pier", "a pier a pier a pier"),  # two words: the decoder has lost its way
    ("one two three one", "one two three one"),
    ("", ""),
])  # fmt: skip
def test_a_sentence_that_goes_round_is_said_once(text, wanted):
    assert once(text) == wanted


def test_speech_of_three_seconds_is_heard_once(hear, tmp_path):
    (heard,) = hear([spoken("Show me boats that lie next to a harbor.", tmp_path)])
    assert heard is not None
    assert heard.text.lower().count("show me") == 1


def test_the_window_leaves_room():
    assert [window_of(round(seconds * RATE)) for seconds in (0.1, 7.5, 7.6, 14.5, 15, 60)] == [8, 8, 15, 15, 30, 30]


def test_without_its_packages_the_command_is_named(monkeypatch):
    monkeypatch.setattr(transcriber, "module_folder", lambda name: None)
    with pytest.raises(MissingExtraError, match=r"ctranslate2, .*: pip install dtbh$"):
        Transcriber()


def test_a_prompt_is_no_part_of_what_is_heard(hear, tmp_path):
    told = Transcriber(prompt="Ships at a pier, a lonely cottage, farmland.")
    wave = spoken("Many boats are docked in the harbor.", tmp_path)
    heard, plain = told([wave])[0], hear([wave])[0]
    assert heard is not None
    assert plain is not None
    assert {"boats", "harbor"} <= set(heard.text.lower().strip(".").split())
    assert "cottage" not in heard.text
    assert told([np.zeros(RATE, np.float32)]) == [None]
    tokens = told._tokenizer.encode(f" {told.prompt}", add_special_tokens=False).tokens
    assert told.prompt_tokens == tokens
    again = Transcriber(prompt=told.prompt, prompt_tokens=tokens)
    assert again([wave]) == told([wave])
    assert again.prompt_tokens == tokens
    assert "_tokenizer" not in vars(again), "it takes long to open, and nothing asks for it"


@pytest.mark.parametrize("tokens", [[], ["Ġa", "Ġcottage"], ["Ġa", "Ġpier", "."]])
def test_tokens_that_do_not_spell_the_prompt_are_not_taken(tokens):
    assert Transcriber(prompt="a pier", prompt_tokens=tokens).prompt_tokens == ["Ġa", "Ġpier"]
    assert Transcriber(prompt_tokens=tokens).prompt_tokens == []


@given(ids=st.lists(st.integers(0, 50362), max_size=20))
@settings(max_examples=200, deadline=None)
def test_tokens_spell_what_the_whole_tokenizer_says(hear, ids):
    tokens = [hear._tokenizer.id_to_token(id) for id in ids]
    assert transcriber._text(tokens) == hear._tokenizer.decode(ids)


def test_a_clip_can_be_understood_in_several_ways(hear, tmp_path):
    wave = spoken("a pitcher's mound", tmp_path)
    (heard,) = Transcriber(hypotheses=5)([wave])
    (one,) = hear([wave])
    assert heard is not None
    assert one is not None
    assert one.ways == ()
    assert (heard.text, heard.sure) == (one.text, one.sure) == heard.ways[0][:2]
    assert 2 <= len(heard.ways) <= 5
    likely = [way.likelihood for way in heard.ways]
    assert likely == sorted(likely, reverse=True)
    letters = ["".join(char for char in way.text.casefold() if char.isalnum()) for way in heard.ways]
    assert len({*letters}) == len(letters)
