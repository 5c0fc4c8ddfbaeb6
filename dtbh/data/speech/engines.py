"""The engines that speak: one function each, a text in a voice to samples.

A further engine is one function and one line in ``ENGINES`` and in ``VOICES``, or a function of one's own given to
``dtbh.stages.speak.speak``.
"""

from __future__ import annotations

import ctypes
import importlib.util
import shutil
import subprocess
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dtbh.errors import ConfigError, DtbhError, MediaError, MissingExtraError

Samples = NDArray[np.float32]
Engine = Callable[[str, str, int, int], tuple[Samples, int]]
"""``(text, voice name, rate, pitch) -> (samples, sample rate)``: the rate in words per minute (130 to 210
here), the pitch from 0 to 99 with 50 for the voice's own; samples float32, mono, about [-1, 1]; the sample
rate in Hz. An engine raises ``MediaError`` where it can't speak."""

NEUTRAL_RATE = 170
NEUTRAL_PITCH = 50


@dataclass(frozen=True, slots=True)
class Voice:
    """One speaker.

    Attributes:
        engine: A name of ``ENGINES``, or that of an engine of one's own.
        name: The engine's own name of the voice.
    """

    engine: str
    name: str

    def __post_init__(self) -> None:
        if not self.engine or not self.name:
            raise ConfigError(f"a voice needs an engine and a name, found {self.engine!r} and {self.name!r}")

    @property
    def speaker(self) -> str:
        """How the manifest names the speaker: ``"espeak/en-us+f3"``."""
        return f"{self.engine}/{self.name}"


# An accent and, after the plus, a timbre. No timbre stands twice, so that a voice held back for testing is
# new in more than its accent. Whispers, robots and jokes are left out, and so is every timbre whose mean
# spectrum and pitch lie within 3.3 dB of another's (1 semitone as 0.5 dB; one voice's own sentences differ
# by 1.9 dB). Women and men are mixed, so that the first n are a fair choice for any n.
ESPEAK_VOICES = (
    "en-us", "en-029+f3", "en+m7", "en-gb-scotland+david", "en-us-nyc+anika", "en-gb-x-gbcwmd+klatt2",
    "en-gb-x-rp+Marco", "en-gb-x-gbclan+Andrea", "en-us+m8", "en-029+Nguyen", "en+linda",
    "en-gb-scotland+klatt3", "en-us-nyc+michel", "en-gb-x-gbcwmd+f1", "en-gb-x-rp+Gene2",
    "en-gb-x-gbclan+ed", "en-us+steph", "en-029+sandro", "en+adam", "en-gb-scotland+Annie",
    "en-us-nyc+antonio", "en-gb-x-gbcwmd+gustave", "en-gb-x-rp+f2", "en-gb-x-gbclan+Denis", "en-us+rob",
    "en-029+belinda", "en+m4", "en-gb-scotland+pablo", "en-us-nyc+Alicia", "en-gb-x-gbcwmd+Hugo",
    "en-gb-x-rp+marcelo", "en-gb-x-gbclan+f5", "en-us+paul", "en-029+boris", "en+shelby",
    "en-gb-scotland+iven2", "en-us-nyc+Michael", "en-gb-x-gbcwmd+f4", "en-gb-x-rp+edward", "en-us+grandma",
    "en-029+quincy", "en-gb-scotland+max", "en-us-nyc+norbert", "en-gb-x-rp+grandpa",
)  # fmt: skip
# Mean pitch in Hz at NEUTRAL_PITCH. kal is flite's 8 kHz voice, and rms speaks at its own pitch always.
FLITE_PITCH = {"slt": 170.0, "rms": 97.0, "awb": 130.0, "kal": 95.0}


def espeak(text: str, voice: str, rate: int, pitch: int) -> tuple[Samples, int]:
    """Speak with the espeak-ng library that ``espeakng-loader`` brings (the ``speech`` extra).

    Two calls in one process differ by a few samples, for the library carries some state on; the same calls
    in the same order in fresh processes give the same samples.

    Raises:
        MissingExtraError: espeakng-loader is not installed.
        MediaError: The library doesn't have this voice, or refuses the text.
    """
    library, chunks, sample_rate = _espeak_library()
    chunks.clear()
    if not _espeak_has(voice) or library.espeak_SetVoiceByName(voice.encode()) != 0:
        raise MediaError(f"espeak has no voice {voice!r}; the known ones are in dtbh.data.speech.engines")
    library.espeak_ng_SetRandSeed(1)  # breath would be seeded from the clock otherwise
    library.espeak_SetParameter(1, rate, 0)
    library.espeak_SetParameter(3, pitch, 0)
    data = text.encode()
    status = library.espeak_Synth(data, len(data) + 1, 0, 1, 0, 1, None, None)
    if status != 0:
        raise MediaError(f"espeak refused the text with status {status}")
    return _floats(np.concatenate(chunks) if chunks else np.zeros(0, np.int16)), sample_rate


