"""Where somebody speaks, and which part of a recording is heard."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st

from dtbh.data.manifest import Item
from dtbh.data.passages import cut_recording, heard_part, sound_of
from dtbh.errors import MediaError
from dtbh.media.sound import Passage, load_sound, one_channel
from dtbh.media.speech import Phrase, Speech, best_passage, find_speech, noise_floor, passages, phrases
from tests.reference import speech_levels as plain

RATE = 8000


def talk(seconds: float, seed: int = 0, level: float = 0.2) -> np.ndarray:
    """Syllables of a voice: a buzz of harmonics, loud and soft four times a second."""
    t = np.arange(round(seconds * RATE)) / RATE
    pitch = 110 + 10 * seed
    voice = sum(np.sin(2 * np.pi * pitch * k * t + seed) / k for k in range(1, 20))
    return (level * voice / 3 * (0.02 + np.sin(2 * np.pi * 2 * t) ** 2)).astype(np.float32)


def quiet(seconds: float, level: float = 1e-3) -> np.ndarray:
    return (level * np.random.default_rng(7).standard_normal(round(seconds * RATE))).astype(np.float32)


def written(path: Path, *parts: np.ndarray) -> Path:
    soundfile.write(path, np.concatenate(parts), RATE)
    return path


def test_levels_floor_and_phrases_are_those_of_plain_loops(tmp_path: Path) -> None:
    wave = np.concatenate([quiet(0.4), talk(0.5), quiet(0.6), talk(0.3, 1), quiet(0.3)])
    soundfile.write(tmp_path / "a.wav", np.stack([wave, -0.1 * wave], axis=1), RATE, subtype="FLOAT")
    speech = find_speech(tmp_path / "a.wav")
    length = RATE // 50
    frames = [wave[first : first + length].tolist() for first in range(0, len(wave) - length + 1, length)]
    levels = plain.smoothed([plain.level(frame, RATE) for frame in frames])
    over = [max(0.0, x - floor) for x, floor in zip(levels, plain.floors(levels, 50), strict=True)]
    np.testing.assert_allclose(speech.over, over, atol=1e-3)
    assert [(phrase.first, phrase.end) for phrase in speech.phrases] == plain.phrases(over, 0.02)
    assert len(speech.phrases) == 2
    assert speech.seconds == pytest.approx(2.1)


@settings(max_examples=50, deadline=None)
@given(st.lists(st.floats(-120, 0), min_size=1, max_size=400), st.sampled_from([0.02, 0.1]))
def test_floor_and_phrases_of_any_levels_are_those_of_plain_loops(levels: list[float], step: float) -> None:
    floor = noise_floor(np.array(levels), step)
    np.testing.assert_allclose(floor, plain.floors(levels, round(1 / step)), atol=1e-9)
    over = np.maximum(np.array(levels) - floor, 0).astype(np.float32)
    found = [(phrase.first, phrase.end) for phrase in phrases(over, step)]
    assert found == plain.phrases(over.tolist(), step)


drawn = st.lists(st.tuples(st.integers(1, 60), st.integers(1, 900), st.floats(7, 60)), min_size=0, max_size=8)


@settings(max_examples=100, deadline=None)
@given(drawn, st.floats(0.5, 10))
def test_passages_fit_and_leave_out_no_speech(parts: list[tuple[int, int, float]], longest: float) -> None:
    over = np.concatenate(
        [np.zeros(3), *(np.r_[np.zeros(25 + a), np.full(6 + b, c)] for a, b, c in parts), np.zeros(9)]
    )
    speech = Speech(len(over) * 0.02, 0.02, over.astype(np.float32), phrases(over.astype(np.float32), 0.02))
    assert len(speech.phrases) == len(parts)
    covered = np.zeros(len(over), bool)
    for part in passages(Path("a.wav"), speech, longest):
        assert 0 < part.seconds <= longest + 1e-3
        assert 0 <= part.start < part.start + part.seconds <= speech.seconds + 1e-3
        covered[round(part.start / 0.02) : round((part.start + part.seconds) / 0.02)] = True
    assert covered[over > 0].all()
    best = best_passage(Path("a.wav"), speech, longest)
    if best is not None:
        assert 0 < best.seconds <= longest + 1e-3
        assert over[round(best.start / 0.02) : round((best.start + best.seconds) / 0.02)].any()
    if not parts:
        assert best is None


def test_a_short_clip_is_heard_as_it_is(tmp_path: Path) -> None:
    path = written(tmp_path / "a.wav", quiet(0.4), talk(3), quiet(0.4))
    item = Item("a", "sound", str(path))
    assert heard_part(item, 8.0) == (item, "")
    tone = written(tmp_path / "b.wav", np.sin(np.arange(3 * RATE) / 3))  # nobody speaks, and it is heard all the same
    assert heard_part(Item("b", "sound", str(tone)), 8.0)[0].window is None


@pytest.mark.parametrize("noise", [0.0, 2e-3])
def test_words_after_silence_are_heard(tmp_path: Path, noise: float) -> None:
    path = written(tmp_path / "a.wav", quiet(5, noise), talk(3) + quiet(3, noise), quiet(2, noise))
    item, said = heard_part(Item("a", "sound", str(path)), 4.0)
    start, seconds = item.window
    assert start == pytest.approx(4.8, abs=0.1)
    assert start + seconds == pytest.approx(8.2, abs=0.1)
    assert said == f"{start:.1f} to {start + seconds:.1f} s of 10.0 s used"
    heard = load_sound(sound_of(item), sample_rate=RATE, max_seconds=4.0)
    whole = load_sound(path, sample_rate=RATE)
    assert (heard == whole[round(start * RATE) :][: len(heard)]).all()
    assert heard_part(item, 4.0) == (item, "")  # a passage stays as it is


def test_of_several_sentences_the_fullest_part_is_heard(tmp_path: Path) -> None:
    path = written(tmp_path / "a.wav", quiet(1), talk(1), quiet(6), talk(3), quiet(0.8), talk(2, 1), quiet(9), talk(2))
    item, said = heard_part(Item("a", "sound", str(path)), 6.5)
    assert item.window == pytest.approx((7.8, 6.2), abs=0.1)
    assert said.endswith("of 24.8 s used")


def test_a_long_sentence_that_begins_at_once_is_heard_from_its_start_as_before(tmp_path: Path) -> None:
    path = written(tmp_path / "a.wav", talk(9), quiet(0.2))
    item, said = heard_part(Item("a", "sound", str(path)), 8.0)
    assert (item.window, said) == (None, "0.0 to 8.0 s of 9.2 s used")


def test_where_noise_hides_the_end_all_is_heard(tmp_path: Path) -> None:
    voice = talk(3) + quiet(3, 0.01)
    path = written(tmp_path / "a.wav", quiet(5, 0.01), voice, quiet(4, 0.01))
    item, _ = heard_part(Item("a", "sound", str(path)), 6.0)
    assert item.window == pytest.approx((4.9, 6.0), abs=0.3)


def test_what_is_too_long_to_be_sent_is_refused_before_it_is_read_whole(tmp_path: Path) -> None:
    path = written(tmp_path / "a.wav", quiet(90))
    with pytest.raises(MediaError, match=r"a.wav: over 60 s long, at most 60 s wanted; cut it"):
        heard_part(Item("a", "sound", str(path)), 8.0, within=60)


def test_a_recording_is_cut_at_its_pauses(tmp_path: Path) -> None:
    path = written(tmp_path / "day.wav", quiet(20), talk(3), quiet(1), talk(3, 1), quiet(30), talk(11, 2), quiet(2))
    items = cut_recording(path, "day.wav", 8.0)
    starts, lengths = zip(*(item.window for item in items), strict=True)
    assert starts[0] == pytest.approx(19.8, abs=0.1)
    assert lengths[0] == pytest.approx(7.4, abs=0.1)  # both sentences
    assert starts[1] == pytest.approx(56.8, abs=0.1)
    assert len(items) == 3
    assert sum(lengths[1:]) == pytest.approx(11.8, abs=0.3)
    assert [item.id for item in items] == [f"day.wav@{start:g}" for start in starts]
    assert {item.fields["recording"] for item in items} == {"day.wav"}
    assert cut_recording(written(tmp_path / "a.wav", talk(3)), "a.wav", 8.0)[0].window is None
    assert cut_recording(written(tmp_path / "b.wav", quiet(20)), "b.wav", 8.0) == []


def test_a_passage_cut_short_or_beyond_the_end_is_told(tmp_path: Path) -> None:
    path = written(tmp_path / "a.wav", talk(3))
    assert len(load_sound(Passage(path, 2.5, 8.0), sample_rate=RATE)) == RATE // 2
    with pytest.raises(MediaError, match=r"a.wav: no passage from 3 s on in it"):
        load_sound(Passage(path, 3.0, 1.0))
    path = written(tmp_path / "b.wav", quiet(9, 0), talk(1))
    with pytest.raises(MediaError, match=r"b.wav: silent from 0 s on for 8 s \(all samples are zero\)"):
        load_sound(path, max_seconds=8.0)


def test_channels_do_not_cancel_and_an_offset_is_taken_off() -> None:
    wave = talk(1)[:, None]
    other = talk(1, 3)[:, None]
    assert (one_channel(wave) == wave[:, 0]).all()
    assert (one_channel(np.hstack([wave, other])) == np.hstack([wave, other]).mean(axis=1)).all()
    assert (one_channel(np.hstack([wave, 0 * wave])) == wave[:, 0] / 2).all()
    assert (one_channel(np.hstack([wave, -wave])) == wave[:, 0]).all()
    assert (one_channel(np.hstack([0.5 * wave, -wave])) == -wave[:, 0]).all()
    np.testing.assert_allclose(one_channel(wave + np.float32(0.3)), wave[:, 0] - wave.mean(), atol=1e-6)
    assert not one_channel(np.full((100, 2), 0.25, np.float32)).any()


def test_what_is_no_number_is_left_to_whoever_reads_it(tmp_path: Path) -> None:
    wave = np.concatenate([quiet(3), talk(1)])
    wave[[5, 9, 20]] = np.inf, np.nan, 1e38
    soundfile.write(tmp_path / "a.wav", wave, RATE, subtype="FLOAT")
    assert np.isfinite(find_speech(tmp_path / "a.wav").over).all()
    with pytest.raises(MediaError, match="NaN or infinity"):
        load_sound(tmp_path / "a.wav")


def test_phrases_are_named_by_their_frames() -> None:
    assert phrases(np.array([0, 9, 9, 9, 9, 9, 9, 9, 0, 0], np.float32), 0.02) == (Phrase(1, 8),)
    assert phrases(np.array([0, 9, 9, 0, 0, 0, 0, 0, 0, 0], np.float32), 0.02) == ()  # a click
