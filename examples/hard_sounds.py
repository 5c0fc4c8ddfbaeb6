"""Are sounds as people bring them heard like clean ones?

    python examples/hard_sounds.py [--model RUN]        # extras: words, av; on the system: espeak-ng and flite

Twenty sentences in the voices of two engines are damaged in ways that phones, browsers and recorders know. For each:
the share of transcripts (Whisper tiny.en) that are word for word those of the clean clip, the words that differ from
them, and with a run, the bits of its codes that differ from the clean clip's. The first row is a yardstick: the clean
clip a tenth of a second later.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import soundfile
import soxr
from numpy.typing import NDArray

import dtbh
from dtbh.codes import unpack
from dtbh.data.manifest import Item
from dtbh.data.passages import heard_part, sound_of
from dtbh.data.speech.engines import ENGINES, NEUTRAL_PITCH, NEUTRAL_RATE
from dtbh.media.sound import load_sound
from dtbh.media.transcriber import RATE, Transcriber
from dtbh.models.encoder import Encoder

LONGEST = 8.0  # seconds
VOICES = (("espeak-ng", "en-us"), ("flite", "slt"), ("espeak-ng", "en-gb-x-rp+Marco"), ("flite", "rms"))
SENTENCES = (
    "many boats are lying in the harbor next to each other",
    "two airplanes stand beside the terminal of an airport",
    "a baseball diamond with green grass around it",
    "dense houses with red roofs along a narrow street",
    "a river winds through the dark green forest",
    "white waves roll onto the yellow beach",
    "several storage tanks stand on the bare ground",
    "cars are parked in rows in front of a large building",
    "an overpass crosses the freeway with a few cars on it",
    "fields of different colours lie side by side",
    "a golf course with some bunkers and a small pond",
    "mobile homes are arranged in neat rows",
    "there are four tennis courts surrounded by trees",
    "the runway has white marks on the grey asphalt",
    "a roundabout where five roads come together",
    "sparse houses in the desert with few trees",
    "the bridge goes over a wide and muddy river",
    "snow covers the top of the mountain",
    "a railway station with many parallel tracks",
    "a stadium lies in the middle of the city",
)
Wave = NDArray[np.float32]
Damage = Callable[[Wave, Path], Path]


def main() -> None:
    """Print one row a damage."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, help="a run with a sound tower, whose codes are compared")
    parser.add_argument("--count", type=int, default=len(SENTENCES), help="only the first so many sentences")
    args = parser.parse_args()
    model, hear = dtbh.load(args.model) if args.model else None, Transcriber()
    with tempfile.TemporaryDirectory() as folder:
        waves = [spoken(number) for number in range(args.count)]
        clean, codes = heard([wav(wave, Path(folder) / f"{n}.wav") for n, wave in enumerate(waves)], hear, model)
        print("damage | unchanged | words that differ | bits that differ\n---|---|---|---")
        for name, damage in DAMAGES.items():
            paths = [damage(wave, Path(folder) / f"{name}-{n}") for n, wave in enumerate(waves)]
            texts, found = heard(paths, hear, model)
            unchanged = sum(a == b for a, b in zip(clean, texts, strict=True)) / len(texts)
            wrong = sum(map(word_errors, clean, texts)) / sum(len(text.split()) for text in clean)
            bits = "" if codes is None or found is None else f"{(codes != found).mean():.1%}"
            print(f"{name} | {unchanged:.0%} | {wrong:.1%} | {bits}", flush=True)


def spoken(number: int) -> Wave:
    """A sentence in one of the voices, at 16 kHz."""
    engine, voice = VOICES[number % len(VOICES)]
    wave, rate = ENGINES[engine](SENTENCES[number], voice, NEUTRAL_RATE, NEUTRAL_PITCH)
    return np.asarray(soxr.resample(wave, rate, RATE) * (0.5 / np.abs(wave).max()), dtype=np.float32)


def heard(paths: list[Path], hear: Transcriber, model: Encoder | None) -> tuple[list[str], NDArray[np.bool_] | None]:
    """What is heard of files, as a query is: words in small letters, and bits [files, bits]."""
    items = [heard_part(Item(str(path), "sound", str(path)), LONGEST)[0] for path in paths]
    found = hear([load_sound(sound_of(item), max_seconds=LONGEST) for item in items])
    texts = [plain(said.text) if said else "" for said in found]
    if model is None:
        return texts, None
    codes = model.encode_sounds(paths)
    return texts, unpack(codes.words, codes.bits)


