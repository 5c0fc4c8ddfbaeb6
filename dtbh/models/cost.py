"""What 8-bit integers cost a model in mAP, and what they bring in size and speed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

BOUND = 0.01
"""So much mAP may be lost in a direction, unless another bound is given."""


@dataclass(frozen=True)
class Cost:
    """A model of 8-bit integers beside the run and beside the same networks in 32-bit floats.

    Attributes:
        before: By direction, the run's mAP on the validation split, in [0, 1].
        after: The same of the model.
        bytes_before: Of all networks in floats.
        bytes_after: Of all networks in integers.
        speed: By modality, how many times as fast as in floats the same batch is encoded, on this machine.
    """

    before: Mapping[str, float]
    after: Mapping[str, float]
    bytes_before: int
    bytes_after: int
    speed: Mapping[str, float]

    @property
    def lost(self) -> float:
        """The most that a direction lost, in mAP; below 0 where all gained."""
        return max(self.before[way] - self.after[way] for way in self.before)

    def maps(self) -> str:
        """Each direction's mAP, before and after."""
        return ", ".join(f"{way} {self.before[way]:.4f} to {self.after[way]:.4f}" for way in self.before)

    def describe(self) -> str:
        """One line, which says where integers are neither smaller nor faster."""
        speeds = ", ".join(
            f"{modality}s {ratio:.2f} times as fast{'' if ratio > 1 else ' (no faster)'}"
            for modality, ratio in self.speed.items()
        )
        smaller = "" if self.bytes_after < self.bytes_before else " (no smaller)"
        sizes = f"{self.bytes_after / 1e6:.1f} MB of {self.bytes_before / 1e6:.1f} MB{smaller}"
        return f"8 bits: validation mAP {self.maps()}; {sizes}; {speeds}"
