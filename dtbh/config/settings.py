"""The settings of a run: typed, with every default in one place; ``reading.py`` fills them from files.

Unknown keys are refused. What the paper (Chen and Lu 2020) does not state is marked "our choice"; docs/dtbh.md says
what was measured.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, GetJsonSchemaHandler, model_validator
from pydantic_core import CoreSchema

Range = tuple[float, float]


class Settings(BaseModel):
    """Base of all settings: frozen, and no unknown key."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class SplitSettings(Settings):
    """Which items train, validate and test."""

    protocol: Literal["files", "random", "caption-disjoint", "speaker-disjoint", "caption-speaker-disjoint"] = Field(
        "random", description="'random' is the field's 80/20 by images"
    )
    seed: int = Field(0, ge=0, description="of the split; independent of the training seed")
    test: float = Field(0.2, gt=0, lt=1, description="share of images for test")
    val: float = Field(0.1, gt=0, lt=1, description="share of the other images for validation")
    folds: int = Field(0, ge=0, description="k-fold: so many parts, by images, in the place of test; 0: one split")
    fold: int = Field(1, ge=1, description="which of the folds is tested on, from 1")

    @model_validator(mode="after")
    def _of_folds(self) -> SplitSettings:
        if self.folds == 1 or self.fold > max(self.folds, 1):
            raise ValueError(f"wanted folds of 2 or more and fold <= folds, found {self.folds} and {self.fold}")
        if self.folds and self.protocol == "files":
            raise ValueError("the protocol files keeps the splits of the source, which has no folds; take random")
        return self


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
        description="small_cnn | efficientnet_lite0 (extra offline) | a torchvision name | timm/<name> | "
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
        description="cnn (on MFCC or log-mel, the paper's) | whisper_tiny_en (extra whisper) | "
        "speech_embedding (extra wakeword) | "
        "torchaudio/<a bundle of torchaudio.pipelines> | transformers/<folder or hub name of a speech model>",
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
    tta_views: int = Field(1, ge=1, le=5, description="speeds whose hash-like codes are averaged in encoding")
    augmentation: SoundAugmentation = SoundAugmentation()


class Encoders(Settings):
    """Both towers and what they share."""

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

    @model_validator(mode="after")
    def _some_tower(self) -> Encoders:
        if self.image is None and self.sound is None:
            raise ValueError("image and sound are both null: wanted one tower at least")
        return self

    @property
    def modalities(self) -> tuple[Literal["image", "sound"], ...]:
        """Those that have a tower."""
        kinds: tuple[Literal["image", "sound"], ...] = ("image", "sound")
        return tuple(kind for kind in kinds if getattr(self, kind) is not None)


