"""The binary codes as a format: signs, packing, items, the encoder's fingerprint.

Bit ``j`` of a code is bit ``j % 64`` of its word ``j // 64``; words are little-endian uint64 and unused high bits are
0. Zero counts as +1 (bit 1). A folder of codes holds ``codes.npy``, ``items.jsonl`` and ``meta.json``.

In memory a code may have a vector beside it, which a search can order its nearest by: whole numbers, of which the
direction counts and the length means nothing, so that sums over them are exact in whatever order they are made. A code
that is a query may have weights: how sure it is of each of its bits, whole numbers too.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal, TypeVar

import numpy as np
import numpy.typing as npt
from numpy.typing import ArrayLike, NDArray

from dtbh.data.item_paths import read_items, relative_to
from dtbh.data.manifest import Item, Modality
from dtbh.data.shards import Shard
from dtbh.errors import CodesError, DataError
from dtbh.utils.files import atomic_folder, check_place, read_meta

Whole = TypeVar("Whole", np.int8, np.int16)
VERSION = 1
CODES, ITEMS, META = "codes.npy", "items.jsonl", "meta.json"
AGAIN = "run dtbh encode again"
ROWS = 4096  # vectors that are worked on at once
SUREST = 7  # the largest weight of a bit


def signs(values: ArrayLike) -> NDArray[np.bool_]:
    """Which side of zero each value lies on: the one place that decides that zero counts as +1.

    Args:
        values: Hash-like codes of any shape, integer or float, finite or infinite.

    Returns:
        Bits of the same shape: True for +1 (``value >= 0``, so also for 0 and -0), False for -1.

    Raises:
        CodesError: A value is NaN, or the array is not of real numbers.
    """
    array = np.asarray(values)
    if array.dtype.kind not in "iuf":
        raise CodesError(f"signs need real numbers, found dtype {array.dtype}; give the hash-like codes")
    if (missing := int(np.isnan(array).sum())) > 0:
        raise CodesError(f"{missing} of {array.size} values are NaN and have no sign; the encoder has diverged")
    return np.asarray(array >= 0)


def word_count(bits: int) -> int:
    """How many 64-bit words hold a code of ``bits`` bits."""
    return -(-bits // 64)


def pack(bits: NDArray[np.bool_]) -> NDArray[np.uint64]:
    """Pack bits into words.

    Args:
        bits: bool [n, K], K from 1.

    Returns:
        uint64 [n, ceil(K / 64)]; bit ``j`` of a row is bit ``j % 64`` of word ``j // 64``, unused bits 0.

    Raises:
        CodesError: Another dtype or shape.
    """
    if bits.dtype != np.bool_ or bits.ndim != 2 or bits.shape[1] < 1:
        raise CodesError(f"pack needs bool [n, K] with K >= 1, found {bits.dtype} {list(bits.shape)}")
    n, width = bits.shape
    octets = np.zeros((n, 8 * word_count(width)), np.uint8)
    octets[:, : -(-width // 8)] = np.packbits(bits, axis=1, bitorder="little")
    return octets.view("<u8").astype(np.uint64, copy=False)


def unpack(words: NDArray[np.uint64], bits: int) -> NDArray[np.bool_]:
    """The bits of packed codes; the inverse of `pack`.

    Args:
        words: uint64 [n, ceil(bits / 64)].
        bits: The length K of a code, from 1.

    Returns:
        bool [n, bits].

    Raises:
        CodesError: Another dtype or shape, or a bit set beyond ``bits``.
    """
    check_words(words, bits)
    octets = np.ascontiguousarray(words, "<u8").view(np.uint8)
    return np.unpackbits(octets, axis=1, count=bits, bitorder="little").view(np.bool_)


def check_words(words: NDArray[np.uint64], bits: int) -> None:
    """Raise `CodesError` unless ``words`` is uint64 [n, ceil(bits / 64)] with unused high bits 0."""
    if isinstance(bits, bool) or not isinstance(bits, (int, np.integer)) or bits < 1:
        raise CodesError(f"a code needs a number of bits from 1 on, found {bits!r}")
    if not isinstance(words, np.ndarray) or words.dtype != np.uint64:
        raise CodesError(f"codes must be packed uint64 words, found {getattr(words, 'dtype', type(words))}")
    if words.ndim != 2 or words.shape[1] != word_count(bits):
        raise CodesError(f"{bits} bits need words [n, {word_count(bits)}], found {list(words.shape)}")
    if bits % 64 and (words[:, -1] >> np.uint64(bits % 64)).any():
        raise CodesError(f"some codes have bits set beyond bit {bits}; the unused high bits must be 0")


def whole_numbers(vectors: NDArray[Any], kind: type[Whole]) -> NDArray[Whole]:
    """Vectors as whole numbers of nearly the same directions: each is scaled so that its largest is the kind's.

    A scale for each vector keeps five times as much of an angle as one for all does (docs/search.md).

    Args:
        vectors: Real numbers, finite, [n, d]; a vector of zeros stays one.
        kind: ``np.int16``, for queries, or ``np.int8``, for what is stored.

    Raises:
        CodesError: A value is not finite.
    """
    most, whole = np.iinfo(kind).max, np.empty(vectors.shape, kind)
    for start in range(0, len(vectors), ROWS):
        part = vectors[start : start + ROWS].astype(np.float64)
        if not np.isfinite(part).all():
            raise CodesError("some vectors are not finite; the encoder has diverged")
        largest = np.abs(part).max(axis=1, keepdims=True, initial=0)
        whole[start : start + ROWS] = np.rint(part / np.where(largest > 0, largest, 1) * most)
    return whole


def bit_weights(values: NDArray[Any]) -> NDArray[np.uint8]:
    """How sure hash-like codes are of each bit: their magnitudes as whole numbers, each scaled by its own largest.

    Args:
        values: Real numbers, [n, K]; every bit of a code of zeros has the weight 1, and beside an infinite value the
            finite ones have none.

    Returns:
        uint8 [n, K], 0 to `SUREST`. Finer ones find no more (docs/search.md).

    Raises:
        CodesError: A value is NaN.
    """
    values = np.asarray(values)
    weights = np.empty(values.shape, np.uint8)
    for start in range(0, len(values), ROWS):
        sure = np.abs(values[start : start + ROWS].astype(np.float64))
        if np.isnan(sure).any():
            raise CodesError("some hash-like codes are NaN; the encoder has diverged")
        endless = np.isinf(sure)
        sure = np.where(endless.any(axis=1, keepdims=True), endless, sure)
        largest = sure.max(axis=1, keepdims=True, initial=0)
        found = np.rint(sure / np.where(largest > 0, largest, 1) * SUREST)
        weights[start : start + ROWS] = np.where(largest > 0, found, 1)
    return weights


@dataclass(frozen=True, eq=False)
class HashCodes:
    """Hash codes with the items they stand for.

    Attributes:
        words: uint64 [n, ceil(bits / 64)], read-only.
        bits: Length K of a code, from 1.
        encoder: Fingerprint of the encoder that made them; codes of two encoders can't be compared.
        items: The n items, in the order of the rows; their paths, where they have one, are absolute. An
            item may stand more than once in memory, but not in a file.
        vectors: int16 [n, d], read-only, as `whole_numbers` makes them of the deep features: what a search with
            ``rescore`` orders by. None where nobody asked for them; a folder of codes has none.
        weights: uint8 [n, bits], read-only, 0 to `SUREST`, as `bit_weights` makes them of the hash-like codes: what an
            ``asymmetric`` search weighs bits by. None where only the bits are known, as of all that is stored.
    """

    words: NDArray[np.uint64]
    bits: int
    encoder: str
    items: tuple[Item, ...]
    vectors: NDArray[np.int16] | None = None
    weights: NDArray[np.uint8] | None = None

    def __post_init__(self) -> None:
        check_words(self.words, self.bits)
        if not isinstance(self.encoder, str) or not self.encoder:
            raise CodesError(f"codes need their encoder's fingerprint, found {self.encoder!r}")
        if len(self.items) != len(self.words):
            raise CodesError(f"{len(self.words)} codes but {len(self.items)} items; give one item a code")
        for item in self.items:
            if item.path is not None and not os.path.isabs(item.path):  # noqa: PTH117
                raise CodesError(f"item {item.id}: path {item.path} is relative; codes in memory want it absolute")
        count, vectors = len(self.words), self.vectors
        if vectors is not None and (
            vectors.dtype != np.int16 or vectors.ndim != 2 or len(vectors) != count or not vectors.shape[1]
        ):
            raise CodesError(
                f"vectors must be int16 [{count}, d] with d from 1, found {vectors.dtype} {list(vectors.shape)}; "
                "dtbh.codes.whole_numbers makes them"
            )
        if (weights := self.weights) is not None:
            wanted = (count, self.bits)
            if weights.dtype != np.uint8 or weights.shape != wanted or weights.max(initial=0) > SUREST:
                raise CodesError(
                    f"weights must be uint8 {list(wanted)}, 0 to {SUREST}, found {weights.dtype} "
                    f"{list(weights.shape)}; dtbh.codes.bit_weights makes them"
                )
        for name in ("words", "vectors", "weights"):
            if (array := getattr(self, name)) is not None:
                view = array.view()
                view.flags.writeable = False
                object.__setattr__(self, name, view)
        object.__setattr__(self, "bits", int(self.bits))
        object.__setattr__(self, "items", tuple(self.items))

    def __len__(self) -> int:
        return len(self.items)

    @property
    def modality(self) -> Literal["image", "sound", "text", "mixed"]:
        """The one modality of all items, or ``"mixed"``; ``"mixed"`` too where there is no item."""
        found = {item.modality for item in self.items}
        return found.pop() if len(found) == 1 else "mixed"

    @property
    def vector_dim(self) -> int | None:
        """How many numbers a vector has; None without vectors."""
        return None if self.vectors is None else self.vectors.shape[1]

    def select(self, rows: ArrayLike) -> HashCodes:
        """The codes at ``rows``: row numbers in any order, or a bool mask of length n."""
        index = np.asarray(rows)
        if index.size == 0 and index.dtype != np.bool_:
            index = index.astype(np.int64)
        chosen = np.arange(len(self))[index]
        vectors, weights = (None if part is None else part[chosen] for part in (self.vectors, self.weights))
        items = tuple(self.items[row] for row in chosen)
        return replace(self, words=self.words[chosen], items=items, vectors=vectors, weights=weights)

    def of(self, modality: Modality) -> HashCodes:
        """The codes of the images, or of the sounds; possibly none."""
        return self.select(np.array([item.modality == modality for item in self.items], np.bool_))

    @classmethod
    def from_values(cls, values: ArrayLike, *, encoder: str, items: Iterable[Item]) -> HashCodes:
        """Codes from hash-like codes, float [n, K]; zero counts as +1. They have weights."""
        bits = signs(values)
        if bits.ndim != 2:
            raise CodesError(f"hash-like codes must be [n, K], found {list(bits.shape)}")
        return cls(pack(bits), bits.shape[1], encoder, tuple(items), weights=bit_weights(np.asarray(values)))

    @classmethod
    def concatenate(cls, parts: Sequence[HashCodes]) -> HashCodes:
        """All codes of one or more parts, in order; with weights where all have them.

        Raises:
            CodesError: No part, or parts of different encoders or lengths, or of which only some have vectors.
        """
        if not parts:
            raise CodesError("nothing to concatenate: give at least one part")
        for part in parts[1:]:
            check_same(part, parts[0].bits, parts[0].encoder, of="the first part")
            check_vectors(part, parts[0].vector_dim, of="the first part")
        items = tuple(item for part in parts for item in part.items)
        vectors = [part.vectors for part in parts if part.vectors is not None]
        weights = [part.weights for part in parts if part.weights is not None]
        return replace(
            parts[0], words=np.concatenate([part.words for part in parts]), items=items,
            vectors=np.concatenate(vectors) if vectors else None,
            weights=np.concatenate(weights) if len(weights) == len(parts) else None,
        )  # fmt: skip


def check_same(codes: HashCodes, bits: int, encoder: str, *, of: str) -> None:
    """Raise `CodesError`, with both values, unless ``codes`` have this length and this encoder."""
    if codes.encoder != encoder:
        raise CodesError(
            f"the codes are of encoder {codes.encoder}, {of} of {encoder}: their distances would mean "
            "nothing; encode both with the same run"
        )
    if codes.bits != bits:
        raise CodesError(f"the codes have {codes.bits} bits, {of} {bits}; encode both with the same run")


def check_vectors(codes: HashCodes, dim: int | None, *, of: str) -> None:
    """Raise `CodesError` unless ``codes`` have vectors of this dimension, or none where it is None."""
    if codes.vector_dim == dim:
        return
    if dim is None:
        raise CodesError(f"the codes have vectors, {of} keeps none; index again with --vectors, or give codes without")
    if codes.vector_dim is None:
        raise CodesError(f"the codes have no vectors, {of} has one of {dim} numbers for each; encode with vectors=True")
    raise CodesError(f"the vectors have {codes.vector_dim} numbers, {of} {dim}; encode both with the same run")


def write_codes(codes: HashCodes, folder: str | Path, *, shard: Shard | None = None) -> Path:
    """Write a folder of codes, beside and renamed; an older folder of codes there is replaced.

    Item paths are written relative to the folder, so that it can move together with its media. ``shard`` says
    which part of a source they are.

    Returns:
        The folder.

    Raises:
        CodesError: An id stands twice, text that is not UTF-8, or something else stands in the place.
        DtbhError: The disk is full or the place can't be written.
    """
    folder = Path(folder)
    check_place(folder, META, "codes")
    check_storable(codes)
    encode = relative_to(folder)
    lines = (json.dumps(encode(item).to_dict(), ensure_ascii=False) + "\n" for item in codes.items)
    buffer = io.BytesIO()
    np.save(buffer, codes.words.astype("<u8", copy=False), allow_pickle=False)
    files = {CODES: buffer.getvalue(), ITEMS: "".join(lines).encode()}
    meta = {"version": VERSION, "bits": codes.bits, "modality": codes.modality, "encoder": codes.encoder,
            "count": len(codes), "sha256": {name: _sha256(data) for name, data in files.items()}}  # fmt: skip
    if shard is not None:
        meta["shard"] = shard.to_dict()
    files[META] = (json.dumps(meta, indent=2) + "\n").encode()
    with atomic_folder(folder) as new:
        for name, data in files.items():
            with (new / name).open("wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
    return folder


def read_codes(folder: str | Path) -> HashCodes:
    """Read a folder of codes; nothing pickled is ever loaded.

    Raises:
        CodesError: A file is missing, cut or altered (named, with both checksums), or of a newer version.
    """
    folder = Path(folder)
    if not (folder / META).is_file():
        raise CodesError(
            f"{folder}: no codes here, {META} is missing; make some with dtbh encode RUN ITEMS --out {folder}"
        )
    meta = read_meta(folder / META, (VERSION,), ("bits", "encoder", "count", "sha256"), AGAIN)
    try:
        wanted = {name: str(meta["sha256"][name]) for name in (CODES, ITEMS)}
    except (KeyError, TypeError):
        raise CodesError(f"{folder / META}: holds no checksums of {CODES} and {ITEMS}; {AGAIN}") from None
    data = {name: _checked(folder / name, checksum) for name, checksum in wanted.items()}
    try:
        words = np.load(io.BytesIO(data[CODES]), allow_pickle=False)
        items = tuple(read_items(folder / ITEMS, data[ITEMS].decode()))
        codes = HashCodes(words, meta["bits"], meta["encoder"], items)
    except (ValueError, EOFError, CodesError) as error:
        raise CodesError(f"{folder}: {error}; {AGAIN}") from None
    if len(codes) != meta["count"]:
        raise CodesError(f"{folder}: {META} says {meta['count']} codes, found {len(codes)}; {AGAIN}")
    return codes


def read_shard(folder: str | Path) -> Shard | None:
    """Which part of a source a folder of codes is; None for a whole."""
    path = Path(folder) / META
    return Shard.read(read_meta(path, (VERSION,), (), AGAIN), path)


def check_storable(codes: HashCodes) -> None:
    """Raise `CodesError` unless the ids are unique and every text can be written as UTF-8."""
    twice = [id for id, count in Counter(item.id for item in codes.items).items() if count > 1]
    if twice:
        raise CodesError(f"{len(twice)} ids stand more than once, the first is {twice[0]}; give each item its own")
    for item in codes.items:
        if wrong := item.not_utf8():
            raise CodesError(f"item {item.id!a}: {wrong[0]} {wrong[1]!a} is not UTF-8; rename the file")


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def _checked(path: Path, wanted: str) -> bytes:
    """The file's bytes, if they have the checksum they were written with."""
    try:
        data = path.read_bytes()
    except OSError as error:
        raise CodesError(f"{path}: can't be read ({error.strerror}); {AGAIN}") from None
    if (found := _sha256(data)) != wanted:
        raise CodesError(f"{path}: cut or altered: SHA-256 {found[:16]}, wanted {wanted[:16]}; {AGAIN}")
    return data


