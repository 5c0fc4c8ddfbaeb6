"""What phones and browsers record: files that PyAV and a real Chromium write, and what is wrong with some."""

from __future__ import annotations

import base64
import builtins
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from dtbh.data.checks import look_at_sound
from dtbh.errors import MediaError
from dtbh.media.containers import CONTAINER_TYPES, container_blocks, container_header, is_container
from dtbh.media.files import SOUND_TYPES
from dtbh.media.sound import Passage, load_sound
from tests.browser import Visit
from tests.recorded import HERTZ, RATE, SECONDS, record

SAFARI = {"movflags": "empty_moov+default_base_moof+skip_trailer", "frag_duration": "1000000"}
"""A recording is MP4 in pieces, without an index; one of Chromium is WebM without an index or a length."""

av = pytest.importorskip("av", reason="PyAV is not installed: pip install 'dtbh[av]'")


def pitch(samples: np.ndarray, rate: int) -> float:
    return float(np.abs(np.fft.rfft(samples)).argmax() * rate / len(samples))


@pytest.mark.parametrize(
    ("name", "settings"),
    [
        ("a.m4a", {"codec": "aac"}),
        ("a.3gp", {"codec": "aac", "channels": 1}),
        ("a.aac", {"codec": "aac", "container": "adts"}),
        ("a.webm", {"codec": "libopus"}),
        ("a.mka", {"codec": "libopus", "channels": 1}),
        ("video.mp4", {"codec": "aac", "video": True}),
    ],
)
def test_the_tone_is_heard(tmp_path: Path, name: str, settings: dict[str, Any]) -> None:
    path = record(tmp_path / name, **settings)
    assert is_container(path)
    assert path.suffix in CONTAINER_TYPES <= SOUND_TYPES
    samples = load_sound(path)
    assert pitch(samples, 16000) == pytest.approx(HERTZ, abs=2)
    assert len(samples) / 16000 == pytest.approx(SECONDS, abs=0.1)
    level = np.sqrt(2 * np.square(samples[4000:12000]).mean())  # of a tone; coders leave peaks beside it
    assert level == pytest.approx(0.4 / settings.get("channels", 2), rel=0.15)  # channels are averaged
    assert len(load_sound(path, max_seconds=0.5)) == 8000
    assert look_at_sound(path)[1] == ""
    rate, channels, _ = container_header(path)
    assert (rate, channels) == (RATE, settings.get("channels", 2))


