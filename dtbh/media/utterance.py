"""What a clip says as a whole: the vector of a sentence, from what Whisper's encoder makes of it. No torch.

The network comes with the package; how it was trained, and what it brings, is in docs/hearing.md.
"""

from __future__ import annotations

from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from dtbh.utils.device import session_options

if TYPE_CHECKING:
    from onnxruntime import InferenceSession  # type: ignore[import-untyped]

VERSION = 1  # of the network; a part of encoders' fingerprints
WIDTH = 384  # of Whisper's frames, and of the sentence encoder's vectors
STEP = 1280  # samples from one frame to the next, at 16 kHz
FILE = Path(__file__).with_name("utterance.onnx")
_AVERAGED = 4  # of Whisper's frames, 20 ms each


class Utterances:
    """The network; it is opened when it is first needed, and can be used from several threads."""

    def __call__(self, encoded: NDArray[np.float32], samples: NDArray[np.int64]) -> NDArray[np.float32]:
        """What clips mean.

        Args:
            encoded: What Whisper's encoder gives of their windows: float32 [n, t, 384], every 20 ms.
            samples: How long each clip is, int64 [n], at 16 kHz.

        Returns:
            Vectors of length one in the space of all-MiniLM-L6-v2, float32 [n, 384].
        """
        frames, lengths = averaged(encoded, samples)
        (vectors,) = self._session.run(None, {"frames": frames, "lengths": lengths})
        return np.asarray(vectors, dtype=np.float32)

    @cached_property
    def _session(self) -> InferenceSession:
        import onnxruntime

        options = session_options(1)  # of whoever listens, as Whisper
        return onnxruntime.InferenceSession(FILE.read_bytes(), options, providers=["CPUExecutionProvider"])


def averaged(encoded: NDArray[np.float32], samples: NDArray[np.int64]) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Frames every 80 ms, float32 [n, t, 384], as far as the longest clip goes, and how many are each clip's own."""
    lengths = np.minimum(-(-samples // STEP), encoded.shape[1] // _AVERAGED)
    longest = int(lengths.max()) * _AVERAGED
    parts = encoded[:, :longest].reshape(len(encoded), -1, _AVERAGED, WIDTH)
    return np.ascontiguousarray(parts.mean(axis=2)), lengths
