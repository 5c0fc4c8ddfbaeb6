"""How fast are frozen speech features, from files to the store, beside their bare network?

    python examples/benchmark_speech.py [speech_embedding | whisper_tiny_en]

The bare network runs on one thread, on clips that lie in memory: of ``speech_embedding`` the wheel's own two ONNX files
on onnxruntime, window by window in batches of 64; of ``whisper_tiny_en`` the wheel's own file on CTranslate2, one clip
at its own length at a time, from log-mel frames that are given. Ours is everything: reading FLAC files, the level, the
silence around a clip, log-mel, the network, and SQLite. Both take the same clips, with the same silence, and take
turns; medians of processor time are given. Exits with 1 where the values disagree, or where ours has less than 90% of
the bare throughput.
"""

from __future__ import annotations

import os

os.environ["OMP_NUM_THREADS"] = os.environ["MKL_NUM_THREADS"] = "1"  # before numpy and torch are imported

import argparse
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import ctranslate2
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
from dtbh.encoders.whisper import WhisperEncoder, _resource

CLIPS, ROUNDS, TOLERANCE = 96, 5, 0.06  # the last as a share of the values' deviation, in the mean


def main() -> int:
    """Compare, then measure."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("network", nargs="?", default="speech_embedding", choices=list(BARE))
    name = parser.parse_args().network
    torch.set_num_threads(1)
    rng = np.random.default_rng(0)
    clips = [speech_like(rng, float(seconds)) for seconds in rng.uniform(1, 6, CLIPS)]
    settings = {"image": None, "sound": {"backbone": name, "frozen": True}}
    twin = TwinEncoder(make_config({"encoders": settings}).encoders)
    bare = BARE[name]()
    with tempfile.TemporaryDirectory() as folder:
        files = [Path(folder) / f"{number}.flac" for number in range(CLIPS)]
        for file, clip in zip(files, clips, strict=True):
            soundfile.write(file, clip, RATE)
        edged = [bare.prepared(edged_clip(soundfile.read(file, dtype="float32")[0])) for file in files]

        def ours(number: int) -> list[torch.Tensor]:
            os.environ["DTBH_CACHE"] = f"{folder}/{number}"
            reader = reader_for(twin, "sound", files, device=torch.device("cpu"))
            return [reader(row) for row in range(CLIPS)]

        pairs = [(bare(clip), values.numpy()) for clip, values in zip(edged, ours(0), strict=True)]
        far = float(np.mean([np.abs(a - b).mean() / b.std() for a, b in pairs]))
        print(f"mean difference {far:.5f} of the values' deviation (stored in 16 bits)")
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


class BareEmbedding:
    """The wheel's two networks of the speech embedding and nothing else."""

    def __init__(self) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        options.log_severity_level = 3
        self.mel, self.embedding = (
            onnxruntime.InferenceSession(str(_resources() / f"{name}.onnx"), options)
            for name in ("melspectrogram", "embedding_model")
        )

    def prepared(self, clip: np.ndarray) -> np.ndarray:
        """Scaled as 16-bit integers."""
        return clip * 32767

    def __call__(self, clip: np.ndarray) -> np.ndarray:
        """Float [samples], as 16-bit integers are scaled, to float [t, 96]."""
        mel = self.mel.run(None, {"input": clip[None]})[0][0, 0] / 10 + 2
        starts = range(0, len(mel) - FIELD + 1, STRIDE)
        windows = np.stack([mel[start : start + FIELD] for start in starts])[..., None]
        parts = [self.embedding.run(None, {"input_1": windows[i : i + 64]})[0] for i in range(0, len(windows), 64)]
        return np.concatenate(parts)[:, 0, 0]


class BareWhisper:
    """The encoder of the wheel's file and nothing else."""

    def __init__(self) -> None:
        options = {"device": "cpu", "compute_type": "float32", "intra_threads": 1, "inter_threads": 1}
        self.model = ctranslate2.models.Whisper(str(_resource().parent), **options)
        self.ours = WhisperEncoder(pretrained=False)

    def prepared(self, clip: np.ndarray) -> np.ndarray:
        """Its log-mel frames, a whole number of 80 ms."""
        whole = np.pad(clip, (0, -len(clip) % 1280))
        return self.ours._mel(torch.from_numpy(whole)[None]).numpy()

    def __call__(self, mel: np.ndarray) -> np.ndarray:
        """Float [1, 80, 8 t] to float [t, 384]."""
        found = np.array(self.model.encode(ctranslate2.StorageView.from_array(mel)))
        return found.reshape(-1, 4, found.shape[2]).mean(1)


BARE = {"speech_embedding": BareEmbedding, "whisper_tiny_en": BareWhisper}


def edged_clip(clip: np.ndarray) -> np.ndarray:
    """At the backbone's level and with its silence."""
    clip = clip * (LEVEL / np.sqrt(np.mean(clip**2)))
    return np.pad(clip, round(EDGE * RATE)).astype(np.float32)


def spent(work: Callable[[], object]) -> float:
    """Seconds of processor time."""
    start = time.process_time()
    work()
    return time.process_time() - start


if __name__ == "__main__":
    sys.exit(main())
