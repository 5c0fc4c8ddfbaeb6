"""What a model takes, told without reading the settings of its run."""

from __future__ import annotations

from dataclasses import dataclass

from dtbh.data.manifest import Modality


@dataclass(frozen=True)
class Senses:
    """What a query has to know of a model.

    Attributes:
        modalities: What it has towers for.
        seconds: How long a sound it hears; None without a tower for sounds.
        listens: Whether it listens for words in a sound.
        sentences: The sentence encoder of its tower for texts; None without one.
    """

    modalities: tuple[Modality, ...]
    seconds: float | None
    listens: bool
    sentences: str | None
