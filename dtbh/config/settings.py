"""The settings of a run: typed, with every default in one place; ``reading.py`` fills them from files.

Unknown keys are refused. What the paper (Chen and Lu 2020) does not state is marked "our choice"; docs/dtbh.md says
what was measured.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, GetJsonSchemaHandler, model_validator
from pydantic_core import CoreSchema

from dtbh.config.towers import Encoders, Range, Settings


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


class FineTuning(Settings):
    """How the image backbone learns from captions, in the sentence space, before heads are fitted to it."""

    epochs: int = Field(5, ge=1)
    size: int = Field(128, ge=16, le=2048, description="pixels, square, of what it is trained on; codes are made at "
                      "encoders.image.size")  # fmt: skip
    kept: tuple[str, ...] = Field((), description="modules of the backbone that stay as they are, as model._blocks.0")
    batch: int = Field(64, ge=2, description="images, each with one of its captions")
    learning_rate: float = Field(3e-4, gt=0, description="of the backbone")
    head_rate: float = Field(2e-3, gt=0, description="of what is left behind afterwards")
    weight_decay: float = Field(0.01, ge=0)
    dropout: float = Field(0.2, ge=0, lt=1, description="of what the backbone gives")
    clip: float = Field(5.0, gt=0, description="largest gradient norm")
    class_weight: float = Field(0.5, ge=0, description="of the classes' cross-entropy beside the captions' contrast")
    temperature: float = Field(0.05, gt=0, description="of the graded targets, over cosines of captions")


class Learning(Settings):
    """The terms of the objective, and what they share."""

    fit: str | None = Field(
        None,
        description="a name of dtbh.training.shallow.SHALLOW_METHODS: the heads of frozen backbones are then fitted at "
        "once, and of learning and training nothing else counts but the device. Or sentence_space: the heads of images "
        "and texts are fitted at once (encoders.concepts), and a sound tower is trained to meet them",
    )
    finetuning: FineTuning | None = Field(
        None, description="fit=sentence_space: the image backbone is first fine-tuned on the captions; null: it stays"
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
