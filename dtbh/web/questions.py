"""What is asked, held against what is served and allowed: archives, items, numbers of hits and of queries."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from fastapi import HTTPException

from dtbh.config import Service
from dtbh.data.manifest import Item
from dtbh.errors import CodesError, ConfigError
from dtbh.search.ranking import Ranking, chosen
from dtbh.web import schemas
from dtbh.web.archives import ArchiveRegistry, Question, to_base64, to_hex


def question(
    asked: schemas.Asked | schemas.CodeQuery | schemas.TextQuery, registry: ArchiveRegistry, limits: Service
) -> Question:
    """How to search, of what a request says.

    Raises:
        ConfigError: More than the limits allow, a filter that is none, or archives that can't be searched together.
        HTTPException: 404, no such archive.
    """
    for name in asked.archive:
        existing(registry, name)
    if asked.k > limits.hits:
        raise ConfigError(f"k: at most {limits.hits} hits can be asked for, found {asked.k}")
    pairs = [text.partition("=") for text in asked.where]
    if wrong := [text for text, (_, equals, _) in zip(asked.where, pairs, strict=True) if not equals]:
        raise ConfigError(f"where: wanted field=value, as in label=harbor, found {wrong[0]!r}")
    where = tuple((field, value) for field, _, value in pairs)
    if (asked.rescore or 0) > limits.hits:
        raise ConfigError(f"rescore: at most {limits.hits} codes can be rescored, found {asked.rescore}")
    together = registry.together(asked.archive)
    if isinstance(asked, schemas.CodeQuery):
        _check_codes(asked)
    ranking = _ranking(asked, registry, together, limits)
    return Question(together, asked.k, asked.find, where, asked.distance, ranking)


def _ranking(asked: schemas.Search, registry: ArchiveRegistry, together: Sequence[str], limits: Service) -> Ranking:
    """The order that is asked for; raises `ConfigError` where the archives can't order so."""
    best = registry.best(together)
    if best.rescore is not None:
        best = replace(best, rescore=min(best.rescore, limits.hits))
    unsaid = best
    if isinstance(asked, schemas.CodeQuery) and not asked.vectors:
        unsaid = Ranking(asymmetric=bool(asked.weights))  # what codes came with has a part
    ranking = told(unsaid, limits, asked)
    if isinstance(asked, schemas.CodeQuery):  # and nothing else can
        ranking = ranking if asked.vectors else replace(ranking, rescore=None, expand=None)
        ranking = ranking if asked.weights else replace(ranking, asymmetric=False)
    if ranking != best:  # which they can
        registry.check(ranking, together)
    return ranking


def told(best: Ranking, limits: Service, asked: schemas.Search) -> Ranking:
    """The order that a request asks for, or else the service, or else the best one; raises `ConfigError`."""
    rescore = limits.rescore if asked.rescore is None else asked.rescore
    expand = limits.expand if asked.expand is None else asked.expand
    if rescore == 0 and asked.expand is None:
        expand = None  # the service takes examples of what is rescored
    return chosen(best, rescore, expand, limits.asymmetric if asked.asymmetric is None else asked.asymmetric)


def _check_codes(asked: schemas.CodeQuery) -> None:
    """Raise `ConfigError` where an order is asked for that takes more of the queries than is known."""
    if wanted := [name for name in ("rescore", "expand") if getattr(asked, name) and not asked.vectors]:
        raise ConfigError(f"{wanted[0]}: the codes came without vectors; send those of an answer or of an item too")
    if asked.asymmetric and not asked.weights:
        raise ConfigError("asymmetric: the codes came without weights; send those of an answer too")


def few(count: int, most: int, what: str = "queries fit in one request") -> None:
    """Raise `ConfigError` where more is asked for than may be."""
    if count > most:
        raise ConfigError(f"at most {most} {what}, found {count}")


def existing(registry: ArchiveRegistry, name: str) -> None:
    """Raise `HTTPException`, 404, where no archive is called so."""
    if name not in registry.names:
        raise HTTPException(404, f"no archive is called {name!r}; there are {', '.join(registry.names)}")


def item_of(registry: ArchiveRegistry, id: str, archive: str | None) -> tuple[str, Item, str, str | None]:
    """An item: its archive's name, the item itself, its code in hex, and its vector in base 64 where one is kept.

    Raises:
        HTTPException: 404, no such archive or item.
    """
    name = archive or registry.names[0]
    existing(registry, name)
    try:
        codes = registry.archive(name).codes([schemas.storable(id)])
    except (CodesError, ValueError):
        raise HTTPException(404, f"{name}: no item has the id {id!r}") from None
    vector = None if codes.vectors is None else to_base64(codes.vectors[0])
    return name, codes.items[0], to_hex(codes.words[0], codes.bits), vector
