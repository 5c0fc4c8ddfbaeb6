"""From codes to a report: what is searched with what, and what can't be evaluated."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from dtbh.codes import Embeddings, HashCodes, check_same
from dtbh.data.manifest import MODALITIES, Modality
from dtbh.errors import ConfigError, DataError
from dtbh.evaluation.direction import bit_use, direction_report
from dtbh.evaluation.metrics.ranking import Without
from dtbh.evaluation.results.values import (
    CROSS,
    DIRECTIONS,
    RELEVANCE,
    SEVERAL,
    TYPED,
    DirectionReport,
    RetrievalReport,
)
from dtbh.utils.progress import echo

NAMED = 5  # items that a remark names, at most


def evaluate(
    images: HashCodes | None,
    sounds: HashCodes | None,
    texts: HashCodes | None = None,
    *,
    protocol: str,
    splits: Mapping[str, Mapping[str, int]],
    leakage: Mapping[str, Any],
    checkpoint_rule: str,
    directions: Sequence[str] | None = None,
    gallery: str = "test",
    searched: HashCodes | None = None,
    embeddings: Embeddings | None = None,
    without: Without = "drop",
    seed: int = 0,
) -> RetrievalReport:
    """Evaluate directions: each item of one modality is a query over the gallery of one.

    Items without a label are counted and left out where the class decides; they stay in the gallery where
    the true pair decides. Within a modality, a query is no part of its own ranking.

    Args:
        images: Codes of images; None where there are none.
        sounds: Codes of sounds, of the same encoder and length; None where there are none.
        texts: Codes of texts, likewise.
        protocol: The protocol's name.
        splits: For each split, counts of its items.
        leakage: ``Leakage.to_dict()`` of ``dtbh.data.splits``, or empty where training is not known.
        checkpoint_rule: How the checkpoint was chosen.
        directions: Of `DIRECTIONS`; None: to images and from images, or within the only modality.
        gallery: Which split is searched, as the report says it: ``"test"``, ``"val"``, ``"train"`` or ``"all"``.
        searched: The gallery's codes of all modalities together; None: those of the queries.
        embeddings: The real values that the codes were made of, of all these items: ranked beside them, to say what
            hashing cost.
        without: What becomes of queries with nothing relevant in the gallery: ``"drop"`` leaves them out,
            ``"zero"`` counts them as 0, ``"error"`` refuses.
        seed: Of the bootstrap; the same seed gives the same report.

    Raises:
        CodesError: Different lengths or encoders.
        ConfigError: An unknown direction.
        DataError: No codes, sounds among the images, an id that stands twice, no labels at all, one class
            only, or no query with a relevant item. A gallery of one class beside queries of others is a warning.
    """
    sorts: dict[Modality, HashCodes | None] = {"image": images, "sound": sounds, "text": texts}
    given = {name: codes for name, codes in sorts.items() if codes is not None}
    if not given:
        raise DataError("nothing to evaluate: give codes of images, of sounds, or of both")
    if directions is None:
        between = [way for way in CROSS + TYPED if set(way.split("->")) <= set(given)]
        directions = between or [f"{name}->{name}" for name in given]
    first = next(iter(given.values()))
    sides: dict[str, dict[Modality, HashCodes]] = {"queries": {}, "gallery": {}}
    for direction in directions:
        if direction not in DIRECTIONS:
            raise ConfigError(f"direction {direction!r}: there are {', '.join(DIRECTIONS)}")
        for side, name in zip(sides, _ends(direction), strict=True):
            if searched is not None and side == "gallery":
                codes = searched.of(name)
            elif name in given:
                codes = given[name]
            else:
                raise DataError(f"{direction} needs {name} codes, and none were given")
            sides[side].setdefault(name, codes)
    for codes in (*given.values(), *([] if searched is None else [searched])):
        check_same(codes, first.bits, first.encoder, of=f"those of the {first.modality}s")
    for side, by_name in sides.items():
        for name, codes in by_name.items():
            _check(side, name, codes)
    _check_classes([*sides["queries"].values(), *sides["gallery"].values()])
    for side, by_name in sides.items():
        for name, codes in by_name.items():
            if not (side == "gallery" and codes is sides["queries"].get(name)):  # else they are named already
                _name_unlabelled("" if searched is None else f" among the {side}", name, codes)
            if side == "gallery":
                _name_one_class(name, codes)
    apart = {id(codes): codes for by_name in sides.values() for codes in by_name.values()}
    bits = {key: bit_use(codes) for key, codes in apart.items()}

    def one(direction: str) -> DirectionReport:
        both = [sides[side][name] for side, name in zip(sides, _ends(direction), strict=True)]
        return direction_report(
            *both, bits=[bits[id(codes)] for codes in both], gallery_name=gallery, without=without, seed=seed,
            values=embeddings,
        )  # fmt: skip

    found = {direction: one(direction) for direction in directions}
    return RetrievalReport(
        bits=first.bits,
        encoder=first.encoder,
        protocol=protocol,
        splits={name: dict(counts) for name, counts in splits.items()},
        leakage=dict(leakage),
        checkpoint_rule=checkpoint_rule,
        seed=seed,
        without=without,
        directions=found,
        relevance=RELEVANCE if all(direction.ndcg is None for direction in found.values()) else SEVERAL,
    )


def _ends(direction: str) -> tuple[Modality, ...]:
    """What asks, and what is found."""
    return tuple(modality for end in direction.split("->") for modality in MODALITIES if modality == end)


def _check(side: str, name: str, codes: HashCodes) -> None:
    if len(codes) == 0:
        empty = "the gallery is empty" if side == "gallery" else "there are no queries"
        raise DataError(f"no {name} codes: {empty}; choose a split that has {name}s")
    strangers = [item.id for item in codes.items if item.modality != name]
    if strangers:
        raise DataError(f"{len(strangers)} of the {name} codes are not of {name}s, the first is {strangers[0]}")
    twice = [id_ for id_, count in Counter(item.id for item in codes.items).items() if count > 1]
    if twice:
        raise DataError(f"ids of {name}s that stand more than once: {len(twice)}, the first is {twice[0]}")
    if all(item.label is None for item in codes.items):
        raise DataError(
            f"none of {len(codes)} {name}s has a label, so nothing is relevant by class; give labels in the manifest"
        )


def _name_unlabelled(where: str, name: str, codes: HashCodes) -> None:
    """Say which items have no label."""
    without = [item.id for item in codes.items if item.label is None]
    if without:
        more = "" if len(without) <= NAMED else f" and {len(without) - NAMED} more"
        echo(
            f"warning: {len(without)} of {len(codes)} {name}s{where} have no label and are left out where "
            f"the class decides: {', '.join(without[:NAMED])}{more}"
        )


def _common(sides: Sequence[HashCodes]) -> str | None:
    """A label that all labelled items have."""
    texts = {item.label: item.labels for codes in sides for item in codes.items if item.label is not None}
    common = set.intersection(*map(set, texts.values())) if texts else set()
    return min(common) if common else None


def _name_one_class(name: str, codes: HashCodes) -> None:
    """Say that figures over a gallery of one class mean nothing."""
    if common := _common([codes]):
        echo(
            f"warning: all labelled {name}s of the gallery are of one class, {common}: every ranking of them is "
            "perfect, as a random one is; choose a gallery of several classes"
        )


def _check_classes(sides: Sequence[HashCodes]) -> None:
    if common := _common(sides):
        raise DataError(
            f"all labelled items are of one class, {common}: every ranking would be perfect; "
            "evaluate on two classes or more"
        )
