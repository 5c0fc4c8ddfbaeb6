"""What a clip says as a whole: from Whisper's frames to the vector that the sentence encoder gives of the words.

After Khurana et al., *SAMU-XLSR: Semantically-Aligned Multimodal Utterance-level Cross-Lingual Speech Representation*
(IEEE JSTSP 2022): a frozen speech encoder, attentive pooling, and a frozen sentence encoder as the teacher.
`dtbh.training.utterances` trains it; `dtbh.media.utterance` runs it, exported, without torch.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dtbh.media.utterance import WIDTH

CHANNELS, QUERIES = 256, 8
"""Width of the layers, and how many times time is pooled."""
SPREAD = 0.75
"""How far from the middle vectors of sentences lie."""


class UtteranceEncoder(nn.Module):
    """Two blocks of convolutions in depth, a layer of self-attention, and attention that pools over time.

    Attributes:
        offset, scale: Mean and standard deviation of each input number, float [384].
        middle: The mean of what is said, float [384], a vector of the sentence encoder's space.
    """

    offset: Tensor
    scale: Tensor
    middle: Tensor

    def __init__(self) -> None:
        super().__init__()
        width = CHANNELS
        for name, value in (("offset", 0.0), ("scale", 1.0), ("middle", 0.0)):
            self.register_buffer(name, torch.full((WIDTH,), value))
        self.inward = nn.Linear(WIDTH, width)
        self.blocks = nn.ModuleList(_Block(width) for _ in range(2))
        self.attention = nn.TransformerEncoderLayer(
            width, 4, 2 * width, dropout=0.1, batch_first=True, norm_first=True, activation="gelu"
        )
        self.shares, self.values = nn.Linear(width, QUERIES), nn.Linear(width, 2 * width)
        self.outward = nn.Sequential(
            nn.LayerNorm(2 * width), nn.Linear(2 * width, 2 * width), nn.GELU(), nn.Dropout(0.1),
            nn.Linear(2 * width, WIDTH),
        )  # fmt: skip

    def forward(self, frames: Tensor, lengths: Tensor) -> Tensor:
        """Map float [n, t, 384], every 80 ms, and int lengths [n] to float [n, 384] of length one."""
        return F.normalize(SPREAD * F.normalize(self.apart(frames, lengths)) + self.middle)

    def apart(self, frames: Tensor, lengths: Tensor) -> Tensor:
        """Where a clip lies from the middle: the direction counts, float [n, 384]."""
        own = torch.arange(frames.shape[1], device=lengths.device) < lengths[:, None]
        x = self.inward((frames - self.offset) / self.scale) * own[..., None]
        for block in self.blocks:
            x = x + block(x) * own[..., None]
        x = self.attention(x, src_key_padding_mask=~own)
        shares = self.shares(x).masked_fill(~own[..., None], -1e4).softmax(dim=1)
        values = self.values(F.gelu(x)).unflatten(2, (shares.shape[2], -1))
        result: Tensor = self.outward((shares[..., None] * values).sum(1).flatten(1))
        return result


class _Block(nn.Module):
    """A convolution of each channel over 0.56 s, and two linear layers."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.over_time = nn.Conv1d(width, width, 7, padding=3, groups=width)
        self.layers = nn.Sequential(
            nn.LayerNorm(width), nn.Linear(width, 2 * width), nn.GELU(), nn.Linear(2 * width, width)
        )

    def forward(self, x: Tensor) -> Tensor:
        """Map float [n, t, width] to the same."""
        result: Tensor = self.layers(self.over_time(x.mT).mT)
        return result