@pytest.mark.parametrize(
    ("name", "settings"),
    [
        ("a.m4a", {"codec": "aac"}),
        ("a.aac", {"codec": "aac", "container": "adts"}),
        ("ios.mp4", {"codec": "aac", "options": SAFARI}),
        ("a.webm", {"codec": "libopus", "options": {"live": "1"}}),
        ("video.mp4", {"codec": "aac", "video": True}),
    ],
)
def test_a_passage_is_that_of_the_whole_and_little_else_is_decoded(
    tmp_path: Path, name: str, settings: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    seconds = np.arange(20 * RATE) / RATE
    sweep = (0.3 * np.sin(2 * np.pi * (200 + 40 * seconds) * seconds)).astype(np.float32)
    path = record(tmp_path / name, wave=sweep, **settings)
    whole = load_sound(path, sample_rate=RATE)
    decoded: list[int] = []
    real = av.AudioResampler.resample
    monkeypatch.setattr("av.AudioResampler", counting(decoded, av.AudioResampler, real))
    part = load_sound(Passage(path, 15.0, 2.0), sample_rate=RATE)
    assert len(part) == 2 * RATE
    late = 48 if "opus" in settings["codec"] else 0  # WebM counts whole milliseconds
    first = 15 * RATE - late
    np.testing.assert_allclose(part[2000:], whole[first + 2000 : first + 2 * RATE], atol=2e-3)
    assert 2 * RATE <= sum(decoded) < 2.5 * RATE
    with pytest.raises(MediaError, match="no passage from 30 s on in it"):
        load_sound(Passage(path, 30.0, 2.0))


def counting(decoded: list[int], kind: Any, real: Callable[..., Any]) -> Any:
    """A resampler that counts what goes through it."""

    class Counting:
        def __init__(self, **more: Any) -> None:
            self.own = kind(**more)

        def resample(self, frame: Any) -> Any:
            decoded.append(frame.samples if frame else 0)
            return real(self.own, frame)

    return Counting


def test_the_name_does_not_matter(tmp_path: Path) -> None:
    """An upload lies under a name of our own, and a phone's voice memo may be called .wav."""
    path = record(tmp_path / "a.webm", codec="libopus").rename(tmp_path / "memo.wav")
    assert pitch(load_sound(path), 16000) == pytest.approx(HERTZ, abs=2)
    soundfile.write(tmp_path / "b.wav", np.ones(2000) * 0.1, 16000)
    assert not is_container(tmp_path / "b.wav")
    assert not is_container(tmp_path / "missing.m4a")
    odd = tmp_path / os.fsdecode(b"caf\xe9.m4a")
    record(tmp_path / "a.m4a", codec="aac").rename(odd)
    assert len(load_sound(odd))


def test_what_is_no_sound_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = record(tmp_path / "a.m4a", codec="aac").read_bytes()
    (tmp_path / "cut.m4a").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(MediaError, match=r"cut.m4a: can't be read to its end"):
        load_sound(tmp_path / "cut.m4a")
    with av.open(str(tmp_path / "mute.mp4"), "w") as file:
        picture = file.add_stream("mpeg4", rate=10, width=32, height=32, pix_fmt="yuv420p")
        file.mux(picture.encode(av.VideoFrame.from_ndarray(np.zeros((32, 32, 3), np.uint8), "rgb24")))
        file.mux(picture.encode(None))
    with pytest.raises(MediaError, match=r"mute.mp4: has no sound track"):
        load_sound(tmp_path / "mute.mp4")
    real = builtins.__import__

    def without_av(name: str, *rest: Any, **more: Any) -> Any:
        if name == "av":
            raise ModuleNotFoundError(name="av")
        return real(name, *rest, **more)

    monkeypatch.setattr(builtins, "__import__", without_av)
    with pytest.raises(MediaError, match=r"a.m4a: in a format of phones and browsers.*pip install 'dtbh\[av\]'"):
        list(container_blocks(tmp_path / "a.m4a"))


RECORDING = """
async () => {
  const sound = new AudioContext(), tone = sound.createOscillator(), out = sound.createMediaStreamDestination();
  tone.frequency.value = 440;
  tone.connect(out);
  tone.start();
  const recorder = new MediaRecorder(out.stream), parts = [];
  recorder.ondataavailable = (event) => parts.push(event.data);
  const done = new Promise((resolve) => (recorder.onstop = resolve));
  recorder.start();
  await new Promise((resolve) => setTimeout(resolve, 1500));
  recorder.stop();
  await done;
  const bytes = new Uint8Array(await new Blob(parts).arrayBuffer());
  return [recorder.mimeType, btoa(bytes.reduce((text, byte) => text + String.fromCharCode(byte), ""))];
}
"""


def test_what_chromium_records_is_heard(tmp_path: Path, visit: Callable[..., Visit]) -> None:
    (tmp_path / "page.html").write_text("<!doctype html><title>recorder</title>")
    kind, data = visit((tmp_path / "page.html").as_uri()).page.evaluate(RECORDING)
    assert kind.startswith("audio/webm")
    path = tmp_path / "recorded"
    path.write_bytes(base64.b64decode(data))
    samples = load_sound(path)
    assert len(samples) > 8000
    assert pitch(samples[len(samples) // 4 :], 16000) == pytest.approx(HERTZ, abs=3)


def test_a_stream_whose_channels_change_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = record(tmp_path / "a.m4a", codec="aac")
    changing = [(16000, np.ones((500, channels), np.float32)) for channels in (1, 1, 3)]
    monkeypatch.setattr("dtbh.media.sound.container_blocks", lambda *_: iter(changing))
    with pytest.raises(MediaError, match=r"a.m4a: recordings of several rates or channels in a row"):
        load_sound(path)
