"""One training as Lightning sees it: steps, validation, optimiser."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from functools import cached_property
from itertools import permutations
from typing import Any, NamedTuple

import lightning.pytorch as pl
import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor
from torch.utils.data import DataLoader

from dtbh.codes import pack, signs
from dtbh.config import Config
from dtbh.data.manifest import Item, Modality
from dtbh.encoders.concept_head import ConceptHead, TextHead
from dtbh.encoders.dual_encoder import DualEncoder
from dtbh.encoders.hash_head import Encoded, HashHead
from dtbh.encoders.readers import Reader, Rows, StoredReader
from dtbh.errors import ConfigError, DtbhError
from dtbh.evaluation.metrics import embeddings
from dtbh.evaluation.metrics.counts import distance_counts
from dtbh.evaluation.metrics.labels import shared_labels
from dtbh.evaluation.metrics.ranking import average_precision, mean, mean_average_precision
from dtbh.models.confidence import Confidence
from dtbh.training.confidence import fit_confidence
from dtbh.training.losses.base import Outputs
from dtbh.training.losses.objective import Loss, Objective
from dtbh.training.losses.words import targets
from dtbh.training.sampling import Batch, PairDataset, PairSampler, pair_numbers
from dtbh.training.sentence_space import SENTENCE_SPACE, fit_sentence_space
from dtbh.training.shallow import Sample, fitted, set_layers

VALIDATION_BATCH = 64


class Side(NamedTuple):
    """The items of one modality and split, and what reads them."""

    items: Sequence[Item]
    reader: Reader


class DualTraining(pl.LightningModule):
    """Trains the towers; validates by the mean of both directions' tie-aware mAP.

    With one modality alone, the direction is from it to itself, and no query stands in its own gallery.

    Args:
        twin: What is trained.
        config: The whole run's.
        train: The training split, by modality.
        val: The validation split, both gallery and queries.
        classes: The class names, or what stands in ``Item.label`` where items have several; a label's number is its
            place here.
        workers: Processes that read files.
    """

    _alike: Tensor | None

    def __init__(
        self,
        twin: DualEncoder,
        config: Config,
        *,
        train: Mapping[Modality, Side],
        val: Mapping[Modality, Side],
        classes: Sequence[str],
        workers: int,
    ) -> None:
        super().__init__()
        self.twin, self.config = twin, config
        learning, words = targets(config.learning, train["sound"].items if "sound" in train else [])
        self._words: dict[Modality, Tensor] = {} if words is None else {"sound": words}
        sizes = {
            "classes": len(classes), "bits": config.encoders.bits, "feature_dim": config.encoders.feature_dim,
            "words": 0 if words is None else words.shape[1],
        }  # fmt: skip
        self._shared = shared_labels(classes)
        table = None if self._shared is None else torch.from_numpy(self._shared.table > 0)
        self.register_buffer("_alike", table, persistent=False)
        self.objective = Objective(learning, sizes, several=self._shared is not None)
        self._train, self._val = train, val
        self._number = {name: number for number, name in enumerate(classes)}
        self._workers = workers
        self._found: dict[Modality, list[Encoded]] = {name: [] for name in train}
        self._stored = {name: isinstance(side.reader, StoredReader) for name, side in train.items()}

    def train_dataloader(self) -> DataLoader[Any]:
        """Class-balanced batches, this process's share of each. Called anew for each epoch."""
        settings = self.config.training
        items: dict[Modality, Sequence[Item]] = {}
        items |= {name: side.items for name, side in self._train.items() if name != "text"}
        sampler = PairSampler(
            items,
            classes=settings.classes,
            per_class=settings.per_class,
            seed=_mixed(self.config.seed, self.current_epoch),
            rank=self.global_rank,
            world=self.trainer.world_size,
        )
        readers: dict[Modality, Reader] = {name: self._train[name].reader for name in items}
        data = PairDataset(readers, items, self._number, self._words)
        return DataLoader(
            data,
            batch_sampler=sampler,
            collate_fn=data.collate,
            num_workers=0 if all(self._stored[name] for name in items) else self._workers,
            pin_memory=self.device.type == "cuda",
        )

    def val_dataloader(self) -> list[DataLoader[Any]]:
        """All validation items, one loader a modality, on every process."""
        return [
            DataLoader(
                Rows(side.reader), batch_size=VALIDATION_BATCH, collate_fn=Rows(side.reader).collate,
                num_workers=0 if isinstance(side.reader, StoredReader) else self._workers,
            )
            for side in self._val.values()
        ]  # fmt: skip

    def training_step(self, batch: Batch | DtbhError, batch_idx: int) -> Tensor:
        """The objective over the batch gathered from all processes."""
        if isinstance(batch, DtbhError):
            raise batch
        seed = _mixed(self.config.seed, self.global_step, self.global_rank)
        torch.manual_seed(seed)  # dropout then hangs on the step alone, also after a resume
        masks = torch.Generator().manual_seed(seed)
        low, high = self.config.learning.tanh_scale
        done = self.global_step / max(1, int(self.trainer.estimated_stepping_batches) - 1)
        sides = []
        for name, media in batch.media.items():
            self.twin.tower(name).head.tanh_scale = low * (high / low) ** min(1.0, done)
            encoded = self._encode(name, media, masks if name == "sound" else None)
            outputs = Outputs(*encoded, batch.labels, batch.pairs[name], batch.words.get(name))
            outputs = self._gathered(outputs) if self.trainer.world_size > 1 else outputs
            sides.append(outputs._replace(shared=self._alike))
        loss: Loss = self.objective(tuple(sides), epoch=self.current_epoch)
        values = {"train/loss": loss.total.detach(), **{f"train/{name}": v for name, v in loss.terms.items()}}
        self.log_dict(values, on_step=False, on_epoch=True, batch_size=len(sides[0].labels))
        return loss.total

    def validation_step(self, batch: Any, batch_idx: int, dataloader_idx: int = 0) -> None:
        """Collect what the tower says of one batch of one modality."""
        if isinstance(batch, DtbhError):
            raise batch
        modality = list(self._val)[dataloader_idx]
        self._found[modality].append(Encoded(*(x.cpu() for x in self._encode(modality, batch))))

    def on_validation_epoch_end(self) -> None:
        """Log each direction's mAP, their mean, and what would show a collapse."""
        found = {name: Encoded(*map(torch.cat, zip(*parts, strict=True))) for name, parts in self._found.items()}
        for parts in self._found.values():
            parts.clear()
        bits = {name: signs(encoded.codes.numpy()) for name, encoded in found.items()}
        words = {name: pack(b) for name, b in bits.items()}
        self._val_words = words
        features = {name: F.normalize(encoded.features).numpy() for name, encoded in found.items()}
        ranked = words if self.config.learning.ranked_by == "codes" else features
        ways = list(permutations(reversed(bits), 2)) or [(name, name) for name in bits]
        values = {f"val/map_{query}_to_{gallery}": self._map(ranked, query, gallery) for query, gallery in ways}
        values = {"val/map": sum(values.values()) / len(values), **values}
        for name, own in bits.items():
            values[f"val/distinct_{name}_codes"] = float(len(np.unique(words[name], axis=0)))
            values[f"val/constant_{name}_bits"] = float((own.all(axis=0) | ~own.any(axis=0)).sum())
        self.log_dict(values, batch_size=1)

    @cached_property
    def _val_labels(self) -> dict[Modality, np.ndarray]:
        return {name: np.array([self._number[str(i.label)] for i in side.items]) for name, side in self._val.items()}

    def confidence(self) -> Confidence:
        """How often an item at a distance is right, by the codes of the last validation."""
        return fit_confidence(self._val_words, self._val_labels, self.config.encoders.bits, self._shared)

    def _map(self, ranked: Mapping[Modality, np.ndarray], query: Modality, gallery: Modality) -> float:
        """One direction's mAP over the validation split, by packed codes or by features."""
        labels, shared = self._val_labels, self._shared
        both, own = (labels[query], labels[gallery]), np.full(len(labels[query]), -1)
        if query == gallery:
            own = np.arange(len(own))  # no query stands in its own gallery
        if self.config.learning.ranked_by == "codes":
            bits = self.config.encoders.bits
            counts = distance_counts(ranked[query], ranked[gallery], *both, bits, own=own, shared=shared)
            return mean_average_precision(*counts)
        precision = embeddings.each_block(
            lambda block: average_precision(block.relevant, block.total),
            ranked[query], ranked[gallery], "euclidean", *both, own=own, shared=shared,
        )  # fmt: skip
        return mean(np.concatenate(list(precision)))

    @torch.inference_mode()
    def fit_heads(self, name: str) -> None:
        """Set the heads from the training items as they are: by the sentence space, or a method of ``SHALLOW_METHODS``.

        Raises:
            ConfigError: No such method, or not for these towers.
        """
        labelled = self.config.learning.labels
        if self._shared is not None and labelled and name in (SENTENCE_SPACE, "class_codes"):
            without = "; with learning.labels=false it does without classes" if name == SENTENCE_SPACE else ""
            raise ConfigError(f"learning.fit: {name} needs one class an item, and some have several labels{without}")
        if name == SENTENCE_SPACE:
            self.eval()
            self._fit_sentence_space()
            return
        trained = [modality for modality, stored in self._stored.items() if not stored]
        if trained:
            raise ConfigError(f"learning.fit: needs frozen backbones; set encoders.{trained[0]}.frozen=true")
        self.eval()
        pairs = pair_numbers({modality: side.items for modality, side in self._train.items()})
        samples = {}
        for modality, side in self._train.items():
            rows = Rows(side.reader)
            loader = DataLoader(rows, batch_size=VALIDATION_BATCH, collate_fn=rows.collate)
            vectors = torch.cat([self.twin.tower(modality).vectors(*media) for media in loader]).double().numpy()
            labels = np.array([self._number[str(item.label)] for item in side.items])
            samples[modality] = Sample(vectors, labels, np.array(pairs[modality]))
        layers = fitted(name, samples, bits=self.config.encoders.bits, seed=self.config.seed)
        for modality, found in layers.items():
            head = self.twin.tower(modality).head
            assert isinstance(head, HashHead)
            set_layers(head, found, name)

    def _fit_sentence_space(self) -> None:
        """Set the heads of images and texts."""
        image, text = (self._train[name].reader if name in self._train else None for name in ("image", "text"))
        if not (isinstance(text, StoredReader) and isinstance(image, StoredReader)):
            raise ConfigError(
                f"learning.fit: {SENTENCE_SPACE} needs encoders.text, encoders.concepts, sounds with transcripts, and "
                "encoders.image.frozen=true"
            )
        pairs = pair_numbers({name: self._train[name].items for name in ("image", "text")})
        assert isinstance(image.outputs, Tensor)
        assert isinstance(text.outputs, Tensor)
        images, own = self.twin.image.head, self.twin.text.head
        assert isinstance(images, ConceptHead)
        assert isinstance(own, TextHead)
        views = image.outputs.shape[1]
        labelled = self.config.learning.labels
        classes = [self._number[str(item.label)] if labelled else 0 for item in self._train["image"].items]
        seen = Sample(
            image.outputs.flatten(0, 1).double().numpy(), np.repeat(classes, views), np.repeat(pairs["image"], views)
        )
        fit_sentence_space(
            images,
            own,
            seen,
            text.outputs.flatten(0, 1).double().numpy(),
            np.array(pairs["text"]),
            seed=self.config.seed,
        )

    @property
    def trains(self) -> bool:
        """Whether anything is left for gradients once the heads are fitted: a sound tower beside a text tower."""
        return self.config.learning.fit == SENTENCE_SPACE and "sound" in self.twin.modalities

    def configure_optimizers(self) -> Any:
        """Adam; its rate rises in a line, and then falls as a cosine or stays."""
        settings = self.config.training
        optimiser = torch.optim.Adam(
            self._parameter_groups(), lr=settings.learning_rate, betas=settings.betas,
            weight_decay=settings.weight_decay,
        )  # fmt: skip
        steps = max(1, int(self.trainer.estimated_stepping_batches))
        rise = max(1, round(settings.warmup * steps))

        def rate(step: int) -> float:
            if step < rise:
                return (step + 1) / (rise + 1)
            if settings.schedule == "constant":
                return 1.0
            return (1 + math.cos(math.pi * (step - rise) / max(1, steps - rise))) / 2

        schedule = torch.optim.lr_scheduler.LambdaLR(optimiser, rate)
        return {"optimizer": optimiser, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}

    def _parameter_groups(self) -> list[dict[str, Any]]:
        """All that is trained; an image backbone that starts from given weights goes by a rate of its own."""
        settings, image = self.config.training, self.config.encoders.image
        trained = [p for p in self.parameters() if p.requires_grad]
        if image is None or image.frozen or image.weights == "none" or settings.backbone_rate == 1:
            return [{"params": trained}]
        own = {id(p) for p in self.twin.image.backbone.parameters()}
        return [
            {"params": [p for p in trained if id(p) not in own]},
            {"params": [p for p in trained if id(p) in own], "lr": settings.learning_rate * settings.backbone_rate},
        ]

    def _encode(self, modality: Modality, media: tuple[Tensor, ...], masks: torch.Generator | None = None) -> Encoded:
        """Encode media, or the stored outputs of a frozen backbone, in float32."""
        tower = self.twin.tower(modality)
        encoded = (tower.finish if self._stored[modality] else tower)(*media, generator=masks)
        return Encoded(*(x.float() for x in encoded))

    def _gathered(self, outputs: Outputs) -> Outputs:
        """What the towers of all processes say."""
        return Outputs(*(None if part is None else self._all(part) for part in outputs))  # type: ignore[arg-type]

    def _all(self, x: Tensor) -> Tensor:
        """Rows [n, ...] of every process as [world * n, ...]."""
        gathered = self.all_gather(x, sync_grads=x.is_floating_point())
        assert isinstance(gathered, Tensor)
        return gathered.flatten(0, 1)


def _mixed(*numbers: int) -> int:
    """One seed from several numbers."""
    return int(np.random.SeedSequence(numbers).generate_state(1)[0])
