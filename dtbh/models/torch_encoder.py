"""A trained run and items to codes, on torch; ``dtbh.models.load.load`` opens this or an exported model."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from safetensors.torch import load_file
from torch import Tensor

from dtbh.codes import Embeddings
from dtbh.config import Encoders, read_config
from dtbh.data.manifest import Item, Modality
from dtbh.data.passages import sound_of
from dtbh.data.tiling import media_of
from dtbh.encoders.cached_readers import media_reader, reader_for
from dtbh.encoders.concept_head import TextHead
from dtbh.encoders.dual_encoder import DualEncoder
from dtbh.encoders.hash_head import Encoded
from dtbh.encoders.readers import Reader, Rows, TextReader
from dtbh.encoders.transcripts import transcripts, unheard
from dtbh.encoders.weights import state_fingerprint
from dtbh.errors import ConfigError, DtbhError, RunError
from dtbh.media.raster import Tile
from dtbh.media.sound import Passage
from dtbh.media.transcriber import VERSION, Heard, Transcriber
from dtbh.media.utterance import VERSION as UTTERANCE
from dtbh.models.encoder import CodeBatch, FileEncoder
from dtbh.models.hearing import as_meant, meanings, understood, word_shares
from dtbh.models.run_files import CONFIG, MODEL, read_run
from dtbh.utils.device import resolve_device
from dtbh.utils.progress import track

BATCH = 64


class _Part(NamedTuple):
    """A batch: as `CodeBatch`, with what the tower says of the items that can be read (None where none can)."""

    reasons: list[DtbhError | None]
    encoded: Encoded | None
    heard: Sequence[str | None] = ()
    familiarity: Sequence[float | None] = ()


class TorchEncoder(FileEncoder):
    """Trained towers.

    Args:
        twin: The towers, with their weights.
        path: The run folder they come from.
    """

    def __init__(self, twin: DualEncoder, *, path: Path) -> None:
        super().__init__(path, bits=twin.settings.bits, fingerprint=_fingerprint(twin))
        self._device = resolve_device()  # not the one it was trained on
        self.twin = twin.eval().to(self._device)

    @property
    def device(self) -> str:
        """Where it computes, as `Encoder` says."""
        return str(self._device)

    @property
    def vector_dim(self) -> int:
        """How many numbers the vector of an item has, as `Encoder` says."""
        widths = {modality: self.twin.tower(modality).head.feature_dim for modality in self.twin.modalities}
        if len({*widths.values()}) > 1:
            found = ", ".join(f"{width} of {modality}s" for modality, width in widths.items())
            raise ConfigError(
                f"{self.path}: the deep features are of different widths ({found}), so no vectors can be compared; "
                "train with encoders.feature_dim above 0"
            )
        return next(iter(widths.values()))

    def embed(self, items: Sequence[Item], *, stored: bool = False) -> Embeddings:
        """The deep features of images and sounds, brought to length one: what methods without codes rank by.

        Args:
            items: With absolute paths.
            stored: As in `Encoder.encode`.

        Returns:
            float32 [n, d] with the items, in their order.

        Raises:
            DtbhError: No items, or a file that can't be read.
        """
        if not items:
            raise DtbhError("nothing to embed: no items given")
        values: dict[int, NDArray[np.float32]] = {}
        for modality in self.twin.settings.modalities:
            rows = [row for row, item in enumerate(items) if item.modality == modality]
            done = 0
            for part in self._encoded(modality, [items[row] for row in rows], stored):
                wrong = next((reason for reason in part.reasons if reason is not None), None)
                if wrong is not None:
                    raise wrong
                assert part.encoded is not None
                vectors = F.normalize(part.encoded.features.float()).cpu().numpy()
                values |= zip(rows[done : done + len(vectors)], vectors, strict=True)
                done += len(vectors)
        return Embeddings(np.stack([values[row] for row in range(len(items))]), tuple(items))

    def _batches(self, modality: Modality, items: Sequence[Item], stored: bool) -> Iterator[CodeBatch]:
        """The codes of one modality's items, a batch at a time."""
        for reasons, encoded, heard, familiarity in self._encoded(modality, items, stored):
            if encoded is None:
                yield CodeBatch(reasons, np.zeros((0, self.bits), dtype=np.float32))
                continue
            features, values = (part.float().cpu().numpy() for part in encoded)
            yield CodeBatch(reasons, values, features, heard, familiarity)

    @torch.inference_mode()
    def _encoded(self, modality: Modality, items: Sequence[Item], stored: bool) -> Iterator[_Part]:
        """What the tower says of items, a batch at a time."""
        if not items:
            return
        if modality == "text":
            yield from self._texts([item.transcript or "" for item in items])
            return
        sounds = [sound_of(item) for item in items] if modality == "sound" else []
        media_files: Sequence[Path | Tile | Passage] = sounds or [media_of(item) for item in items]
        paths = [path for path in media_files if isinstance(path, Path)]
        sound = self.twin.settings.sound
        if modality == "sound" and sound is not None and sound.words_alone:
            yield from self._heard_alone(sounds, stored)
            return
        tower = self.twin.tower(modality)
        use_store = stored and tower.frozen and len(paths) == len(items)
        reader = reader_for(self.twin, modality, paths, device=self._device) if use_store else None
        network = tower.finish if use_store else tower
        words = iter(self._words(modality, sounds, stored))
        for rows, media in self._read(reader or media_reader(self.twin, modality, media_files), modality):
            reasons = [row if isinstance(row, DtbhError) else None for row in rows]
            encoded = network(*(x.to(self._device) for x in media)) if media else None
            heard = [said for reason, said in zip(reasons, words, strict=False) if reason is None]
            if encoded is not None and any(heard):
                yield self._led_by_words(_Part(reasons, encoded), heard)
            else:
                yield _Part(reasons, encoded)

    def _texts(self, texts: Sequence[str]) -> Iterator[_Part]:
        """As `_encoded`, of texts."""
        tower = self.twin.tower("text")
        settings = self.twin.settings.text
        assert settings is not None
        assert isinstance(tower.head, TextHead)
        for rows, media in self._read(TextReader(texts, settings), "text"):
            reasons = [row if isinstance(row, DtbhError) else None for row in rows]
            if media:
                vectors = tower.vectors(*tower.outputs(*(x.to(self._device) for x in media)))
                yield _Part(reasons, tower.finish(vectors), familiarity=tower.head.familiarity(vectors).tolist())
            else:
                yield _Part(reasons, None)

    def _heard_alone(self, sounds: Sequence[Path | Passage], stored: bool) -> Iterator[_Part]:
        """As `_encoded`, of sounds of which nothing counts but the words."""
        heard = self._words("sound", sounds, stored)
        for start in range(0, len(sounds), BATCH):
            some = slice(start, start + BATCH)
            words = [said and said.text for said in heard[some]]
            pairs = zip(sounds[some], words, strict=True)
            reasons: list[DtbhError | None] = [None if said else unheard(sound) for sound, said in pairs]
            known = [said for said in heard[some] if said]
            if known:
                encoded, familiarity = self._sentences(known)
                yield _Part(reasons, encoded, [said.text for said in known], familiarity)
            else:
                yield _Part(reasons, None)

    def _sentences(self, heard: Sequence[Heard]) -> tuple[Encoded | None, Sequence[float | None]]:
        """What the text tower says of sounds: by their words, and by what they mean as a whole where that is known."""
        texts = [said.text for said in heard]
        if heard[0].meaning is None:
            ((_, encoded, _, familiarity),) = self._texts(texts)
            return encoded, familiarity
        tower, settings = self.twin.tower("text"), self.twin.settings.text
        assert settings is not None
        assert isinstance(tower.head, TextHead)
        reader = TextReader(texts, settings)
        media = reader.collate([reader(row) for row in range(len(texts))])
        words = tower.vectors(*tower.outputs(*(x.to(self._device) for x in media)))
        meant = torch.from_numpy(meanings(heard)).to(self._device)
        known = tower.head.familiarity(meant).float().cpu().numpy()
        sentences = torch.from_numpy(as_meant(heard, words.float().cpu().numpy(), known)).to(self._device)
        return tower.finish(sentences), tower.head.familiarity(sentences).tolist()

    def _words(self, modality: Modality, paths: Sequence[Path | Passage], stored: bool) -> Sequence[Heard | None]:
        """What each sound says; nothing where the model does not listen for words."""
        sound = self.twin.settings.sound
        if modality != "sound" or sound is None or not sound.listens:
            return ()
        heard = transcripts(
            self._transcriber, paths, language=self.language, max_seconds=sound.max_seconds, stored=stored
        )
        return understood(heard, lambda texts: [near for part in self._texts(texts) for near in part.familiarity])

    @cached_property
    def _transcriber(self) -> Transcriber:
        text, sound = self.twin.settings.text, self.twin.settings.sound
        assert sound is not None
        return Transcriber(
            any_language=text is not None and text.any_language, prompt=sound.prompt, hypotheses=sound.hypotheses,
            utterance=sound.utterance,
        )  # fmt: skip

    def _led_by_words(self, part: _Part, heard: Sequence[Heard | None]) -> _Part:
        """What the tower says of sounds, but where words were heard what the text tower says of them.

        Words that are unsure leave a share to the sound, and so do any where the sound is clear. Features are brought
        to length one before they are mixed: of those that are learned only the direction counts.
        """
        words = {row: said for row, said in enumerate(heard) if said is not None}
        ((_, texts, _, familiarity),) = self._texts([said.text for said in words.values()])
        encoded = part.encoded
        assert texts is not None
        assert encoded is not None
        device = encoded.codes.device
        places = torch.tensor(list(words), device=device)
        own = encoded.codes[places].float().cpu().numpy()
        shares, near = word_shares([*words.values()], own, [float(x or 0) for x in familiarity])
        share = torch.from_numpy(shares).to(device)
        encoded, texts = (Encoded(F.normalize(part.features), part.codes) for part in (encoded, texts))
        pairs = zip(encoded, texts, strict=True)
        mixed = (own.index_copy(0, places, own[places].lerp(said.to(own.dtype), share)) for own, said in pairs)
        known = dict(zip(words, near, strict=True))
        return _Part(
            part.reasons, Encoded(*mixed), [said and said.text for said in heard], [*map(known.get, range(len(heard)))]
        )

    def _read(self, reader: Reader, modality: str) -> Iterator[tuple[list[Any], tuple[Tensor, ...]]]:
        """Rows as read (or why not), and those that could be read as a tower's arguments."""
        data = Rows(reader)
        starts: Iterable[int] = range(0, len(data), BATCH)
        if len(data) > BATCH:
            starts = track(starts, f"encoding {modality}s", total=len(data), each=BATCH)
        for start in starts:
            rows = [data[row] for row in range(start, min(start + BATCH, len(data)))]
            good = [row for row in rows if not isinstance(row, DtbhError)]
            yield rows, reader.collate(good) if good else ()


