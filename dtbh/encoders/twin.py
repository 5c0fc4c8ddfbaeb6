"""The towers side by side: images and sounds, or one of them alone, to codes of one space.

Comes in: uint8 images and padded waveforms, or the cached outputs of frozen backbones.
"""

from __future__ import annotations

from typing import get_args

import torch
from torch import Tensor, nn

from dtbh.config import Encoders
from dtbh.data.manifest import Modality
from dtbh.encoders.audio import SoundBackbone
from dtbh.encoders.heads import Encoded, HashHead
from dtbh.encoders.image import ImageBackbone, image_backbone
from dtbh.encoders.weights import load_weights
from dtbh.errors import DtbhError


class Tower(nn.Module):
    """A backbone and its hash head.

    Args:
        backbone: Maps a batch of media to float [n, d].
        head: Maps that to deep features and hash-like codes.
        frozen: The backbone then stays as it is: no gradients, always in evaluation mode.
    """

    def __init__(self, backbone: ImageBackbone | SoundBackbone, head: HashHead, *, frozen: bool) -> None:
        super().__init__()
        self.backbone = backbone
        self.head = head
        self.frozen = frozen
        if frozen:
            backbone.requires_grad_(False)

    def train(self, mode: bool = True) -> Tower:
        """Set training mode, of the head alone where the backbone is frozen."""
        super().train(mode)
        if self.frozen:
            self.backbone.eval()
        return self

    def forward(self, *media: Tensor, generator: torch.Generator | None = None) -> Encoded:
        """Encode a batch of media; ``generator`` is for a sound tower's masks in training."""
        extra = {} if generator is None else {"generator": generator}
        with torch.set_grad_enabled(torch.is_grad_enabled() and not self.frozen):
            x = self.backbone(*media, **extra)
        encoded: Encoded = self.head(x)
        return encoded


class TwinEncoder(nn.Module):
    """An image tower and a sound tower that meet in codes of the same length; or one of them alone.

    Args:
        settings: Widths, backbones and weights; a modality without settings has no tower.
        pretrained: False leaves the backbones' weights as drawn, for a state dict that is loaded afterwards.
    """

    def __init__(self, settings: Encoders, *, pretrained: bool = True) -> None:
        super().__init__()
        self.settings = settings
        image, sound = settings.image, settings.sound
        image_network = sound_network = None
        if image is not None:
            image_network = image_backbone(image if pretrained else image.model_copy(update={"weights": "none"}))
        if sound is not None:
            sound_network = SoundBackbone(sound)
            if pretrained and sound.weights != "none":
                load_weights(sound_network, sound.weights)
        if image is not None and image_network is not None:
            self.image = Tower(image_network, self._head(image_network.out_dim), frozen=image.frozen)
        if sound is not None and sound_network is not None:
            self.sound = Tower(sound_network, self._head(sound_network.out_dim), frozen=sound.frozen)

    @property
    def modalities(self) -> tuple[Modality, ...]:
        """Those that have a tower."""
        return tuple(name for name in get_args(Modality) if getattr(self.settings, name) is not None)

    def tower(self, modality: Modality) -> Tower:
        """The tower of a modality.

        Raises:
            DtbhError: There is none.
        """
        if modality not in self.modalities:
            raise DtbhError(
                f"there is no {modality} tower here (encoders.{modality} is null), so {modality}s can't be encoded; "
                "take a run that was trained on both"
            )
        return self.image if modality == "image" else self.sound

    def _head(self, inputs: int) -> HashHead:
        s = self.settings
        return HashHead(
            inputs, feature_dim=s.feature_dim, bits=s.bits, dropout=s.dropout, normalize=s.normalize_features
        )
