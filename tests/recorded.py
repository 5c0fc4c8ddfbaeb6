"""Sounds as a phone or a browser leaves them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

RATE, HERTZ, SECONDS = 48000, 440, 1.5
TONE = (0.4 * np.sin(2 * np.pi * HERTZ * np.arange(int(SECONDS * RATE)) / RATE)).astype(np.float32)


def record(
    path: Path,
    *,
    codec: str,
    container: str | None = None,
    channels: int = 2,
    video: bool = False,
    options: dict[str, str] | None = None,
    wave: NDArray[np.float32] = TONE,
) -> Path:
    """A sound at 48 kHz in the last channel alone, through PyAV."""
    import av

    planes = np.zeros((channels, len(wave)), np.float32)
    planes[-1] = wave
    layout = "stereo" if channels == 2 else "mono"
    with av.open(str(path), "w", format=container, options=options or {}) as file:
        stream = file.add_stream(codec, rate=RATE, layout=layout)
        picture = file.add_stream("mpeg4", rate=10, width=32, height=32, pix_fmt="yuv420p") if video else None
        for start in range(0, len(wave), 960):
            frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(planes[:, start : start + 960]), "fltp", layout)
            frame.sample_rate, frame.pts = RATE, start
            file.mux(stream.encode(frame))
        file.mux(stream.encode(None))
        if picture is not None:
            for _ in range(15):
                file.mux(picture.encode(av.VideoFrame.from_ndarray(np.zeros((32, 32, 3), np.uint8), "rgb24")))
            file.mux(picture.encode(None))
    return path