def load(path: str | Path) -> TorchEncoder:
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
    twin = DualEncoder(config.encoders, pretrained=False)
    try:
        twin.load_state_dict(load_file(file))
    except Exception as error:
        found = " ".join(str(error).split())[:200]
        raise RunError(f"{file}: not this configuration's weights, or damaged ({found}); train again") from error
    return TorchEncoder(twin, path=path)


def _fingerprint(twin: DualEncoder) -> str:
    """Over the weights and over what of the settings changes a code."""
    s: Encoders = twin.settings
    before: list[object] = [s.bits]
    if s.image is not None:
        before += [s.image.backbone, s.image.size]
    if s.sound is not None:
        features = s.sound.features.model_dump_json() if s.sound.backbone == "cnn" else s.sound.backbone
        before += [s.sound.max_seconds, features]
    # What came later is said only where it is used, so that older runs keep their fingerprints.
    if s.image is not None and s.image.tta_views > 1:
        before.append(s.image.tta_views)
    if s.sound is not None and s.sound.tta_views > 1:
        before.append(f"{s.sound.tta_views} speeds")
    if s.image is not None and s.image.depths:
        before.append(s.image.depths)
    if s.activation != "relu":
        before.append(s.activation)
    if s.concepts is not None:
        before.append(s.concepts.model_dump_json(exclude=None if s.concepts.pairs else {"pairs"}))
    if s.text is not None and s.text.any_language:
        before.append(s.text.backbone)
    if s.sound is not None and s.sound.listens:
        before.append(f"words {VERSION}")
        before += [s.sound.prompt] if s.sound.prompt else []
        before += [f"of {s.sound.hypotheses}"] if s.sound.hypotheses > 1 else []
        before += [f"meant {UTTERANCE}"] if s.sound.utterance else []
    return hashlib.sha256(f"{before} {state_fingerprint(twin)}".encode()).hexdigest()[:16]
