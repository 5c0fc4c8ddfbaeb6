"""A trained run and items to codes: the one stage that needs both the encoders and the code format.

Comes in: a run folder, and files or items. Goes out: ``HashCodes``.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file
from torch import Tensor
from torch.utils.data import DataLoader

from dtbh.codes import HashCodes, pack, signs
from dtbh.config import Config, Encoders, read_config
from dtbh.data.manifest import MODALITIES, Item, Modality
from dtbh.device import resolve_device
from dtbh.encoders.frozen import media_reader, reader_for
from dtbh.encoders.reading import Reader, Rows
from dtbh.encoders.twin import TwinEncoder
from dtbh.encoders.weights import state_fingerprint
from dtbh.errors import DtbhError, RunError
from dtbh.learning.folder import CONFIG, MODEL, read_run
from dtbh.progress import track

BATCH = 64


@dataclass(frozen=True)
class Encoding:
    """Codes, and what could not be encoded.

    Attributes:
        codes: Of the items that could be read, in their order.
        failures: One line for each item that could not.
    """

    codes: HashCodes
    failures: tuple[str, ...]


class Model:
    """A trained pair of encoders.

    Args:
        twin: The towers, with their weights.
        path: The run folder they come from.
        config: Its settings.
    """

    def __init__(self, twin: TwinEncoder, *, path: Path, config: Config) -> None:
        self.path, self.config = path, config
        self._device = resolve_device()  # not the one it was trained on
        self._twin = twin.eval().to(self._device)
        self.fingerprint = _fingerprint(twin)
        """Tells this encoder's codes from any other's: 16 hex digits."""

    @property
    def bits(self) -> int:
        """Length of a code."""
        return self.config.encoders.bits

    def encode_images(self, paths: Sequence[str | Path]) -> HashCodes:
        """Codes of image files, in order; ids are the paths as given.

        Raises:
            MediaError: A file can't be read.
        """
        return self.encode(_items(paths, "image")).codes

    def encode_sounds(self, paths: Sequence[str | Path]) -> HashCodes:
        """Codes of sound files, in order; ids are the paths as given.

        Raises:
            MediaError: A file can't be read.
        """
        return self.encode(_items(paths, "sound")).codes

    def encode(self, items: Sequence[Item], *, skip: bool = False, stored: bool = False) -> Encoding:
        """Codes of images and sounds.

        Args:
            items: With absolute paths.
            skip: Leave out what can't be read and say so, where otherwise the first such file is an error.
            stored: Look outputs of frozen backbones up in the store on disk, and keep new ones there: for
                items that will be encoded again, as in evaluation.

        Raises:
            DtbhError: No items; or, without ``skip``, a file that can't be read.
        """
        if not items:
            raise DtbhError("nothing to encode: no items given")
        words = np.zeros((len(items), -(-self.bits // 64)), dtype=np.uint64)
        failures: dict[int, str] = {}
        for modality in MODALITIES:
            rows = [row for row, item in enumerate(items) if item.modality == modality]
            if rows:
                self._fill(words, failures, items, rows, modality, skip=skip, stored=stored)  # type: ignore[arg-type]
        kept = [row for row in range(len(items)) if row not in failures]
        codes = HashCodes(words[kept], self.bits, self.fingerprint, tuple(items[row] for row in kept))
        return Encoding(codes, tuple(failures[row] for row in sorted(failures)))

    def _fill(
        self, words: np.ndarray, failures: dict[int, str], items: Sequence[Item], rows: list[int],
        modality: Modality, *, skip: bool, stored: bool,
    ) -> None:  # fmt: skip
        """Encode the items of one modality into their rows of ``words``."""
        paths = [Path(str(items[row].path)) for row in rows]
        tower = self._twin.tower(modality)
        use_store = stored and tower.frozen
        reader = reader_for(self._twin, modality, paths, device=self._device) if use_store else None
        done = 0
        for read, media in self._batches(reader or media_reader(self._twin, modality, paths), modality):
            good = []
            for local, row in enumerate(read, start=done):
                if isinstance(row, DtbhError):
                    if not skip:
                        raise row
                    failures[rows[local]] = str(row)
                else:
                    good.append(rows[local])
            done += len(read)
            if good:
                words[good] = self._words(tower.head if use_store else tower, media)

    def _batches(self, reader: Reader, modality: str) -> Iterator[tuple[list[Any], tuple[Tensor, ...]]]:
        """Rows as read (or why not), and those that could be read as a tower's arguments."""
        data = Rows(reader)

        def collate(rows: list[Any]) -> tuple[list[Any], tuple[Tensor, ...]]:
            good = [row for row in rows if not isinstance(row, DtbhError)]
            return rows, reader.collate(good) if good else ()

        loader = DataLoader(data, batch_size=BATCH, collate_fn=collate)
        yield from track(loader, f"encoding {modality}s", total=len(loader)) if len(data) > BATCH else loader

    @torch.inference_mode()
    def _words(self, network: torch.nn.Module, media: tuple[Tensor, ...]) -> np.ndarray:
        """Packed codes, uint64 [n, words]."""
        codes = network(*(x.to(self._device) for x in media)).codes
        return pack(signs(codes.float().cpu().numpy()))


def load(path: str | Path) -> Model:
    """Load a trained run.

    Raises:
        RunError: No run here, no weights yet, or weights of another configuration.
    """
    path = Path(path)
    read_run(path)
    config = read_config(path / CONFIG)
    file = path / MODEL
    if not file.is_file():
        raise RunError(f"{file}: no weights yet; run the same dtbh train again, it goes on where it was")
    twin = TwinEncoder(config.encoders, pretrained=False)
    try:
        twin.load_state_dict(load_file(file))
    except Exception as error:
        found = " ".join(str(error).split())[:200]
        raise RunError(f"{file}: not this configuration's weights, or damaged ({found}); train again") from error
    return Model(twin, path=path, config=config)


def _fingerprint(twin: TwinEncoder) -> str:
    """Over the weights and over what of the settings changes a code."""
    s: Encoders = twin.settings
    before = [s.bits, s.image.backbone, s.image.size, s.sound.max_seconds, s.sound.features.model_dump_json()]
    return hashlib.sha256(f"{before} {state_fingerprint(twin)}".encode()).hexdigest()[:16]


def _items(paths: Sequence[str | Path], modality: Modality) -> list[Item]:
    return [Item(str(path), modality, str(Path(path).resolve())) for path in paths]