def plain(text: str) -> str:
    """Words alone, in small letters."""
    return " ".join("".join(char if char.isalnum() else " " for char in text.casefold()).split())


def word_errors(wanted: str, found: str) -> int:
    """Words to be put in, taken out or replaced (Levenshtein)."""
    row = [*range(len(found.split()) + 1)]
    for number, word in enumerate(wanted.split(), start=1):
        before, row[0] = row[0], number
        for place, other in enumerate(found.split(), start=1):
            before, row[place] = row[place], min(row[place] + 1, row[place - 1] + 1, before + (word != other))
    return row[-1]


def silence(seconds: float) -> Wave:
    """Nearly nothing: noise at -70 dBFS."""
    return np.random.default_rng(0).normal(0, 10**-3.5, round(seconds * RATE)).astype(np.float32)


def wav(wave: Wave, path: Path, rate: int = RATE) -> Path:
    """Written as WAV; float32 [samples] or [samples, channels]."""
    soundfile.write(path, wave, rate, format="WAV")
    return path


def wide(wave: Wave) -> Wave:
    """The same at 48 kHz."""
    return np.asarray(soxr.resample(wave, RATE, 48000), dtype=np.float32)


def telephone(wave: Wave, path: Path) -> Path:
    """8 kHz, 300 to 3,400 Hz, mu-law."""
    spectrum, hertz = np.fft.rfft(wave), np.fft.rfftfreq(len(wave), 1 / RATE)
    narrow = np.fft.irfft(spectrum * ((hertz >= 300) & (hertz <= 3400)), len(wave))
    soundfile.write(path, soxr.resample(narrow, RATE, 8000), 8000, format="WAV", subtype="ULAW")
    return path


def recorded(codec: str, container: str, rate: int = 48000) -> Damage:
    """Written by PyAV, as phones and browsers do."""

    def write(wave: Wave, path: Path) -> Path:
        import av

        wave = np.asarray(soxr.resample(wave, RATE, rate), dtype=np.float32)
        with av.open(str(path), "w", format=container) as file:
            stream = file.add_stream(codec, rate=rate, layout="mono", format="s16" if "amr" in codec else "fltp")
            if codec == "libopus":
                stream.bit_rate, stream.codec_context.format = 32000, av.AudioFormat("flt")
            fifo = av.AudioFifo()
            frame = av.AudioFrame.from_ndarray(wave[None], "fltp", "mono")
            frame.sample_rate, frame.pts = rate, 0
            resampler = av.AudioResampler(stream.codec_context.format, "mono", rate)
            for part in [*resampler.resample(frame), *resampler.resample(None)]:
                fifo.write(part)
            size = {"aac": 1024, "libopus": 960, "libopencore_amrnb": 160}[codec]
            while (part := fifo.read(size, partial=True)) is not None:
                file.mux(stream.encode(part))
            file.mux(stream.encode(None))
        return path

    return write


DAMAGES: dict[str, Damage] = {
    "0.1 s later": lambda wave, path: wav(np.concatenate([silence(0.1), wave]), path),
    "5 s of silence before it": lambda wave, path: wav(np.concatenate([silence(5), wave]), path),
    "in a minute of silence": lambda wave, path: wav(np.concatenate([silence(40), wave, silence(17)]), path),
    "48 kHz stereo, in one channel": lambda wave, path: wav(
        np.stack([wide(wave), np.zeros_like(wide(wave))], axis=1), path, 48000
    ),
    "stereo, channels in antiphase": lambda wave, path: wav(np.stack([wave, -wave], axis=1), path),
    "offset of 0.3": lambda wave, path: wav(wave + np.float32(0.3), path),
    "clipped by 12 dB": lambda wave, path: wav(np.clip(4 * wave, -0.5, 0.5), path),
    "telephone, 8 kHz": telephone,
    "WebM, Opus": recorded("libopus", "webm"),
    "M4A, AAC": recorded("aac", "ipod"),
    "AMR, 8 kHz": recorded("libopencore_amrnb", "amr", 8000),
}


if __name__ == "__main__":
    main()
