"""From an archive and a list of words to the same archive with the nearest words of each image.

The archive is written anew and renamed: a kill at any moment leaves it as it was, and the same call does it again; no
image is encoded. One whose images all have the words of this very list and model is left as it is.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from dtbh.codes import HashCodes
from dtbh.data.item_words import FIELDS, NAMED_BY, WORD, own_fields, word_fields
from dtbh.errors import CodesError, ConfigError
from dtbh.index.archive.archive import Archive, open_archive
from dtbh.media.word_list import land_use_words, read_words
from dtbh.models.load import load
from dtbh.search.naming import PlacedWords, nearest_words, place_words
from dtbh.search.query import check_encoder

TOP = 3
MOST = 20  # words of an image


@dataclass(frozen=True)
class LabelResult:
    """What was named.

    Attributes:
        path: The archive.
        images: How many images have words now.
        new: How many of them were named by this call.
        words: How many words the list has.
        counts: How many images have each word as their nearest, the most frequent first.
    """

    path: Path
    images: int
    new: int
    words: int
    counts: Mapping[str, int]


def label(
    archive: str | Path, *, words: str | Path | None = None, model: str | Path | None = None, top: int = TOP
) -> LabelResult:
    """Write the nearest words of each image into its further fields (`dtbh.data.item_words`).

    Labels, and all other fields, stay as they are; words of an earlier call are replaced.

    Args:
        archive: The folder; by its vectors where it keeps them, else by its codes.
        words: A text file with a word a line; the list that comes with dtbh unless given.
        model: The run that made the archive, or its export; the one that the archive names unless given.
        top: How many words each image is to have, from 1 to `MOST`.

    Raises:
        CodesError: No archive, one without images, made by another model, or with such fields of its own.
        ConfigError: ``top`` out of range, or a model without a tower for texts.
        DataError: No words.
        DtbhError: Another process is writing, or the disk is full; the archive stays as it was.
    """
    if not 1 <= top <= MOST:
        raise ConfigError(f"--top {top}: wanted a number of words from 1 to {MOST}")
    index = open_archive(archive)
    names = land_use_words() if words is None else read_words(words)
    run = model or index.model
    if run is None:
        raise ConfigError(f"{index.path}: does not say which run made it; give --model RUN")
    encoder = load(run)
    check_encoder(index, encoder)
    if not (images := index.counts().get("image", 0)):
        raise CodesError(f"{index.path}: has no images, and only images are named")
    placed = place_words(encoder, names, vectors=index.vector_dim is not None)
    new = _write(index, placed, top, images)
    counts = Counter(index.counted(WORD))
    return LabelResult(index.path, images, new, len(names), dict(sorted(counts.items(), key=lambda c: (-c[1], c[0]))))


def _write(index: Archive, words: PlacedWords, top: int, images: int) -> int:
    """Name the images, unless all are; returns how many were."""
    stamp = words.stamp(top)
    if index.counted(NAMED_BY).get(stamp, 0) == images:
        return 0
    named = 0

    def further(codes: HashCodes) -> Sequence[Mapping[str, str]]:
        nonlocal named
        fields = [own_fields(item) for item in codes.items]
        for own, item in zip(fields, codes.items, strict=True):
            if clash := [name for name in FIELDS if name in own]:
                raise CodesError(
                    f"{index.path}: item {item.id} has a field {clash[0]} of its own, which its words would replace; "
                    "index the table again with another name for that column"
                )
        rows = [row for row, item in enumerate(codes.items) if item.modality == "image"]
        found = nearest_words(codes.select(rows), words, top)
        for row, places, likely in zip(rows, found.places.tolist(), found.probabilities.tolist(), strict=True):
            fields[row] |= word_fields([words.names[place] for place in places], likely, stamp)
        named += len(rows)
        return fields

    index.describe(further)
    return named
