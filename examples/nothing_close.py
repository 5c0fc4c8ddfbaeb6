"""Whether a model says so when nothing fits: AUROC of answerable against unanswerable queries, and calibration error.

    python examples/nothing_close.py runs/any-words                    validation, typed, and spoken by flite
    python examples/nothing_close.py runs/any-words --split test --json figures.json

Answerable are the queries of ``own_words.tsv``; ``unanswerable.tsv`` asks for what UCM shows nowhere. A query's score
is the probability of its nearest hit among the split's images. The calibration error is the expected one over ten bins
of the five nearest hits' probabilities, where the answerable half and the unanswerable half weigh the same. Noise,
chords and tunes made here stand for sounds that are no speech.
"""

from __future__ import annotations

import csv
from collections import Counter
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import soundfile
from numpy.typing import NDArray
from own_words import arguments, gallery_of, keep, queries, speak

from dtbh.data.manifest import Item
from dtbh.index.memory import MemoryIndex
from dtbh.models.confidence import strength
from dtbh.models.encoder import Encoder, text_item
from dtbh.models.load import load
from dtbh.search.query import search

UNANSWERABLE = Path(__file__).with_name("unanswerable.tsv")
HITS, BINS, RATE = 5, 10, 16000
Floats = NDArray[np.float64]


def unanswerable(split: str) -> list[str]:
    """Half of the list."""
    with UNANSWERABLE.open(encoding="utf-8", newline="") as file:
        return [row["text"] for row in csv.DictReader(file, delimiter="\t") if row["split"] == split]


def answers(model: Encoder, index: MemoryIndex, items: list[Item], labels: list[str | None]) -> tuple[Floats, Floats]:
    """Probabilities of each query's nearest hits, and whether they are right: float64 [n, 5] both."""
    likely, right = [], []
    for item, label in zip(items, labels, strict=True):
        asked = model.encode([item], skip=True)
        hits = search(index, model, asked, HITS).hits() if len(asked.codes) else ()
        likely.append([hit.probability for hit in hits] or [0.0] * HITS)  # nothing is heard
        right.append([hit.item.label == label for hit in hits] or [False] * HITS)
    return np.array(likely, dtype=float), np.array(right, dtype=float)


def auroc(good: Floats, bad: Floats) -> float:
    """How often an answerable query scores higher than an unanswerable one; ties count half."""
    return float((np.sign(good[:, None] - bad).mean() + 1) / 2)


def calibration_error(likely: Floats, right: Floats, weights: Floats) -> float:
    """Expected calibration error over equal bins."""
    bins = np.minimum((likely * BINS).astype(int), BINS - 1)
    return float(sum(abs((weights * (likely - right))[bins == b].sum()) for b in range(BINS)) / weights.sum())


def no_speech(folder: Path) -> list[Path]:
    """Thirty clips of three seconds: noise of three colours, steady chords, and tunes."""
    rng = np.random.default_rng(0)
    time = np.arange(3 * RATE) / RATE
    files = []
    for number in range(10):
        noise = np.fft.rfft(rng.normal(size=len(time)))
        colour = np.fft.irfft(noise / np.maximum(1, np.arange(len(noise))) ** (number % 3 / 2), len(time))
        notes = 220 * 2 ** (rng.integers(0, 25, size=12) / 12)
        chord = sum(np.sin(2 * np.pi * note * time) for note in notes[:3])
        struck = np.tile(np.exp(-np.arange(RATE // 4) / 1500), 12)
        tune = struck * np.sin(2 * np.pi * np.repeat(notes, RATE // 4) * time)
        for kind, wave in (("noise", colour), ("chord", chord), ("tune", tune)):
            files.append(folder / f"{kind}-{number}.wav")
            soundfile.write(files[-1], 0.3 * wave / np.abs(wave).max(), RATE)
    return files


def main() -> None:
    """Print a line for each way."""
    args = arguments(str(__doc__)).parse_args()
    model = load(args.run)
    gallery, said = gallery_of(model, args.split, args.data)
    index = MemoryIndex(gallery)
    asked = [query for query in queries() if query.split == args.split]
    texts = [query.text for query in asked] + unanswerable(args.split)
    labels = [query.label for query in asked] + [None] * (len(texts) - len(asked))
    found: dict[str, object] = {"gallery": said}
    with TemporaryDirectory() as folder:
        ways = {"typed": [text_item(text) for text in texts]}
        if "sound" in model.config.encoders.modalities:
            files = speak(texts, Path(folder))
            ways["spoken"] = [Item(str(file), "sound", str(file)) for file in files]
        for way, items in ways.items():
            found[way] = _measured(way, *answers(model, index, items, labels), count=len(asked))
        if "spoken" in ways:
            clips = [Item(str(file), "sound", str(file)) for file in no_speech(Path(folder))]
            likely, _ = answers(model, index, clips, [None] * len(clips))
            found["no speech"] = dict(Counter(str(strength(top)) for top in likely[:, 0]))
            print(f"no speech: {found['no speech']} of {len(clips)} clips")
    print(said)
    keep(found, args.json)


def _measured(way: str, likely: Floats, right: Floats, *, count: int) -> dict[str, object]:
    """The figures of one way to ask; the first ``count`` queries are answerable."""
    good, bad = likely[:count, 0], likely[count:, 0]
    rng = np.random.default_rng(0)
    drawn = [auroc(rng.choice(good, len(good)), rng.choice(bad, len(bad))) for _ in range(1000)]
    weights = np.repeat([1 / len(good)] * len(good) + [1 / len(bad)] * len(bad), HITS)
    error = calibration_error(likely.ravel(), right.ravel(), weights)
    low, high = np.quantile(drawn, [0.025, 0.975]).tolist()
    words = {name: dict(Counter(str(strength(x)) for x in half)) for name, half in (("answerable", good), ("un", bad))}
    print(f"{way}: AUROC {auroc(good, bad):.3f} ({low:.3f} to {high:.3f}), {len(good)} answerable, {len(bad)} not; "
          f"calibration error {error:.3f}; answerable {words['answerable']}, unanswerable {words['un']}")  # fmt: skip
    return {"auroc": auroc(good, bad), "interval": [low, high], "calibration_error": error, **words}


if __name__ == "__main__":
    main()
