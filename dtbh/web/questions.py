"""What is asked, held against what is served and allowed: archives, items, numbers of hits and of queries."""

from __future__ import annotations

from dataclasses import replace

from fastapi import HTTPException

from dtbh.config import Service
from dtbh.data.manifest import Item
from dtbh.errors import CodesError, ConfigError
from dtbh.search.ranking import BY_BITS, Ranking
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
    ranking = _ranking(asked, limits, registry.best(together))
    registry.check(ranking, together)
    return Question(together, asked.k, asked.find, where, asked.distance, ranking)


def _ranking(asked: schemas.Search, limits: Service, best: Ranking) -> Ranking:
    """The order that is asked for, or else the best; raises `ConfigError`."""
    if not isinstance(asked, schemas.CodeQuery):
        return _told(asked, limits) or best
    _check_codes(asked)
    ranking = _told(asked, limits) or (best if asked.vectors else BY_BITS)
    if not asked.vectors:  # what codes came without can have no part
        ranking = replace(ranking, rescore=None, expand=None)
    return ranking if asked.weights else replace(ranking, asymmetric=False)


def _told(asked: schemas.Search, limits: Service) -> Ranking | None:
    """The order that a request, or else the service, asks for; None where neither does.

    Raises:
        ConfigError: Examples are asked for, and no candidates.
    """
    rescore, expand, asymmetric = (
        limits_say if said is None else said
        for said, limits_say in (
            (asked.rescore, limits.rescore), (asked.expand, limits.expand), (asked.asymmetric, limits.asymmetric)
        )
    )  # fmt: skip
    if (rescore, expand, asymmetric) == (None, None, None):
        return None
    if asked.expand is None and not rescore:
        expand = None  # the service takes examples of what is rescored
    return Ranking(rescore or None, expand or None, bool(asymmetric))


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