class LossSpec(BaseModel):
    """One term of the objective: its weight, and the parameters that are its own.

    Written as a number, it is the weight alone. A term of weight 0 is left out.
    """

    model_config = ConfigDict(extra="allow", frozen=True)

    weight: float = Field(1.0, ge=0)

    @model_validator(mode="before")
    @classmethod
    def _weight_alone(cls, given: Any) -> Any:
        return given if isinstance(given, LossSpec | Mapping) else {"weight": given}

    @classmethod
    def __get_pydantic_json_schema__(cls, core: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        return {"anyOf": [{"type": "number", "minimum": 0}, handler(core)]}

    @property
    def parameters(self) -> dict[str, Any]:
        """The parameters given here; those not given are the values of the same name in ``Learning``."""
        return dict(self.model_extra or {})


class Learning(Settings):
    """The terms of the objective, and what they share."""

    fit: str | None = Field(
        None,
        description="a name of dtbh.training.shallow.SHALLOW_METHODS: the heads of frozen backbones are then fitted at "
        "once, and of learning and training nothing else counts but the device",
    )
    labels: bool = Field(True, description="false: pairs alone, each a class of its own; classes are never looked at")
    selection: str = Field(
        "active",
        description="of triplets: all | semi_hard | hard | active, or another of dtbh.training.losses.mining.MINERS; "
        "'active' is DTBH's: the triplets that still teach",
    )
    ranked_by: Literal["codes", "features"] = Field(
        "codes",
        description="what validation and evaluation rank by: codes and their Hamming distance, or, for methods that "
        "make none, deep features of length one and their Euclidean distance",
    )
    warmup_epochs: int = Field(0, ge=0, description="epochs over all triplets before the selection sets in")
    margin: float = Field(0.25, gt=0, le=2, description="on distances in [0, 1]; our choice")
    tanh_scale: Range = Field(
        (1.0, 1.0),
        description="factor before the tanh of the hash layer at the first step and at the last, in equal ratios; "
        "HashNet goes from 1 to 10, and 0.5 makes the tanh a sigmoid scaled to (-1, 1)",
    )
    intra_modal_weight: float = Field(
        1.0, ge=0, description="weight of triplets within a modality, beside the cross ones"
    )
    losses: dict[str, LossSpec] = Field(
        {
            "feature_triplets": LossSpec(weight=1.0),
            "code_triplets": LossSpec(weight=1.0),
            "approximate_l1": LossSpec(weight=0.01),
        },
        min_length=1,
        description="DTBH's by default; each is a name of dtbh.training.losses.base.LOSSES, with its weight, or "
        "{weight: ..., parameter: ...}",
    )

    @model_validator(mode="after")
    def _positive(self) -> Learning:
        if not (min(self.tanh_scale) > 0 and math.isfinite(sum(self.tanh_scale))):
            raise ValueError(f"tanh_scale: wanted two numbers above 0, found {self.tanh_scale}")
        return self

    @model_validator(mode="before")
    @classmethod
    def _written_before_terms(cls, given: Any) -> Any:
        """Read the weights of a run made before ``losses`` came."""
        names = {
            "features": "feature_triplets", "codes": "code_triplets", "quantization": "approximate_l1",
            "balance": "balance",
        }  # fmt: skip
        if not isinstance(given, Mapping) or given.get("objective") != "relative_triplet":
            return given
        kept = {name: value for name, value in given.items() if name not in names and name != "objective"}
        return {**kept, "losses": {new: given[old] for old, new in names.items() if given.get(old)}}


class Training(Settings):
    """The optimiser and its schedule. Adam and Glorot-uniform weights as in the paper."""

    epochs: int = Field(12, ge=1)
    classes: int = Field(16, ge=2, description="classes in a batch (P)")
    per_class: int = Field(8, ge=1, description="sounds, and images, of each class in a batch (M)")
    learning_rate: float = Field(4e-3, gt=0, description="our choice")
    backbone_rate: float = Field(
        1.0, gt=0, le=1, description="factor on the rate of a trained image backbone that starts from given weights"
    )
    weight_decay: float = Field(1e-4, ge=0)
    betas: tuple[float, float] = Field((0.9, 0.999), description="of Adam's two means; each in [0, 1)")
    schedule: Literal["cosine", "constant"] = Field("cosine", description="of the rate, after it has risen")
    warmup: float = Field(0.1, ge=0, le=1, description="share of the steps in which the rate rises")
    clip: float = Field(5.0, gt=0, description="largest gradient norm")
    keep: Literal["best", "last"] = Field(
        "best", description="the epoch with the best validation mAP, or the last: for few validation items"
    )
    patience: int = Field(6, ge=1, description="best: epochs without a better validation mAP before it stops")
    precision: Literal["auto", "32", "bf16", "16"] = Field("auto", description="auto: mixed on a GPU, else 32")
    device: str = Field("auto", description="auto | cpu | cuda | mps")
    devices: int = Field(1, ge=1)
    workers: int = Field(-1, ge=-1, description="processes that load files; -1: one fewer than the cores, up to 8")

    @model_validator(mode="after")
    def _shares(self) -> Training:
        if not all(0 <= beta < 1 for beta in self.betas):
            raise ValueError(f"betas: wanted two numbers in [0, 1), found {self.betas}")
        return self


class Config(Settings):
    """Everything a run depends on."""

    seed: int = Field(0, ge=0)
    data: SplitSettings = SplitSettings()
    encoders: Encoders = Encoders()
    learning: Learning = Learning()
    training: Training = Training()


class Service(Settings):
    """What ``dtbh serve`` allows; no part of a run."""

    upload_mb: float = Field(20.0, gt=0, description="largest request, in megabytes")
    upload_seconds: float = Field(30.0, gt=0, description="longest time a request's body may take to arrive")
    sound_seconds: float = Field(60.0, gt=0, description="longest sound that is taken as a query")
    image_megapixels: float = Field(50.0, gt=0, description="largest image that is taken as a query or drawn")
    hits: int = Field(1000, ge=1, description="most hits a query may ask for")
    queries: int = Field(32, ge=1, description="most queries in one request")
    batch: int = Field(16, ge=1, description="most queries that are encoded, or searched, together")
    waiting: int = Field(256, ge=1, description="most queries under way; others are sent away with 503")
    wait_seconds: float = Field(20.0, gt=0, description="longest wait for an answer, then 503")
    tiles: str = Field("", description="map tiles under footprints, as https://host/{z}/{x}/{y}.png; none by default")
