"""What turns files and texts into codes, whether it runs on torch or not.

Search, index and the service ask for no more than that, so an exported model brings in neither torch nor Lightning.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from dtbh.codes import HashCodes, bit_weights, pack, signs, whole_numbers, word_count
from dtbh.data.manifest import MODALITIES, Item, Modality
from dtbh.data.passages import heard_part
from dtbh.errors import DtbhError, WordlessError
from dtbh.models.confidence import Confidence, read_confidence
from dtbh.models.run_files import CONFIG
from dtbh.models.senses import Senses

if TYPE_CHECKING:
    from dtbh.config import Config

_Words = tuple[dict[str, str], dict[str, float]]  # what was heard, and how familiar it is, by the items' ids
EXPORTED = "model.json"
"""The file that tells an exported model from a run folder."""


@dataclass(frozen=True)
class Encoding:
    """Codes, and what could not be encoded.

    Attributes:
        codes: Of the items that could be read, in their order, with weights; with vectors, where these were asked for.
        failures: One line for each item that could not.
        values: The hash-like codes whose signs they are, float32 [n, bits]; None where they were not asked for.
    """

    codes: HashCodes
    failures: tuple[str, ...]
    values: NDArray[np.float32] | None = None
    heard: Mapping[str, str] = field(default_factory=dict)
    """By the ids of sounds whose code is that of words: the words."""
    familiarity: Mapping[str, float] = field(default_factory=dict)
    """By the ids of texts, and of sounds in ``heard``: how near the words are to any caption of training, -1 to 1.

    It is 1 of a sound that is clear without its words.
    """

    def transcribed(self) -> HashCodes:
        """The codes, what was heard as their items' transcripts."""
        items = (replace(i, transcript=self.heard.get(i.id, i.transcript)) for i in self.codes.items)
        return replace(self.codes, items=tuple(items))

    def row(self, row: int) -> Encoding:
        """One item alone."""
        id = self.codes.items[row].id
        heard = {id: self.heard[id]} if id in self.heard else {}
        familiarity = {id: self.familiarity[id]} if id in self.familiarity else {}
        values = None if self.values is None else self.values[row : row + 1]
        return Encoding(self.codes.select([row]), (), values, heard, familiarity)


def gives_vectors(model: Encoder) -> bool:
    """Whether it gives vectors that can be compared; one that an older dtbh exported gives none."""
    try:
        return model.vector_dim > 0
    except DtbhError:
        return False


class Encoder(Protocol):
    """Trained towers; `load` opens them."""

    @property
    def path(self) -> Path:
        """The run folder, or the folder of the exported model."""

    @property
    def bits(self) -> int:
        """Length of a code."""

    @property
    def device(self) -> str:
        """Where it computes, as in ``"cpu"`` or ``"cuda"``."""

    @property
    def fingerprint(self) -> str:
        """Tells this encoder's codes from any other's: 16 hex digits."""

    @property
    def config(self) -> Config:
        """The settings of the run."""

    @property
    def senses(self) -> Senses:
        """What it takes."""

    @property
    def vector_dim(self) -> int:
        """How many numbers the vector of an item has.

        Raises:
            DtbhError: It gives no vectors that could be compared.
        """

    language: str
    """What is spoken, as in ``"es"``, for models that hear any language; ``"auto"`` at first: found for each sound."""

    @property
    def confidence(self) -> Confidence | None:
        """How far its hits can be believed; None where the run does not say.

        Raises:
            RunError: A damaged file.
        """

    def encode_images(self, paths: Sequence[str | Path], *, vectors: bool = False) -> HashCodes:
        """Codes of image files, in order; ids are the paths as given. ``vectors`` is that of `encode`.

        Raises:
            MediaError: A file can't be read.
        """

    def encode_sounds(self, paths: Sequence[str | Path], *, vectors: bool = False) -> HashCodes:
        """Codes of sound files, in order; ids are the paths as given, transcripts the words that were heard.

        Of each the part is heard that says most, as in `as_query`.

        Raises:
            MediaError: A file can't be read.
        """

    def encode_texts(self, texts: Sequence[str], *, vectors: bool = False) -> HashCodes:
        """Codes of texts, in order; ids and transcripts are the texts as given.

        Raises:
            MediaError: A text without a word, or far too long a one.
            DtbhError: There is no text tower.
        """

    def encode(
        self, items: Sequence[Item], *, skip: bool = False, stored: bool = False, values: bool = False,
        vectors: bool = False, wordless: bool = False,
    ) -> Encoding:  # fmt: skip
        """Codes of images, sounds and texts.

        Args:
            items: With absolute paths; of a text, the transcript is read.
            skip: Leave out what can't be read and say so, where otherwise the first such file is an error.
            stored: Look outputs of frozen backbones up in the store on disk, and keep new ones there, where
                the encoder has such a store: for items that will be encoded again, as in evaluation.
            values: Give the hash-like codes too.
            vectors: Give the codes vectors, the directions of the deep features; of sounds that words lead those of
                both, mixed as the codes are.

            wordless: Give a sound in which a model that knows words alone hears none a code that says nothing, all
                ones, where otherwise it can't be encoded: for figures, of which it is a part.

        Raises:
            DtbhError: No items; or, without ``skip``, a file that can't be read; or vectors that the encoder does not
                give.
        """