@dataclass(frozen=True, eq=False)
class Embeddings:
    """Real-valued vectors with the items they stand for.

    Attributes:
        values: float [n, d], finite; d from 1.
        items: The n items, in the order of the rows; an id stands once a modality.
    """

    values: npt.NDArray[np.floating[Any]]
    items: tuple[Item, ...]

    def __post_init__(self) -> None:
        values = self.values
        if values.dtype.kind != "f" or values.ndim != 2 or not values.shape[1]:
            raise DataError(f"embeddings must be float [n, d] with d from 1, found {values.dtype} {list(values.shape)}")
        if len(self.items) != len(values):
            raise DataError(f"{len(values)} embeddings but {len(self.items)} items; give one item an embedding")
        wrong = np.flatnonzero(~np.isfinite(values).all(axis=1))
        if len(wrong):
            raise DataError(f"{len(wrong)} of {len(values)} embeddings are not finite, the first is of "
                            f"{self.items[wrong[0]].id}; the encoder has diverged")  # fmt: skip

    def of(self, items: Sequence[Item]) -> npt.NDArray[np.floating[Any]]:
        """The values of these items, by id and modality, float [m, d].

        Raises:
            DataError: Some have no embedding.
        """
        rows = {(item.modality, item.id): row for row, item in enumerate(self.items)}
        missing = [item.id for item in items if (item.modality, item.id) not in rows]
        if missing:
            raise DataError(f"{len(missing)} of {len(items)} items have no embedding, the first is {missing[0]}")
        return self.values[[rows[item.modality, item.id] for item in items]]
