"""Under which licence each part of a model stands, as far as its makers say so; ``unknown`` where they don't."""

from __future__ import annotations

from pathlib import PurePath
from typing import NamedTuple

from dtbh.config import Config
from dtbh.data.joining import JOINED

UNKNOWN, OWN = "unknown", "that of this model: trained from nothing"
NETWORKS = {
    "whisper_tiny_en": "MIT",
    "speech_embedding": "Apache-2.0",
    "minilm_l6": "Apache-2.0",
    "multilingual_e5_small": "MIT",
}
"""Of backbones whose weights have a licence of their own."""
UTTERANCES = "Apache-2.0 (learned from Whisper's frames of captions of UCM and RSICD and of WordNet's words)"
"""Of the network that comes with dtbh."""
LIBRARIES = {"timm": "Apache-2.0", "open_clip": "MIT", "torchaudio": "BSD-2-Clause", "transformers": "Apache-2.0"}
"""Of the code alone that a backbone's weights are for."""
DATA = {
    "synthetic": "Apache-2.0 (drawn by dtbh)",
    "ucm": "unknown (the images are of the USGS, in the public domain; captions: none stated)",
}
"""Of training data, by its source."""


class Part(NamedTuple):
    """A part of a model: what it does there, what it is, and its licence."""

    role: str
    name: str
    licence: str


def parts(config: Config, source: str) -> list[Part]:
    """Every part of a model that is not dtbh's own.

    Args:
        config: The settings of the run.
        source: Of the training data, as a manifest has it.
    """
    found = []
    encoders = config.encoders
    if encoders.image is not None:
        found.append(_backbone("image backbone", encoders.image.backbone, encoders.image.weights, own="small_cnn"))
    if encoders.sound is not None and not encoders.sound.words_alone:
        found.append(_backbone("sound backbone", encoders.sound.backbone, encoders.sound.weights, own="cnn"))
    if encoders.text is not None:
        name = encoders.text.backbone
        found.append(Part("sentence encoder", name, NETWORKS[name]))
    if encoders.sound is not None and encoders.sound.listens:
        any_language = encoders.text is not None and encoders.text.any_language
        found.append(Part("speech to text", "Whisper base" if any_language else "Whisper tiny.en", "MIT"))
        if encoders.sound.utterance:
            found.append(Part("utterances", "media/utterance.onnx of dtbh", UTTERANCES))
    found += [Part("training images and captions", one, DATA.get(one, UNKNOWN)) for one in source.split(JOINED)]
    if encoders.sound is not None and not encoders.sound.words_alone:
        found.append(Part("training voices", "see Voices", UNKNOWN))
    return found


def _backbone(role: str, name: str, weights: str, *, own: str) -> Part:
    if weights == "none" or (name == own and weights == "default"):
        return Part(role, name, OWN)
    if weights != "default":
        return Part(role, f"{name}, weights of {PurePath(weights).name}", UNKNOWN)
    if name == "efficientnet_lite0":
        return Part(role, name, "unknown (its code is Apache-2.0; trained on ImageNet)")
    library, slash, _ = name.partition("/")
    if slash:
        return Part(role, name, f"unknown (the library {library} is {LIBRARIES.get(library, UNKNOWN)})")
    return Part(role, name, NETWORKS.get(name, "unknown (the library torchvision is BSD-3-Clause)"))
