"""How long a typed and a spoken query take to their codes, one at a time, on one core, the model loaded.

    OMP_NUM_THREADS=1 python examples/benchmark_words.py runs/any-words

The spoken ones are said by flite, some three seconds each, and no two are the same.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import soundfile
from own_words import speak

from dtbh.models.load import load

PLACES = ("harbor", "forest", "river", "airport", "beach", "road", "town", "field", "factory", "garden")


def milliseconds(work: Callable[[], object]) -> float:
    """Of wall time."""
    started = time.perf_counter()
    work()
    return 1000 * (time.perf_counter() - started)


def main() -> None:
    """Print medians and the slowest of twenty."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("run", type=Path)
    args = parser.parse_args()
    model = load(args.run)
    if "torch" in type(model).__module__:
        import torch

        torch.set_num_threads(1)
    texts = [f"show me {what} that lie next to a {place}" for what in ("houses", "boats") for place in PLACES]
    with TemporaryDirectory() as folder:
        files = speak(texts, Path(folder))
        seconds = [soundfile.info(file).duration for file in files]
        model.encode_texts(texts[:1])
        model.encode_sounds(files[:1])
        for way, took in (
            ("typed", [milliseconds(lambda text=text: model.encode_texts([text])) for text in texts]),  # type: ignore[misc]
            ("spoken", [milliseconds(lambda file=file: model.encode_sounds([file])) for file in files]),  # type: ignore[misc]
        ):
            print(f"{way}: {np.median(took):.1f} ms in the median, {max(took):.1f} at most, {len(took)} queries")
    print(f"spoken ones last {np.mean(seconds):.1f} s")


if __name__ == "__main__":
    main()
