"""The towers side by side: images, sounds and texts, or some of them, to codes of one space."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from dtbh.config import Encoders
from dtbh.data.manifest import Modality
from dtbh.encoders.any_language import AnyLanguage
from dtbh.encoders.concept_head import ConceptHead, TextHead
from dtbh.encoders.hash_head import DepthReader, Encoded, HashHead
from dtbh.encoders.image_backbones import ImageBackbone, build_image_backbone
from dtbh.encoders.sentence_encoder import SentenceEncoder
from dtbh.encoders.sound_backbones import SequenceBackbone, build_sound_backbone
from dtbh.encoders.sound_cnn import SoundBackbone
from dtbh.encoders.temporal_pooling import TemporalPooling
from dtbh.encoders.tta import viewed
from dtbh.errors import ConfigError


class Tower(nn.Module):
    """A backbone and its hash head, with a temporal head between them where the backbone gives sequences.

    Args:
        backbone: Maps a batch of media to float [n, d], or to float [n, t, d] and int [n].
        head: Maps a vector to deep features and hash-like codes.
        frozen: The backbone then stays as it is: no gradients, always in evaluation mode.
        temporal: Maps sequences to vectors.
        tta_views: Orientations of an image, or speeds of a sound, whose encodings are averaged outside of training.
    """

    def __init__(
        self,
        backbone: ImageBackbone | SoundBackbone | SequenceBackbone | SentenceEncoder | AnyLanguage,
        head: HashHead | ConceptHead,
        *,
        frozen: bool,
        temporal: TemporalPooling | None = None,
        tta_views: int = 1,
    ) -> None:
        super().__init__()
        self.backbone = backbone
        self.temporal = temporal
        self.head = head
        self.frozen = frozen
        self.tta_views = tta_views
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
        if self.tta_views == 1 or self.training:
            return self.finish(*self.outputs(*media, generator=generator), generator=generator)
        views = [self.finish(*self.outputs(*viewed(media, view))) for view in range(self.tta_views)]
        return Encoded(*(torch.stack(part).mean(0) for part in zip(*views, strict=True)))

    def outputs(self, *media: Tensor, generator: torch.Generator | None = None) -> tuple[Tensor, ...]:
        """What the backbone makes of media: what may be stored where it is frozen."""
        extra = {} if generator is None or self.temporal is not None else {"generator": generator}
        with torch.set_grad_enabled(torch.is_grad_enabled() and not self.frozen):
            outputs = self.backbone(*media, **extra)
        return outputs if isinstance(outputs, tuple) else (outputs,)

    def vectors(self, *outputs: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """What the head sees of the backbone's outputs: float [n, d], or [n, views, d]."""
        if self.temporal is None:
            (x,) = outputs
            return x
        frames, counts = outputs
        vectors: Tensor = self.temporal(frames.flatten(0, -3), counts.flatten(), generator=generator)
        return vectors.reshape(*counts.shape, -1)

    def finish(self, *outputs: Tensor, generator: torch.Generator | None = None) -> Encoded:
        """Encode the backbone's outputs; those of several views of an item, [n, views, ...], as their mean."""
        x = self.vectors(*outputs, generator=generator)
        if x.ndim == 2:
            return Encoded(*self.head(x))
        views = self.head(x.flatten(0, 1))
        return Encoded(*(part.unflatten(0, x.shape[:2]).mean(1) for part in views))


class DualEncoder(nn.Module):
    """An image tower and a sound tower that meet in codes of the same length, or one of them alone; and a text tower.

    Args:
        settings: Widths, backbones and weights; a modality without settings has no tower.
        pretrained: False leaves the backbones' weights as drawn, for a state dict that is loaded afterwards.
    """

    def __init__(self, settings: Encoders, *, pretrained: bool = True) -> None:
        super().__init__()
        self.settings = settings
        image, sound = settings.image, settings.sound
        if image is not None:
            images = build_image_backbone(image if pretrained else image.model_copy(update={"weights": "none"}))
            reader = DepthReader(images.widths, image.recurrent) if image.recurrent else None
            concepts = settings.concepts
            head: HashHead | ConceptHead
            if concepts is None:
                head = HashHead(images.out_dim, settings, reader)
            else:
                head = ConceptHead(images.out_dim, concepts, bits=settings.bits, temperature=concepts.image_temperature)
            self.image = Tower(images, head, frozen=image.frozen, tta_views=image.tta_views)
        if sound is not None and not sound.words_alone:
            sounds = build_sound_backbone(sound if pretrained else sound.model_copy(update={"weights": "none"}))
            temporal = None
            if isinstance(sounds, SequenceBackbone):
                temporal = TemporalPooling(sounds.out_dim, sound.temporal, sound.augmentation)
            width = sounds.out_dim if temporal is None else temporal.out_dim
            head = HashHead(width, settings)
            self.sound = Tower(sounds, head, frozen=sound.frozen, temporal=temporal, tta_views=sound.tta_views)
        if settings.text is not None and settings.concepts is not None:
            kind = AnyLanguage if settings.text.any_language else SentenceEncoder
            texts = kind(pretrained=pretrained)
            head = TextHead(
                texts.out_dim, settings.concepts, bits=settings.bits, temperature=settings.concepts.text_temperature
            )
            self.text = Tower(texts, head, frozen=True)

    @property
    def modalities(self) -> tuple[Modality, ...]:
        """Those that have a tower."""
        sound = self.settings.sound
        alone = sound is not None and sound.words_alone
        return tuple(kind for kind in self.settings.modalities if not (alone and kind == "sound"))

    def tower(self, modality: Modality) -> Tower:
        """The tower of a modality.

        Raises:
            ConfigError: There is none.
        """
        if modality not in self.modalities:
            raise ConfigError(
                f"there is no {modality} tower here (encoders.{modality} is null), so {modality}s can't be encoded; "
                "take a run that was trained on both"
            )
        found: Tower = getattr(self, modality)
        return found
