"""What is asked, held against what is served and allowed: archives, items, numbers of hits and of queries."""

from __future__ import annotations

from fastapi import HTTPException

from dtbh.config import Service
from dtbh.data.manifest import Item
from dtbh.errors import CodesError, ConfigError
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
    rescore = limits.rescore if asked.rescore is None else asked.rescore
    if (asked.rescore or 0) > limits.hits:
        raise ConfigError(f"rescore: at most {limits.hits} codes can be rescored, found {rescore}")
    if isinstance(asked, schemas.CodeQuery) and not asked.vectors:
        if wanted := [name for name in ("rescore", "expand") if getattr(asked, name)]:
            raise ConfigError(f"{wanted[0]}: the codes came without vectors; send those of an answer or of an item too")
        rescore = 0
    expand = asked.expand if asked.expand is not None else limits.expand if rescore else 0
    asymmetric = limits.asymmetric if asked.asymmetric is None else asked.asymmetric
    if isinstance(asked, schemas.CodeQuery) and not asked.weights:
        if asked.asymmetric:
            raise ConfigError("asymmetric: the codes came without weights; send those of an answer too")
        asymmetric = False
    together = registry.together(asked.archive)
    registry.check_rescore(rescore, expand, together)
    registry.check_asymmetric(asymmetric, together)
    return Question(together, asked.k, asked.find, where, asked.distance, rescore or None, expand or None, asymmetric)


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
