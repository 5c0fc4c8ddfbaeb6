"""Milvus as an engine: a collection on a server or a cluster, or in a file of Milvus Lite."""

from __future__ import annotations

import os
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Literal

from dtbh.errors import ConfigError
from dtbh.index.engines.base import engine

if TYPE_CHECKING:
    from dtbh.codes import HashCodes
    from dtbh.index.base import Index


@engine("milvus")
@dataclass(frozen=True)
class MilvusEngine:
    """A collection of Milvus; a token, where the server wants one, is read from ``$MILVUS_TOKEN``.

    Args:
        uri: ``http://host:19530``, or a file that ends in .db.
        collection: The collection's name (default dtbh).
        index_type: ``BIN_FLAT`` (default) is exact, ``BIN_IVF_FLAT`` quicker and may miss items.
    """

    making: ClassVar[Collection[str]] = ("index_type",)
    uri: str
    collection: str = "dtbh"
    index_type: Literal["BIN_FLAT", "BIN_IVF_FLAT"] = "BIN_FLAT"

    def __post_init__(self) -> None:
        if not self.uri:
            raise ConfigError("--uri is empty; wanted http://host:19530, or a file that ends in .db")

    @property
    def label(self) -> str:
        """The collection's name."""
        return self.collection

    def exists(self) -> bool:
        """As `Engine.exists`."""
        from dtbh.index.milvus.index import is_there

        return is_there(self.uri, collection=self.collection, token=_token())

    def open(self) -> Index:
        """As `Engine.open`."""
        from dtbh.index.milvus.index import open_milvus

        return open_milvus(self.uri, collection=self.collection, token=_token())

    def create(self, codes: HashCodes, *, model: str | Path | None = None) -> Index:
        """As `Engine.create`."""
        from dtbh.index.milvus.index import create_milvus

        return create_milvus(
            self.uri, codes, collection=self.collection, model=model, index_type=self.index_type, token=_token()
        )

    def state(self) -> None:
        """It shows what is committed at each question."""


def _token() -> str | None:
    return os.environ.get("MILVUS_TOKEN")
