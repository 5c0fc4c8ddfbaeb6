from __future__ import annotations

import fcntl
import hashlib
import os
import re
import signal
import subprocess
import sys
import time
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile

from dtbh.data.manifest import NAME, Item, Manifest, read_manifest, write_manifest
from dtbh.data.paraphrases import original
from dtbh.data.speech import synthesis
from dtbh.data.speech.clips import PEAK, SAMPLE_RATE, finish, pack
from dtbh.data.speech.engines import Samples, Voice
from dtbh.data.speech.synthesis import SHARD_SIZE, cut
from dtbh.errors import ConfigError, DataError, DtbhError
from dtbh.stages.speak import speak, utterance

ROOT = Path(__file__).resolve().parents[2]
WORDS = ("many boats in a harbor", "two tennis courts", "a river and some trees", "there is a beach")


def sine(text: str, voice: str, rate: int, pitch: int) -> tuple[Samples, int]:
    """A fake engine: the voice is the pitch, the text the length."""
    if text == "nothing":
        return np.zeros(100, np.float32), 8000
    if text == "break":
        raise ValueError("no such phoneme")
    if text == "die":
        os._exit(7)
    if text.startswith("slowly"):
        time.sleep(0.05)
    length = 800 + 60 * len(text) + rate
    return np.sin(np.arange(length) * (0.1 + len(voice) / 50 + pitch / 1000)).astype(np.float32), 8000


def folder(path: Path, texts: list[str]) -> Path:
    items = [Item("picture", "image", "p.jpg", label="a")]
    items += [
        Item(f"s/{n}", "sound", label="ab"[n % 2], pair="picture", transcript=text) for n, text in enumerate(texts)
    ]
    write_manifest(Manifest(tuple(items), path, "table", {"kept": 1}))
    return path


def sentences(count: int) -> list[str]:
    return [f"{WORDS[n % len(WORDS)]} {n}" for n in range(count)]


def clips(path: Path) -> dict[str, str]:
    files = (file for file in (path / "sounds").rglob("*") if file.is_file())
    return {file.relative_to(path).as_posix(): hashlib.sha256(file.read_bytes()).hexdigest() for file in files}


def test_speaks_what_has_no_file_and_keeps_recordings(tmp_path: Path) -> None:
    data = folder(tmp_path, sentences(5))
    manifest = read_manifest(data)
    recorded = Item("rec", "sound", "sounds/mine.wav", speaker="Ann", transcript="spoken by Ann")
    write_manifest(manifest.replaced([*manifest, recorded]))
    spoken = speak(data, engine=sine, voices=["low", "higher"], workers=1)
    assert spoken == read_manifest(data)
    assert spoken.items[-1] == recorded
    assert spoken.items[0].path == "p.jpg"
    assert spoken.settings["kept"] == 1
    for item in spoken.sounds[:-1]:
        assert item.speaker in {"sine/low", "sine/higher"}
        info = soundfile.info(spoken.file(item))
        assert (info.samplerate, info.channels, info.format) == (SAMPLE_RATE, 1, "FLAC")
        samples, _ = soundfile.read(spoken.file(item))
        assert np.abs(samples).max() == pytest.approx(PEAK, abs=0.01)


