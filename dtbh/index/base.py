"""What every index can do, and how a question is understood by all of them alike.

`MemoryIndex`, `Archive` and `MilvusIndex` are each an `Index`: the same answers, ordered by distance and then by order
of insertion.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from dtbh.codes import HashCodes
from dtbh.data.item_words import WORDS
from dtbh.data.manifest import MODALITIES, SPLITS, Item, join_labels
from dtbh.errors import CodesError, ConfigError
from dtbh.index.bounds import BOX, parse_box
from dtbh.index.result import SearchResult

Find = Literal["image", "sound", "text", "any"]
Condition = tuple[str, str]
FIELDS = ("id", "modality", "path", "label", "pair", "split", "speaker", "transcript")
"""The fields of an item that a filter takes, beside those in ``Item.fields``."""
SEVERAL = ("label", WORDS)
"""The fields that may hold several values with ``;`` between them, each of which a filter may ask for."""


class Index(Protocol):
    """Codes that can be searched, and grow."""

    @property
    def name(self) -> str:
        """Where it is, for messages: a path or an address."""

    @property
    def bits(self) -> int:
        """Length of a code."""

    @property
    def encoder(self) -> str:
        """Fingerprint of the encoder that made the codes."""

    @property
    def model(self) -> Path | None:
        """The run that holds the encoder, where it is known."""

    @property
    def vector_dim(self) -> int | None:
        """How many numbers the vector has that is kept with each code; None where none are kept."""

    def __len__(self) -> int:
        """How many items can be found."""

    def labels(self) -> tuple[str, ...]:
        """The class names that occur, sorted; of items with several labels each of them."""

    def values(self, field: str, /) -> tuple[str, ...]:
        """The values of a field that occur, sorted; of items with several labels each of them.

        Args:
            field: modality, label, pair, split, speaker, or one of those in ``Item.fields``.
        """

    def counts(self) -> dict[str, int]:
        """How many items there are of each modality that occurs."""

    def item(self, id: str, /) -> Item:
        """The item with this id.

        Raises:
            CodesError: No item has it.
        """

    def rows(self, where: Mapping[str, str] | None = None) -> NDArray[np.int64]:
        """The rows of all items that pass, int64 [n], in order of insertion.

        Raises:
            ConfigError: As in `search`.
        """

    def places(self, ids: Iterable[str], /) -> list[int | None]:
        """The rows of these items; None for an id that no item has."""

    def items(self, rows: Iterable[int], /) -> tuple[Item, ...]:
        """The items at these rows, in this order, with absolute paths.

        Raises:
            CodesError: A row that is not there, or not any more.
        """

    def at(self, rows: Iterable[int], /) -> HashCodes:
        """The codes at these rows, in this order, with their items, and with their vectors where they are kept.

        Raises:
            CodesError: A row that is not there, or not any more.
        """

    def words_at(self, rows: Iterable[int], /) -> NDArray[np.uint64]:
        """The codes at rows that a search gave, without their items, uint64 [n, words]."""

    def codes(self, ids: Sequence[str], /) -> HashCodes:
        """The codes of these items, in this order: with them an item is itself a query.

        Raises:
            CodesError: An id that no item has.
        """

    def search(
        self, codes: HashCodes, k: int = 10, *, find: Find | None = None, where: Mapping[str, str] | None = None,
        rescore: int | None = None, expand: int | None = None, asymmetric: bool = False,
    ) -> SearchResult:  # fmt: skip
        """The k nearest items of each query, exactly, by distance and then by order of insertion.

        Args:
            codes: The queries, of this index's encoder.
            k: From 1; fewer are given only where fewer pass.
            find: ``"image"``, ``"sound"``, ``"text"`` or ``"any"``. Without it sounds and texts find images, and
                images find sounds, or texts; where the index has none, whatever it has.
            where: Field to value: only items that have exactly these values pass. A field is one of an item
                (`FIELDS`) or of its ``fields``; with a modality here and no ``find``, it alone decides.
                ``"label"`` takes one label, which items may hold among others, or all of an item's (``"a;b"``).
                So does ``"words"``, in which ``dtbh label`` keeps an image's nearest words.
                ``"bbox"`` takes ``"west,south,east,north"`` in degrees: what meets that box passes.
            rescore: Order so many nearest items, at least k, by the cosine of their vectors to the query's, ties as
                otherwise, and give the first k of them. Queries and index must have vectors.
            expand: Take so many first hits as examples of what is meant: order the candidates of ``rescore`` by how
                alike the codes are and by the cosine to the mean of these hits, in which the query has a part; the
                first candidates with their neighbours (`dtbh.index.expansion`), what is all but the query itself first.
            asymmetric: Take the nearest by asymmetric distance, in which a bit that differs counts as much as the
                query is sure of it, and then by order of insertion. Queries must have weights.

        Raises:
            CodesError: Codes of another encoder or length; ``rescore`` where vectors are missing, ``asymmetric`` where
                weights are.
            ConfigError: k, ``rescore`` or ``expand`` below 1, ``expand`` without ``rescore``, an unknown field or
                ``find``, queries of both modalities without ``find``, or ``asymmetric`` of an index that can't weigh
                bits.
        """

    def within(
        self, codes: HashCodes, radius: int, *, find: Find | None = None, where: Mapping[str, str] | None = None
    ) -> tuple[SearchResult, ...]:
        """All items within a radius of each query, in the same order; one result a query.

        Args:
            codes: As in `search`.
            radius: The largest distance that counts, from 0.
            find: As in `search`.
            where: As in `search`.

        Raises:
            CodesError: As in `search`.
            ConfigError: A negative radius, or as in `search`.
        """

    def add(self, codes: HashCodes, /) -> int:
        """Add codes with new ids, all or none; returns how many.

        Raises:
            CodesError: Codes of another encoder or length, with vectors where none are kept or without where they are,
                or an id that is there already.
        """

    def remove(self, ids: Iterable[str], /) -> int:
        """Remove the items with these ids, all or none; returns how many. The rows of the others stay.

        Raises:
            CodesError: An id that is not there.
        """


def conditions(
    codes: HashCodes,
    find: str | None,
    where: Mapping[str, str] | None,
    *,
    names: Callable[[], Iterable[str]],
    held: Callable[[], frozenset[str]],
) -> list[Condition]:
    """The conditions, as field and value, that ``find`` and ``where`` come to for these queries.

    Args:
        codes: The queries.
        find: As in `Index.search`.
        where: As in `Index.search`.
        names: The further fields that the index's items have; asked only where it matters.
        held: The modalities of the index's items.

    Raises:
        ConfigError: As in `Index.search`.
    """
    found = checked(where, names)
    if find is not None:
        known("find", find, (*MODALITIES, "any"))
    elif any(field == "modality" for field, _ in found) or not len(codes):
        find = "any"
    elif codes.modality == "mixed":
        raise ConfigError("the queries are of several modalities; say what to find: image, sound, text or any")
    else:
        others = ("sound", "text") if codes.modality == "image" else ("image",)
        find = next((other for other in others if other in held()), "any")
    if find != "any" and held() != {find}:
        found.append(("modality", find))
    return sorted(found)


def checked(where: Mapping[str, str] | None, names: Callable[[], Iterable[str]]) -> list[Condition]:
    """The conditions of ``where``; raises `ConfigError` for a field that no item has, with the nearest name."""
    for field, value in (where or {}).items():
        if field == BOX:
            parse_box(value)
        elif field not in FIELDS:
            known("filter field", field, (*FIELDS, BOX, *names()))
        if field in ("modality", "split"):
            known(field, value, MODALITIES if field == "modality" else SPLITS)
    return sorted((field, join_labels(value) if field == "label" else value) for field, value in (where or {}).items())


def known(what: str, name: str, names: tuple[str, ...]) -> None:
    """Raise `ConfigError`, with the nearest name, unless ``name`` is one of ``names``."""
    if name not in names:
        near = difflib.get_close_matches(str(name), names, n=1)
        hint = f"did you mean {near[0]}? " if near else ""
        raise ConfigError(f"unknown {what} {name!r}; {hint}known are {', '.join(names)}")


def refuse_known(name: str, ids: Iterable[str]) -> None:
    """Raise `CodesError` if there is any id here: those to add that are there already."""
    if found := list(ids):
        raise CodesError(
            f"{name}: {len(found)} ids are there already, the first is {found[0]}; nothing was added; "
            "remove them first, or leave them out"
        )


def refuse_unknown(name: str, ids: Iterable[str]) -> None:
    """Raise `CodesError` if there is any id here: those to remove that are not there."""
    if found := list(ids):
        raise CodesError(f"{name}: no item has the id {found[0]!r} ({len(found)} unknown); nothing was removed")
