"""The settings of a run and of the service, and how they are read."""

from dtbh.config.reading import (
    check_parameters,
    differences,
    hint,
    make_config,
    make_service,
    overridden,
    read_config,
    write_config,
    write_schema,
)
from dtbh.config.service import Service
from dtbh.config.settings import Config, FineTuning, Learning, LossSpec, SplitSettings, Training
from dtbh.config.towers import (
    Concepts,
    Encoders,
    ImageAugmentation,
    ImageTower,
    Range,
    Settings,
    SoundAugmentation,
    SoundFeatures,
    SoundTower,
    TemporalHead,
    TextTower,
)

__all__ = [
    "Concepts",
    "Config",
    "Encoders",
    "FineTuning",
    "ImageAugmentation",
    "ImageTower",
    "Learning",
    "LossSpec",
    "Range",
    "Service",
    "Settings",
    "SoundAugmentation",
    "SoundFeatures",
    "SoundTower",
    "SplitSettings",
    "TemporalHead",
    "TextTower",
    "Training",
    "check_parameters",
    "differences",
    "hint",
    "make_config",
    "make_service",
    "overridden",
    "read_config",
    "write_config",
    "write_schema",
]
