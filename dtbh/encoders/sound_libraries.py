"""Networks of speech by name: the registry, and the libraries torchaudio and transformers."""

from __future__ import annotations

import difflib
import importlib
from collections.abc import Callable
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from dtbh.encoders.weights import fetched
from dtbh.errors import ConfigError
from dtbh.utils.registry import register

RATE = 16000
INSTEAD = "give the path of a downloaded folder (transformers/PATH), or a state dict with encoders.sound.weights=FILE"


class SequenceNetwork(Protocol):
    """A network that a sequence backbone holds: an ``nn.Module`` with the width of what it gives."""

    out_dim: int

    def __call__(self, waveforms: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """Map float [n, samples] and int [n] to float [n, t, out_dim] and int [n]."""


MakesSequences = Callable[[str, bool], SequenceNetwork]
SOUND_BACKBONES: dict[str, MakesSequences] = {}
"""Networks of speech by name; a library by its prefix, with the slash. Each is made of what stands behind the slash,
and whether to load weights, hears 16 kHz and is an ``nn.Module``."""


def sound_backbone(name: str) -> Callable[[MakesSequences], MakesSequences]:
    """A decorator that makes a function or class a sound backbone of this name, or a library of this prefix."""
    return register(SOUND_BACKBONES, name)


@sound_backbone("torchaudio/")
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


@sound_backbone("transformers/")
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
