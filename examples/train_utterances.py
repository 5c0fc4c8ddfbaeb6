"""Make again the network that hears what utterances mean, ``dtbh/media/utterance.onnx``.

    make utterances DATA=../shared/data          # an hour and a half on two cores; resumable; needs wordnet-base
    python examples/train_utterances.py --data data/ucm --data data/rsicd --work runs/utterances

Captions of the training splits, parts of them, and phrases of WordNet's words are spoken by espeak's voices, all but
the last four, as they might have been recorded anywhere; what Whisper's encoder makes of them is kept in ``--work``,
some 250 clips a file. No clip is met again: each is another text, voice, pace and place.
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

import numpy as np
import torch

from dtbh.config import TextTower
from dtbh.data.manifest import read_manifest
from dtbh.data.speech.clips import finish
from dtbh.data.speech.engines import ESPEAK_VOICES, espeak
from dtbh.data.speech.phrases import WORDNET, phrases
from dtbh.encoders.readers import TextReader
from dtbh.encoders.sentence_encoder import SentenceEncoder
from dtbh.features.recordings import as_recorded
from dtbh.media.transcriber import RATE, ROOM, Transcriber
from dtbh.media.utterance import FILE, averaged
from dtbh.training.utterances import Clips, exported, train_utterances
from dtbh.utils.files import write_file

VOICES = ESPEAK_VOICES[:-4]  # the last are kept for validation
CLIPS, TOGETHER = 256, 8  # in a file, and at once
WINDOWS = (4, 5, 6, 8, 15)  # seconds
WHOLE = 0.15  # share of clips that are heard in the window of 8 s that a search would take
LONGEST = 14.4  # seconds


def spoken(texts: list[str], rng: np.random.Generator) -> list[tuple[str, np.ndarray]]:
    """Texts and clips; what an engine can't say is left out."""
    found = []
    for text in texts:
        voice, rate = VOICES[rng.integers(len(VOICES))], int(rng.integers(115, 215))
        samples, at = espeak(text, voice, rate, int(np.clip(rng.normal(50, 18), 0, 99)))
        clip = finish(samples, at)
        if len(clip) >= RATE // 5:
            found.append((text, as_recorded(clip, rng)[: int(LONGEST * RATE)]))
    return sorted(found, key=lambda one: len(one[1]))


def shard(texts: list[str], ears: Transcriber, rng: np.random.Generator) -> dict[str, np.ndarray]:
    """What Whisper's encoder makes of some clips."""
    clips, frames = spoken(texts, rng), []
    for start in range(0, len(clips), TOGETHER):
        waves = [wave for _, wave in clips[start : start + TOGETHER]]
        need = max(map(len, waves)) / RATE + ROOM
        seconds = 8 if rng.random() < WHOLE and need <= 8 else next(s for s in WINDOWS if need <= s)
        heard, lengths = averaged(ears.encoded(waves, seconds), np.array([len(wave) for wave in waves]))
        frames += [one[:n].astype(np.float16) for one, n in zip(heard, lengths.tolist(), strict=True)]
    counts = np.array([len(one) for one in frames])
    return {"frames": np.concatenate(frames), "counts": counts, "texts": np.array([text for text, _ in clips])}


def sentence_vectors(texts: list[str]) -> np.ndarray:
    """What the sentence encoder gives of texts: float32 [n, 384]."""
    encoder, reader = SentenceEncoder(pretrained=True).eval(), TextReader(texts, TextTower())
    found = []
    with torch.inference_mode():
        for start in range(0, len(texts), CLIPS):
            rows = [reader(row) for row in range(start, min(start + CLIPS, len(texts)))]
            found.append(encoder(*reader.collate(rows)).numpy())
    return np.concatenate(found)


def main() -> None:
    """Speak what is missing, learn, and write the network."""
    parser = argparse.ArgumentParser(description=str(__doc__).splitlines()[0])
    parser.add_argument("--data", type=Path, action="append", required=True, help="a prepared folder with captions")
    parser.add_argument("--work", type=Path, required=True, help="where clips are kept")
    parser.add_argument("--wordnet", type=Path, default=WORDNET, help="the folder with data.noun and cntlist.rev")
    parser.add_argument("--files", type=int, default=78, help=f"of {CLIPS} clips each")
    parser.add_argument("--epochs", type=float, default=9)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=FILE)
    args = parser.parse_args()
    sets = [[i.transcript for i in read_manifest(d) if i.split == "train" and i.transcript] for d in args.data]
    captions = [list(dict.fromkeys(some)) for some in sets]
    if lost := [str(data) for data, some in zip(args.data, captions, strict=True) if not some]:
        sys.exit(f"{lost[0]}: no caption in its train split; prepare it with splits (dtbh prepare ucm, rsicd)")
    args.work.mkdir(parents=True, exist_ok=True)
    ears, began = Transcriber(), time.monotonic()
    for number in range(args.files):
        file = args.work / f"{number:03d}.npz"
        if not file.is_file():
            source = phrases(captions, 1000 * args.seed + number, args.wordnet)
            made = shard([next(source) for _ in range(CLIPS)], ears, np.random.default_rng([args.seed, number]))
            write_file(file, lambda out, made=made: np.savez(out, **made))
            print(f"{file}: {len(made['counts'])} clips, {time.monotonic() - began:.0f} s", flush=True)
    frames, texts = [], []
    for number in range(args.files):
        with np.load(args.work / f"{number:03d}.npz") as kept:
            frames += np.split(kept["frames"], np.cumsum(kept["counts"])[:-1])
            texts += kept["texts"].tolist()
    told = sorted(set(texts))
    vectors = dict(zip(told, sentence_vectors(told), strict=True))
    clips = Clips(frames, np.stack([vectors[text] for text in texts]))

    def each(step: int, steps: int) -> None:
        if step % 100 == 0:
            print(f"step {step} of {steps}, {time.monotonic() - began:.0f} s", flush=True)

    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    network = train_utterances(clips, epochs=args.epochs, seed=args.seed, device=device, each=each)
    data = exported(network)
    write_file(args.out, lambda out: out.write(data))
    print(f"{args.out}: {len(data) / 2**20:.1f} MB")


if __name__ == "__main__":
    sys.exit(main())
