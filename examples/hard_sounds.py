"""Are sounds as people bring them heard like clean ones?

    python examples/hard_sounds.py --data data/ucm      # the ready model; extra: av; on the system: espeak-ng and flite
    python examples/hard_sounds.py --model RUN          # twenty sentences, and the codes of a run

Captions in four voices of two engines are damaged in ways that phones, browsers and recorders know. For each: the share
of transcripts (Whisper tiny.en) that are word for word those of the clean clip, the words that differ from them, the
words misheard, and the bits of the codes that differ from the clean clip's. With ``--data``, of the test split's
captions as many different ones as ``--count`` says are asked of its images: the class mAP, and the 95 percent interval
of what it is more or less than of clean clips. The first row is a yardstick: the clean clip a tenth of a second later.
"""

from __future__ import annotations

import argparse
import random
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import soundfile
import soxr
from numpy.typing import NDArray

import dtbh
from dtbh.codes import HashCodes, unpack
from dtbh.data.manifest import Item
from dtbh.data.passages import sound_of
from dtbh.data.speech.engines import ENGINES, NEUTRAL_PITCH, NEUTRAL_RATE
from dtbh.evaluation.metrics.intervals import interval
from dtbh.media.sound import load_sound
from dtbh.media.transcriber import RATE, Transcriber
from dtbh.models.encoder import Encoder, as_query
from dtbh.models.run_files import READY
from dtbh.stages.inputs import manifest_for, of_split

LONGEST = 8.0  # seconds that are heard beside a model
AMR = "libopencore_amrnb"  # what PyAV calls its coder
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


class Answers(NamedTuple):
    """What came of some clips."""

    texts: list[str]
    """In small letters, without marks; empty where nothing was heard."""
    bits: NDArray[np.bool_]
    """[clips, bits]; all off where there is no code."""
    precision: NDArray[np.float64]
    """Average precision of each, 0 where there is no code; without images, empty."""


def main() -> None:
    """Print one row a damage."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default=READY, help="a run or a model with a sound tower (default: the ready one)")
    parser.add_argument("--data", type=Path, help="a prepared data folder, of whose test split captions are said")
    parser.add_argument("--count", type=int, default=60, help="captions, or sentences of the twenty (default 60)")
    args = parser.parse_args()
    model = dtbh.load(args.model)
    said = [(sentence, "") for sentence in SENTENCES] if args.data is None else captions(model, args.data)
    texts, labels = zip(*said[: args.count], strict=True)
    truth = [*map(plain, texts)]
    judge = (lambda _: np.zeros(0)) if args.data is None else judged(model, args.data, labels)
    with tempfile.TemporaryDirectory() as folder:
        waves = [spoken(number, text) for number, text in enumerate(texts)]
        clean = heard([wav(wave, Path(folder) / f"{n}.wav") for n, wave in enumerate(waves)], model, judge)
        known = f", class mAP {clean.precision.mean():.3f}" if len(clean.precision) else ""
        print(f"{len(texts)} clean clips: {wrong(truth, clean.texts):.1%} of the words misheard{known}")
        print(
            "damage | unchanged | words that differ | words misheard | bits that differ | mAP\n" + "|".join(6 * ["---"])
        )
        for name, damage in possible().items():
            found = heard([damage(wave, Path(folder) / f"{name}-{n}") for n, wave in enumerate(waves)], model, judge)
            unchanged = np.mean([a == b for a, b in zip(clean.texts, found.texts, strict=True)])
            row = [name, f"{unchanged:.0%}", f"{wrong(clean.texts, found.texts):.1%}"]
            row += [f"{wrong(truth, found.texts):.1%}", f"{(clean.bits != found.bits).mean():.1%}"]
            if len(found.precision):
                low, high = interval(found.precision - clean.precision, np.arange(len(texts)), 0) or (np.nan, np.nan)
                row += [f"{found.precision.mean():.3f} ({low:+.3f} to {high:+.3f})"]
            print(" | ".join(row), flush=True)


def captions(model: Encoder, data: Path) -> list[tuple[str, str]]:
    """Different captions of the test split with their classes, in an order drawn once."""
    items = [item for item in of_split(manifest_for(model, data)[0], "test") if item.modality == "sound"]
    random.Random(0).shuffle(items)
    found: dict[str, str] = {}
    for item in items:
        found.setdefault(str(item.transcript), str(item.label))
    return [*found.items()]


def judged(model: Encoder, data: Path, labels: Sequence[str]) -> Callable[[HashCodes], NDArray[np.float64]]:
    """What gives the average precision of clips' codes among the test split's images; ids are numbers of clips."""
    from own_words import gallery_of, precision

    gallery, _ = gallery_of(model, "test", data)

    def judge(codes: HashCodes) -> NDArray[np.float64]:
        values, there = np.zeros(len(labels)), [int(item.id) for item in codes.items]
        values[there] = precision(codes, [labels[place] for place in there], gallery)
        return values

    return judge


def spoken(number: int, text: str) -> Wave:
    """A text in one of the voices, at 16 kHz."""
    engine, voice = VOICES[number % len(VOICES)]
    wave, rate = ENGINES[engine](text, voice, NEUTRAL_RATE, NEUTRAL_PITCH)
    return np.asarray(soxr.resample(wave, rate, RATE) * (0.5 / np.abs(wave).max()), dtype=np.float32)


def heard(paths: list[Path], model: Encoder, judge: Callable[[HashCodes], NDArray[np.float64]]) -> Answers:
    """What is heard of files, as a query is; by the model, or where it hears no words, beside it."""
    items = [as_query(model, Item(str(number), "sound", str(path)))[0] for number, path in enumerate(paths)]
    found = model.encode(items, skip=True)
    bits = np.zeros((len(paths), model.bits), np.bool_)
    bits[[int(item.id) for item in found.codes.items]] = unpack(found.codes.words, model.bits)
    texts = [found.heard.get(item.id, "") for item in items]
    if not found.heard:
        beside = Transcriber()([load_sound(sound_of(item), max_seconds=LONGEST) for item in items])
        texts = [said.text if said else "" for said in beside]
    return Answers([*map(plain, texts)], bits, judge(found.codes))


def wrong(wanted: Sequence[str], found: Sequence[str]) -> float:
    """The share of words that differ."""
    return sum(map(word_errors, wanted, found)) / sum(len(text.split()) for text in wanted)


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


def restored(wave: Wave, path: Path) -> Path:
    """Clipped by 12 dB, and declipped."""
    from declipping import declipped

    found = declipped(np.clip(4 * wave, -0.5, 0.5))
    return wav(found * np.float32(0.5 / np.abs(found).max()), path)


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
            size = {"aac": 1024, "libopus": 960, AMR: 160}[codec]
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
    "clipped by 12 dB, and declipped": restored,
    "telephone, 8 kHz": telephone,
    "WebM, Opus": recorded("libopus", "webm"),
    "M4A, AAC": recorded("aac", "ipod"),
    "AMR, 8 kHz": recorded(AMR, "amr", 8000),
}


def possible() -> dict[str, Damage]:
    """All but AMR where PyAV does not write it, as from version 19 on."""
    import av

    return {name: damage for name, damage in DAMAGES.items() if "AMR" not in name or AMR in av.codecs_available}


if __name__ == "__main__":
    main()