def test_nothing_to_do_does_nothing_and_says_so(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    data = folder(tmp_path, sentences(3))
    first = speak(data, engine=sine, voices=["low"], workers=1)
    before = {path: path.stat().st_mtime_ns for path in data.rglob("*")}
    capfd.readouterr()
    assert speak(data, engine=sine, voices=["low"], workers=1) == first
    assert "nothing to speak" in capfd.readouterr().err
    assert {path: path.stat().st_mtime_ns for path in data.rglob("*")} == before


@pytest.mark.parametrize("suffix", ["flac", "opus"])
def test_two_folders_are_the_same_to_the_bit(tmp_path: Path, suffix: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(synthesis, "SHARD_SIZE", 4)
    one, two = folder(tmp_path / "1", sentences(10)), folder(tmp_path / "2", sentences(10))
    speak(one, engine=sine, voices=["low", "higher"], suffix=suffix, workers=1)
    speak(two, engine=sine, voices=["low", "higher"], suffix=suffix, workers=2)
    assert clips(one) == clips(two)
    assert len(clips(one)) == 10
    assert (one / NAME).read_bytes() == (two / NAME).read_bytes()


def test_other_settings_speak_again_and_leave_nothing_old(tmp_path: Path) -> None:
    data = folder(tmp_path, sentences(6))
    speak(data, engine=sine, voices=["low", "higher"], workers=1)
    before = clips(data)
    speak(data, engine=sine, voices=["low", "higher"], workers=1, seed=1)
    after = clips(data)
    assert len(after) == 6
    assert not set(before) & set(after)
    spoken = speak(data, engine=sine, voices=["low"], suffix="opus", workers=1)
    assert all(item.path and item.path.endswith(".opus") for item in spoken.sounds)
    assert len(clips(data)) == 6


def test_paraphrases_are_spoken_beside_the_captions_and_go_again(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(synthesis, "SHARD_SIZE", 4)
    data = folder(tmp_path, [f"There is {text} in the middle of a field" for text in sentences(8)])
    plain = speak(data, engine=sine, voices=["low", "higher"], workers=1)
    before = clips(data)
    whole = speak(data, engine=sine, voices=["low", "higher"], workers=1, paraphrases=2)
    added = [item for item in whole.sounds if original(item)]
    assert len(whole.sounds) - len(added) == 8 < len(added)
    assert all(whole.file(item).is_file() and item.speaker in {"sine/low", "sine/higher"} for item in added)
    assert before.items() <= clips(data).items(), "the captions' own clips are not spoken again"
    capfd.readouterr()
    assert speak(data, engine=sine, voices=["low", "higher"], workers=1, paraphrases=2) == whole
    assert "nothing to speak" in capfd.readouterr().err
    assert speak(data, engine=sine, voices=["low", "higher"], workers=1) == plain
    assert clips(data) == before


def test_a_lost_clip_is_spoken_again(tmp_path: Path) -> None:
    data = folder(tmp_path, sentences(4))
    spoken = speak(data, engine=sine, voices=["low"], workers=1)
    before = clips(data)
    spoken.file(spoken.sounds[2]).unlink()
    speak(data, engine=sine, voices=["low"], workers=1)
    assert clips(data) == before


def test_draws_hang_on_the_seed_and_the_names_alone() -> None:
    voices = [Voice("sine", f"v{n}") for n in range(10)]
    item = Item("x", "sound", transcript="hello")
    assert utterance(item, voices, 0) == utterance(replace(item, label="b", split="test"), voices, 0)
    assert utterance(item, voices, 0) != utterance(item, voices, 1)


@pytest.mark.parametrize("paired", [True, False])
def test_voices_are_used_evenly_in_every_class(paired: bool) -> None:
    voices = [Voice("sine", f"v{n}") for n in range(40)]
    items = [
        Item(f"s{n}", "sound", label=f"c{n // 1000}", pair=f"p{n // 5}" if paired else None, transcript="x")
        for n in range(10_000)
    ]
    drawn = [utterance(item, voices, 0) for item in items]
    counts = Counter(one.voice for one in drawn)
    assert len(counts) == 40
    assert min(counts.values()) > 170
    assert max(counts.values()) < 330
    for start in range(0, 10_000, 1000):
        assert len({one.voice for one in drawn[start : start + 1000]}) == 40
    assert {one.rate for one in drawn} == set(range(130, 211))
    assert {one.pitch for one in drawn} == set(range(35, 66))


def test_the_sounds_of_a_pair_keep_to_one_group_of_voices() -> None:
    voices = [Voice("sine", f"v{n}") for n in range(40)]
    groups = {voice: n % 10 for n, voice in enumerate(voices)}
    spoken = {
        pair: {groups[utterance(Item(f"{pair}S{k}", "sound", pair=f"{pair}"), voices, 0).voice] for k in range(20)}
        for pair in range(200)
    }
    assert all(len(own) == 1 for own in spoken.values())
    assert set().union(*spoken.values()) == set(range(10))
    assert len({utterance(Item(f"0S{k}", "sound", pair="0"), voices, 0).voice for k in range(40)}) == 4


def test_shards_hold_all_in_order_and_their_names_tell_the_content() -> None:
    said = [utterance(Item(f"s{n}", "sound", transcript="x"), [Voice("e", "v")], 0) for n in range(2 * SHARD_SIZE + 1)]
    parts = cut(said, "flac")
    assert [one for part in parts for one in part.utterances] == said
    assert [len(part.files) for part in parts] == [SHARD_SIZE, SHARD_SIZE, 1]
    assert cut([replace(said[0], text="y")], "flac")[0].name != cut(said[:1], "flac")[0].name
    assert cut(said[:1], "opus")[0].name != cut(said[:1], "flac")[0].name


def test_all_empty_transcripts_are_listed(tmp_path: Path) -> None:
    data = folder(tmp_path, ["fine", "", " . ", "fine too"])
    with pytest.raises(DataError, match="2 sounds have no file and no words") as error:
        speak(data, engine=sine, voices=["low"])
    assert error.value.problems == (
        "sound s/1: its transcript is empty", "sound s/2: its transcript is empty",
    )  # fmt: skip
    assert not clips(data)


@pytest.mark.parametrize(
    ("text", "match"),
    [
        ("nothing", "sound s/1, voice sine/low: the engine gave silence"),
        ("break", "sound s/1, voice sine/low: .*no such phoneme"),
        ("die", "ended with code 7"),
    ],
)
def test_an_engine_that_fails_leaves_the_manifest(tmp_path: Path, text: str, match: str) -> None:
    data = folder(tmp_path, ["fine", text])
    before = (data / NAME).read_bytes()
    with pytest.raises(DtbhError, match=match):
        speak(data, engine=sine, voices=["low"], workers=1)
    assert (data / NAME).read_bytes() == before
    if text != "die":
        assert not clips(data)
    with pytest.raises(DtbhError, match=match):
        speak(data, engine=sine, voices=["low"], workers=1)


def test_a_second_process_is_refused(tmp_path: Path) -> None:
    data = folder(tmp_path, sentences(2))
    (data / "sounds").mkdir()
    handle = os.open(data / "sounds", os.O_RDONLY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        with pytest.raises(DtbhError, match="another process is speaking here"):
            speak(data, engine=sine, voices=["low"], workers=1)
    finally:
        os.close(handle)
    speak(data, engine=sine, voices=["low"], workers=1)


SCRIPT = """
import resource, signal, sys
from dtbh.data.speech import synthesis
from dtbh.stages.speak import speak
from tests.stages.test_speak import sine
if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.default_int_handler)  # ignored where a shell started it in the background
    synthesis.SHARD_SIZE = 6
    if len(sys.argv) > 2:
        resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[2]),) * 2)
    speak(sys.argv[1], engine=sine, voices=["low", "higher"], workers=2)
"""


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGINT])
def test_goes_on_where_it_was_stopped(tmp_path: Path, how: signal.Signals, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(synthesis, "SHARD_SIZE", 6)
    texts = [f"slowly {n}" for n in range(60)]
    data, whole = folder(tmp_path / "cut", texts), folder(tmp_path / "whole", texts)
    script = tmp_path / "script.py"
    script.write_text(SCRIPT)
    with subprocess.Popen(
        [sys.executable, str(script), str(data)],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stderr=subprocess.PIPE,
    ) as process:
        while process.poll() is None and not list((data / "sounds").glob("0*")):
            time.sleep(0.01)
        process.send_signal(how)
        _, said = process.communicate()
    done = clips(data)
    kept = {path: (data / path).stat().st_mtime_ns for path in done if path.startswith("sounds/0")}
    assert 6 <= len(kept) < 60, said
    assert len(kept) % 6 == 0
    if how == signal.SIGINT:
        assert set(done) == set(kept)
    assert all(item.path is None for item in read_manifest(data).sounds)
    time.sleep(0.3)  # workers of a killed process see it within one clip
    speak(data, engine=sine, voices=["low", "higher"], workers=2)
    speak(whole, engine=sine, voices=["low", "higher"], workers=2)
    assert clips(data) == clips(whole)
    assert (data / NAME).read_bytes() == (whole / NAME).read_bytes()
    assert {path: (data / path).stat().st_mtime_ns for path in kept} == kept


def test_a_full_disk_is_one_error(tmp_path: Path) -> None:
    """A limit on file sizes stands in for the disk: the system refuses the write in the same way."""
    data = folder(tmp_path / "data", sentences(2))
    before = (data / NAME).read_bytes()
    script = tmp_path / "script.py"
    script.write_text(SCRIPT)
    done = subprocess.run(
        [sys.executable, str(script), str(data), "600"],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert re.search(r"DtbhError: .*0000-\w+: can't be written \(File too large\); nothing was changed", done.stderr)
    assert (data / NAME).read_bytes() == before
    assert not list((data / "sounds").iterdir())


@pytest.mark.parametrize(
    ("arguments", "match"),
    [
        ({"engine": "siri"}, "no speech engine 'siri'; there are espeak"),
        ({"engine": sine}, "name the voices of sine"),
        ({"engine": sine, "voices": []}, "a list of different names is wanted"),
        ({"engine": sine, "voices": ["a", "a"]}, "a list of different names is wanted"),
        ({"engine": sine, "voices": ["a"], "suffix": "mp3"}, "flac or opus is wanted, found 'mp3'"),
        ({"engine": sine, "voices": ["a"], "workers": 0}, "workers: at least 1"),
        ({"engine": lambda *_: None, "voices": ["a"]}, "top level of a module"),
    ],
)
def test_wrong_arguments(tmp_path: Path, arguments: dict[str, object], match: str) -> None:
    data = folder(tmp_path, sentences(1))
    with pytest.raises(ConfigError, match=match):
        speak(data, **arguments)  # type: ignore[arg-type]
    assert not (data / "sounds").exists()


def test_no_manifest_makes_no_folder(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no manifest here"):
        speak(tmp_path, engine=sine, voices=["low"])
    assert not list(tmp_path.iterdir())


def test_finish_cuts_silence_and_sets_the_level() -> None:
    rate = 8000
    tone = 0.01 * np.sin(np.arange(rate) * 0.3).astype(np.float32)
    quiet = np.zeros(rate, np.float32)
    done = finish(np.concatenate([quiet, tone, quiet]), rate)
    assert done.dtype == np.float32
    assert len(done) / SAMPLE_RATE == pytest.approx(1.1, abs=0.02)
    assert np.abs(done).max() == pytest.approx(PEAK, abs=1e-4)
    assert len(finish(quiet, rate)) == 0
    assert len(finish(quiet[:0], rate)) == 0


def test_opus_has_valid_pages(tmp_path: Path) -> None:
    """libsndfile drops a page with a wrong checksum, so what can be read back whole was summed rightly."""
    samples = finish(np.sin(np.arange(30_000) * 0.1).astype(np.float32), 16000)
    path = tmp_path / "clip.opus"
    path.write_bytes(pack(samples, "opus"))
    back, rate = soundfile.read(path)
    assert (rate, len(back)) == (SAMPLE_RATE, len(samples))
    assert np.corrcoef(back[2000:-2000], samples[2000:-2000])[0, 1] > 0.95


def test_workers_do_not_import_torch() -> None:
    code = "import sys, dtbh.stages.speak, dtbh.data.synthetic.generate; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=False).returncode == 0