def espeak_ng(text: str, voice: str, rate: int, pitch: int) -> tuple[Samples, int]:
    """Speak with the system's ``espeak-ng`` program.

    Raises:
        DtbhError: There is no such program.
        MediaError: It fails, for instance because it doesn't have this voice.
    """
    command = [_program("espeak-ng"), "-v", voice, "-s", str(rate), "-p", str(pitch), "--stdin", "--stdout"]
    wav = _run(command, text)
    # A piped WAV can't know its length: 44 bytes of header, the sample rate in bytes 24 to 28, then samples.
    if len(wav) < 44:
        return np.zeros(0, np.float32), 22050
    return _floats(np.frombuffer(wav[44 : len(wav) // 2 * 2], "<i2")), int.from_bytes(wav[24:28], "little")


def flite(text: str, voice: str, rate: int, pitch: int) -> tuple[Samples, int]:
    """Speak with the system's ``flite`` program; the voices are those of ``flite -lv``.

    Raises:
        DtbhError: There is no such program.
        MediaError: It fails, for instance because it doesn't have this voice.
    """
    import soundfile

    if voice not in _flite_voices():
        raise MediaError(f"flite has no voice {voice!r}; it has {', '.join(_flite_voices())}")
    options = ["-voice", voice, "--setf", f"duration_stretch={NEUTRAL_RATE / rate:.3f}"]
    if voice in FLITE_PITCH:
        mean = FLITE_PITCH[voice] * 2 ** ((pitch - NEUTRAL_PITCH) / 100)
        options += ["--setf", f"int_f0_target_mean={mean:.1f}"]
    with tempfile.TemporaryDirectory() as folder:
        source, target = Path(folder) / "text", Path(folder) / "clip.wav"
        source.write_text(text, encoding="utf-8")
        _run([_program("flite"), *options, "-f", str(source), "-o", str(target)], "")
        if not target.exists() or target.stat().st_size <= 44:
            return np.zeros(0, np.float32), 16000
        samples, sample_rate = soundfile.read(target, dtype="float32")
    return samples, int(sample_rate)


ENGINES: dict[str, Engine] = {"espeak": espeak, "espeak-ng": espeak_ng, "flite": flite}
VOICES: dict[str, tuple[str, ...]] = {
    "espeak": ESPEAK_VOICES,
    "espeak-ng": ESPEAK_VOICES,
    "flite": tuple(FLITE_PITCH),
}


def check_engine(name: str) -> None:
    """Whether an engine of ``ENGINES`` can speak here.

    Raises:
        ConfigError: No such engine.
        MissingExtraError: Its package is not installed.
        DtbhError: Its program is not installed.
    """
    if name not in ENGINES:
        raise ConfigError(f"no speech engine {name!r}; there are {', '.join(ENGINES)}")
    if name != "espeak":
        _program(name)
    elif importlib.util.find_spec("espeakng_loader") is None:
        raise MissingExtraError("espeakng-loader", "speech", "speaking with espeak")


@cache
def _espeak_library() -> tuple[Any, list[NDArray[np.int16]], int]:
    """The library started once a process, the list its samples go to, and its sample rate."""
    check_engine("espeak")
    import espeakng_loader

    library: Any = ctypes.CDLL(espeakng_loader.get_library_path())
    sample_rate = library.espeak_Initialize(2, 0, espeakng_loader.get_data_path().encode(), 0)
    if sample_rate <= 0:
        raise DtbhError("espeak can't start: reinstall it with: pip install --force-reinstall espeakng-loader")
    chunks: list[NDArray[np.int16]] = []

    def keep(samples: Any, count: int, _events: Any) -> int:
        if samples and count > 0:
            chunks.append(np.ctypeslib.as_array(samples, (count,)).copy())
        return 0

    kind = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.POINTER(ctypes.c_short), ctypes.c_int, ctypes.c_void_p)
    library.keep_alive = kind(keep)
    library.espeak_SetSynthCallback(library.keep_alive)
    return library, chunks, sample_rate


@cache
def _espeak_has(voice: str) -> bool:
    """Whether the timbre after the plus exists; the library itself would speak on without it."""
    import espeakng_loader

    _, plus, timbre = voice.partition("+")
    return not plus or (Path(espeakng_loader.get_data_path()) / "voices" / "!v" / timbre).is_file()


@cache
def _flite_voices() -> tuple[str, ...]:
    answer = _run([_program("flite"), "-lv"], "").decode(errors="replace")
    return tuple(answer.partition(":")[2].split())


@cache
def _program(name: str) -> str:
    found = shutil.which(name)
    if found is None:
        raise DtbhError(f"{name}: no such program on PATH; install {name}, or speak with the engine espeak")
    return found


def _run(command: list[str], text: str) -> bytes:
    done = subprocess.run(command, input=text.encode(), capture_output=True, check=False)
    if done.returncode != 0:
        said = done.stderr.decode(errors="replace").strip().splitlines()
        raise MediaError(f"{Path(command[0]).name} failed with {said[-1] if said else done.returncode}")
    return done.stdout


def _floats(samples: NDArray[np.int16]) -> Samples:
    return samples.astype(np.float32) / np.float32(32768)