@dataclass(frozen=True)
class CodeBatch:
    """Some items' codes.

    Attributes:
        reasons: Of each item of the batch, in order: None, or why it can't be read.
        values: Hash-like codes, float32 [those that can be read, bits].
        features: Deep features, float32 [those that can be read, d]; None where the encoder gives none.
        heard: The words of each of those that can be read, None where a code is not that of words; empty for none.
        familiarity: How familiar the words are of each of those that can be read, None where there are none.
    """

    reasons: Sequence[DtbhError | None]
    values: NDArray[np.float32]
    features: NDArray[np.float32] | None = None
    heard: Sequence[str | None] = ()
    familiarity: Sequence[float | None] = ()


class _Rows(NamedTuple):
    """What is filled in, a row an item; None where it was not asked for."""

    words: NDArray[np.uint64]
    values: NDArray[np.float32] | None
    vectors: NDArray[np.int16] | None
    weights: NDArray[np.uint8]


class FileEncoder(ABC):
    """What every encoder shares; one says in ``_batches`` how its towers read and encode.

    Args:
        path: The folder it comes from.
        bits: Length of a code.
        fingerprint: As in `Encoder`.
    """

    def __init__(self, path: Path, *, bits: int, fingerprint: str) -> None:
        self.path, self.bits, self.fingerprint = path, bits, fingerprint
        self.language = "auto"

    @property
    def device(self) -> str:
        """Where it computes, as `Encoder` says."""
        return "cpu"

    @cached_property
    def config(self) -> Config:
        """The settings of the run."""
        from dtbh.config import read_config

        return read_config(self.path / CONFIG)

    @cached_property
    def senses(self) -> Senses:
        """What it takes."""
        towers = self.config.encoders
        sound, text = towers.sound, towers.text
        return Senses(
            towers.modalities,
            None if sound is None else sound.max_seconds,
            sound is not None and sound.listens,
            None if text is None else text.backbone,
        )

    @cached_property
    def confidence(self) -> Confidence | None:
        """How far its hits can be believed, as `Encoder` says."""
        return read_confidence(self.path)

    @property
    @abstractmethod
    def vector_dim(self) -> int:
        """How many numbers the vector of an item has, as `Encoder` says."""

    def encode_images(self, paths: Sequence[str | Path], *, vectors: bool = False) -> HashCodes:
        """Codes of image files, as `Encoder` says."""
        return self.encode(_items(paths, "image"), vectors=vectors).codes

    def encode_sounds(self, paths: Sequence[str | Path], *, vectors: bool = False) -> HashCodes:
        """Codes of sound files, as `Encoder` says."""
        items = [as_query(self, item)[0] for item in _items(paths, "sound")]
        return self.encode(items, vectors=vectors).transcribed()

    def encode_texts(self, texts: Sequence[str], *, vectors: bool = False) -> HashCodes:
        """Codes of texts, as `Encoder` says."""
        if isinstance(texts, str):
            raise DtbhError("wanted a list of texts, found one text: give [text]")
        return self.encode([text_item(text) for text in texts], vectors=vectors).codes

    def encode(
        self, items: Sequence[Item], *, skip: bool = False, stored: bool = False, values: bool = False,
        vectors: bool = False, wordless: bool = False,
    ) -> Encoding:  # fmt: skip
        """Codes of images and sounds, as `Encoder` says."""
        if not items:
            raise DtbhError("nothing to encode: no items given")
        n = len(items)
        found = _Rows(
            np.zeros((n, word_count(self.bits)), dtype=np.uint64),
            np.zeros((n, self.bits), dtype=np.float32) if values else None,
            np.zeros((n, self.vector_dim), dtype=np.int16) if vectors else None,
            np.ones((n, self.bits), dtype=np.uint8),
        )
        failures: dict[int, str] = {}
        words_of: _Words = {}, {}
        for modality in MODALITIES:
            rows = [row for row, item in enumerate(items) if item.modality == modality]
            if rows:
                batches = self._batches(modality, [items[row] for row in rows], stored)
                self._fill(found, failures, words_of, items, rows, batches, skip=skip, wordless=wordless)
        kept = [row for row in range(n) if row not in failures]
        codes = HashCodes(
            found.words[kept], self.bits, self.fingerprint, tuple(items[row] for row in kept),
            None if found.vectors is None else found.vectors[kept], found.weights[kept],
        )  # fmt: skip
        reasons = tuple(failures[row] for row in sorted(failures))
        return Encoding(codes, reasons, None if found.values is None else found.values[kept], *words_of)

    def _fill(
        self, found: _Rows, failures: dict[int, str], words_of: _Words, items: Sequence[Item], rows: list[int],
        batches: Iterator[CodeBatch], *, skip: bool, wordless: bool,
    ) -> None:  # fmt: skip
        """Put the codes of one modality into their rows of what is found."""
        done = 0
        for batch in batches:
            good = []
            for row, reason in zip(rows[done:], batch.reasons, strict=False):
                if reason is None:
                    good.append(row)
                elif wordless and isinstance(reason, WordlessError):
                    found.words[row] = pack(np.ones((1, self.bits), np.bool_))[0]
                    if found.vectors is not None:
                        found.vectors[row] = 1
                elif skip:
                    failures[row] = str(reason)
                else:
                    raise reason
            done += len(batch.reasons)
            if good:
                found.words[good] = pack(signs(batch.values))
                found.weights[good] = bit_weights(batch.values)
                if found.values is not None:
                    found.values[good] = batch.values
                if found.vectors is not None:
                    assert batch.features is not None
                    found.vectors[good] = whole_numbers(batch.features, np.int16)
            ids = [items[row].id for row in good]
            heard, familiarity = words_of
            heard |= {id: said for id, said in zip(ids, batch.heard, strict=False) if said is not None}
            familiarity |= {id: near for id, near in zip(ids, batch.familiarity, strict=False) if near is not None}

    @abstractmethod
    def _batches(self, modality: Modality, items: Sequence[Item], stored: bool) -> Iterator[CodeBatch]:
        """The codes of one modality's items, in order, some at a time."""


def _items(paths: Sequence[str | Path], modality: Modality) -> list[Item]:
    return [Item(str(path), modality, str(Path(path).resolve())) for path in paths]


def as_query(model: Encoder, item: Item, *, within: float | None = None) -> tuple[Item, str]:
    """A query as it is encoded: of a sound the part that says most in as many seconds as the model hears.

    Args:
        model: What will encode it.
        item: With its file.
        within: Longer recordings are refused, in seconds; None takes any.

    Returns:
        The item, and what was left out, as `dtbh.data.passages.heard_part` says; empty where nothing was.

    Raises:
        MediaError: The sound can't be read, or is longer.
    """
    seconds = model.senses.seconds
    return heard_part(item, seconds, within=within) if item.modality == "sound" and seconds else (item, "")


def text_item(text: str) -> Item:
    """A text as an item; its id is the text."""
    return Item(text or "(empty)", "text", transcript=text)
