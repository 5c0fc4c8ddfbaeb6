"""An index on Milvus, for archives beyond one machine: the same answers as the others, over its BINARY_VECTOR.

With a file as address it is the embedded Milvus Lite; with ``http://`` a server or a cluster. The order is the same as
everywhere, by distance and then by insertion: Milvus leaves open which of the items at the last distance it gives, so
these are asked for again, by row. Other writers are not kept out: let one process at a time add or remove.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from dtbh.codes import HashCodes, check_same, check_storable, check_vectors, whole_numbers, word_count
from dtbh.data.manifest import MODALITIES, Item
from dtbh.errors import CodesError, ConfigError
from dtbh.index.base import FIELDS, Condition, Find, checked, conditions, refuse_known, refuse_unknown
from dtbh.index.hamming.search import check_k, check_radius
from dtbh.index.milvus.collection import Collection, expression, octets
from dtbh.index.rescoring import check_rescore, rescored
from dtbh.index.result import SearchResult

VERSION, WITH_VECTORS = 1, 2
NAME = "dtbh"
BATCH = 64  # queries that a server gets at once
IndexType = Literal["BIN_FLAT", "BIN_IVF_FLAT"]
Hits = list[tuple[int, int]]


def create_milvus(
    uri: str,
    codes: HashCodes,
    *,
    collection: str = NAME,
    model: str | Path | None = None,
    index_type: IndexType = "BIN_FLAT",
    token: str | None = None,
) -> MilvusIndex:
    """Make an index of these codes on Milvus.

    Args:
        uri: ``http://host:19530`` of a server, or a path that ends in ``.db`` for the embedded engine.
        codes: Codes and items with unique ids. With vectors, these are kept too.
        collection: Its name on the server.
        model: The run that made the codes, where it is known.
        index_type: ``"BIN_FLAT"`` is exact. ``"BIN_IVF_FLAT"`` looks at some parts only, so it is quicker and may
            miss items.
        token: ``user:password`` or an API key, where the server wants one.

    Raises:
        CodesError: Nothing answers there, the collection is there already, or ids stand twice.
        MissingExtraError: pymilvus is not installed.
    """
    check_storable(codes)
    place = Collection(uri, collection, token)
    if _made(place):
        raise CodesError(f"{uri}: there is an index in collection {collection} already; open it, or take another name")
    if place.exists():
        place.drop()  # a creation that was killed left it
    place.create(codes.bits, index_type, codes.vector_dim)
    meta: dict[str, Any] = {
        "version": VERSION, "bits": codes.bits, "encoder": codes.encoder, "rows": 0, "labels": [], "names": [],
        "model": None if model is None else str(Path(model).resolve()),
    }  # fmt: skip
    if codes.vectors is not None:
        meta |= {"version": WITH_VECTORS, "vectors": codes.vector_dim}
    _append(place, meta, codes)
    return MilvusIndex(place)


def open_milvus(uri: str, *, collection: str = NAME, token: str | None = None) -> MilvusIndex:
    """Open an index on Milvus; arguments as for `create_milvus`.

    Raises:
        CodesError: Nothing answers there, or it holds no such index.
        MissingExtraError: pymilvus is not installed.
    """
    if _not_made(uri):
        raise CodesError(f"{uri}: no such file; make it: dtbh index RUN ITEMS --engine milvus --uri {uri}")
    return MilvusIndex(Collection(uri, collection, token))


def is_there(uri: str, *, collection: str = NAME, token: str | None = None) -> bool:
    """Whether there is an index; arguments and errors as for `open_milvus`."""
    return not _not_made(uri) and _made(Collection(uri, collection, token))


def _not_made(uri: str) -> bool:
    """Whether it would be a new file of the embedded Milvus, which makes one of any name that it is asked for."""
    return uri.endswith(".db") and not Path(uri).exists()


def _made(place: Collection) -> bool:
    return place.exists() and place.meta() is not None


class MilvusIndex:
    """An index on Milvus; `create_milvus` and `open_milvus` make it. It shows what is committed at each question.

    Args:
        collection: Where it is.

    Raises:
        CodesError: There is no index, or one of another version.
    """

    def __init__(self, collection: Collection) -> None:
        self._collection = collection
        meta = self._committed() if collection.exists() else self._none()
        self.bits: int = meta["bits"]
        self.encoder: str = meta["encoder"]
        self.model: Path | None = None if meta["model"] is None else Path(meta["model"])
        self.vector_dim: int | None = meta.get("vectors")

    @property
    def name(self) -> str:
        """Where it is, for messages."""
        return f"{self._collection.uri}, collection {self._collection.name}"

    def __len__(self) -> int:
        return self._collection.count([], self._meta()["rows"])

    def labels(self) -> tuple[str, ...]:
        """As `Index.labels`."""
        meta = self._meta()
        return tuple(label for label in meta["labels"] if self._collection.count([("label", label)], meta["rows"]))

    def values(self, field: str, /) -> tuple[str, ...]:
        """As `Index.values`; of any but labels each item is looked at."""
        if field == "label":
            return self.labels()
        held = (getattr(i, field) if field in FIELDS else i.fields.get(field) for i in self.items(self.rows().tolist()))
        return tuple(sorted({value for value in held if value is not None}))

    def counts(self) -> dict[str, int]:
        """As `Index.counts`."""
        end = self._meta()["rows"]
        counted = {name: self._collection.count([("modality", name)], end) for name in MODALITIES}
        return {name: count for name, count in counted.items() if count}

    def item(self, id: str, /) -> Item:
        """As `Index.item`."""
        return self.codes([id]).items[0]

    def rows(self, where: Mapping[str, str] | None = None) -> NDArray[np.int64]:
        """As `Index.rows`."""
        meta = self._meta()
        return self._collection.rows(checked(where, lambda: meta["names"]), meta["rows"])

    def places(self, ids: Iterable[str], /) -> list[int | None]:
        """As `Index.places`."""
        wanted = list(ids)
        found = self._collection.rows_of(wanted, self._meta()["rows"])
        return [found.get(id) for id in wanted]

    def items(self, rows: Iterable[int], /) -> tuple[Item, ...]:
        """As `Index.items`."""
        return tuple(item for _, item in self._stored(rows))

    def at(self, rows: Iterable[int], /) -> HashCodes:
        """As `Index.at`."""
        chosen = np.array([*rows], np.int64)
        stored = self._stored(chosen.tolist())
        vectors = None if self.vector_dim is None else whole_numbers(self._vectors(chosen), np.int16)
        items = tuple(item for _, item in stored)
        return HashCodes(self._words(stored), self.bits, self.encoder, items, vectors)

    def _vectors(self, rows: NDArray[np.int64]) -> NDArray[np.int8]:
        """The vectors at these rows, int8 [m, d]."""
        return self._collection.vectors(rows) if len(rows) else np.empty((0, self.vector_dim or 0), np.int8)

    def _words(self, stored: Sequence[tuple[bytes, Item]]) -> NDArray[np.uint64]:
        """The codes of what is stored, uint64 [n, words]."""
        data = np.zeros((len(stored), 8 * word_count(self.bits)), np.uint8)
        for place, (code, _) in enumerate(stored):
            data[place, : len(code)] = np.frombuffer(code, np.uint8)
        return data.view("<u8").astype(np.uint64, copy=False)

    def words_at(self, rows: Iterable[int], /) -> NDArray[np.uint64]:
        """As `Index.words_at`."""
        return self._words(self._stored(rows))

    def codes(self, ids: Sequence[str], /) -> HashCodes:
        """As `Index.codes`."""
        rows = self.places(ids)
        if unknown := [id for id, row in zip(ids, rows, strict=True) if row is None]:
            raise CodesError(f"{self.name}: no item has the id {unknown[0]!r}")
        return self.at(row for row in rows if row is not None)

    def search(
        self, codes: HashCodes, k: int = 10, *, find: Find | None = None, where: Mapping[str, str] | None = None,
        rescore: int | None = None, expand: int | None = None, asymmetric: bool = False,
    ) -> SearchResult:  # fmt: skip
        """As `Index.search`."""
        check_k(k)
        if asymmetric:
            raise ConfigError(
                f"{self.name}: Milvus knows no asymmetric distance; search an archive on disk, or rescore"
            )
        found, end = self._asked(codes, find, where)
        check_rescore(rescore, codes, self.vector_dim, of=self.name, expand=expand)
        if rescore is None:
            return self._result(self._nearest(codes, k, found, end))
        assert codes.vectors is not None
        pairs = self._nearest(codes, max(k, rescore), found, end)
        rows = pairs[..., 1]
        wanted, places = np.unique(rows, return_inverse=True)
        near, rows, alike = rescored(
            codes.vectors, pairs[..., 0].astype(np.int32), rows, self._vectors(wanted), k,
            places=places.reshape(rows.shape), expand=expand, likeness=1 - 2 * pairs[..., 0] / self.bits,
        )  # fmt: skip
        return self._result(np.stack([near, rows], axis=-1), alike)

    def _nearest(self, codes: HashCodes, k: int, found: Sequence[Condition], end: int) -> NDArray[np.int64]:
        """Distances and rows of the k nearest, or of all that pass where these are fewer, int64 [q, k, 2]."""
        k = min(k, self._collection.count(found, end))
        queries = _octets(codes)
        hits: list[Hits] = []
        for start in range(0, len(queries) if k else 0, BATCH):
            part = queries[start : start + BATCH]
            first = self._collection.nearest(part, k, expression(found, 0, end))
            hits += [self._settled(code, some, k, found, end) for code, some in zip(part, first, strict=True)]
        return np.array(hits or [[] for _ in queries], np.int64).reshape(len(queries), k, 2)

    def within(
        self, codes: HashCodes, radius: int, *, find: Find | None = None, where: Mapping[str, str] | None = None
    ) -> tuple[SearchResult, ...]:
        """As `Index.within`."""
        check_radius(radius)
        found, end = self._asked(codes, find, where)
        every = [sorted(self._between(code, 0, min(int(radius), self.bits), found, end)) for code in _octets(codes)]
        return tuple(self._result(np.array(hits, np.int64).reshape(1, len(hits), 2)) for hits in every)

    def add(self, codes: HashCodes, /) -> int:
        """As `Index.add`; what a killed addition left does not count, and the next one replaces it."""
        check_same(codes, self.bits, self.encoder, of=self.name)
        check_vectors(codes, self.vector_dim, of=self.name)
        check_storable(codes)
        meta = self._meta()
        refuse_known(self.name, self._collection.rows_of([item.id for item in codes.items], meta["rows"]))
        _append(self._collection, meta, codes)
        return len(codes)

    def remove(self, ids: Iterable[str], /) -> int:
        """As `Index.remove`."""
        wanted = list(dict.fromkeys(ids))
        found = self._collection.rows_of(wanted, self._meta()["rows"])
        refuse_unknown(self.name, (id for id in wanted if id not in found))
        if found:
            self._collection.delete(list(found.values()))
        return len(found)

    def _settled(self, code: bytes, some: Hits, k: int, found: Sequence[Condition], end: int) -> Hits:
        """The k nearest with their ties in order, from k nearest with the last ties as it fell out."""
        last = max(distance for distance, _ in some)
        hits = sorted(hit for hit in some if hit[0] < last)  # all of them are here
        while len(hits) < k:  # one turn unless k is beyond what the server gives at once
            hits += islice(self._between(code, last, last, found, end), k - len(hits))
            last += 1
        return hits

    def _between(
        self, code: bytes, low: int, high: int, found: Sequence[Condition], end: int
    ) -> Iterable[tuple[int, int]]:
        return self._collection.between(code, low, high, found, range(end)) if end else ()

    def _asked(
        self, codes: HashCodes, find: Find | None, where: Mapping[str, str] | None
    ) -> tuple[list[Condition], int]:
        """The conditions that the queries ask for, and how many rows count."""
        check_same(codes, self.bits, self.encoder, of=self.name)
        meta = self._meta()
        found = conditions(codes, find, where, names=lambda: meta["names"], held=lambda: frozenset(self.counts()))
        return found, meta["rows"]

    def _result(self, pairs: NDArray[np.int64], similarities: NDArray[np.float32] | None = None) -> SearchResult:
        """The answers with these distances and rows, int64 [q, k, 2]."""
        items, k = self.items(pairs[..., 1].ravel().tolist()), pairs.shape[1]
        split = tuple(items[query * k : (query + 1) * k] for query in range(len(pairs)))
        return SearchResult(pairs[..., 0].astype(np.int32), pairs[..., 1].copy(), split, similarities=similarities)

    def _stored(self, rows: Iterable[int]) -> list[tuple[bytes, Item]]:
        """Codes and items at these rows, in this order."""
        chosen = [int(row) for row in rows]
        last = self._meta()["rows"] - 1
        if chosen and not 0 <= min(chosen) <= max(chosen) <= last:
            raise CodesError(f"{self.name}: rows go from 0 to {last}, asked for {min(chosen)} to {max(chosen)}")
        found = self._collection.at(chosen)
        if gone := [row for row in chosen if row not in found]:
            raise CodesError(f"{self.name}: row {gone[0]} was removed")
        return [found[row] for row in chosen]

    def _meta(self) -> dict[str, Any]:
        """What is committed now, if it is still this encoder's."""
        meta = self._committed()
        if meta["encoder"] != self.encoder:
            raise CodesError(
                f"{self.name}: was opened with codes of encoder {self.encoder}, and made anew by {meta['encoder']}; "
                "open it again, or start the service again"
            )
        return meta

    def _committed(self) -> dict[str, Any]:
        meta = self._collection.meta()
        if meta is None:
            self._none()
        elif meta.get("version") not in (VERSION, WITH_VECTORS):
            reads = f"{VERSION} and {WITH_VECTORS}"
            raise CodesError(f"{self.name}: version {meta.get('version')}, this dtbh reads {reads}; update dtbh")
        assert meta is not None
        return meta

    def _none(self) -> dict[str, Any]:
        raise CodesError(f"{self.name}: no index here; make one: dtbh index RUN ITEMS --engine milvus --uri ...")


def _append(place: Collection, meta: dict[str, Any], codes: HashCodes) -> None:
    """Write codes after the last row and then say that they count."""
    vectors = None if codes.vectors is None else whole_numbers(codes.vectors, np.int8)
    place.write(meta["rows"], codes.words, codes.items, codes.bits, vectors)
    labels = {label for item in codes.items for label in item.labels} | set(meta["labels"])
    names = {name for item in codes.items for name in item.fields} | set(meta["names"])
    place.commit({**meta, "rows": meta["rows"] + len(codes), "labels": sorted(labels), "names": sorted(names)})


def _octets(codes: HashCodes) -> list[bytes]:
    """Each code as the bytes that Milvus takes."""
    data = np.ascontiguousarray(codes.words, "<u8").view(np.uint8)[:, : octets(codes.bits)]
    return [row.tobytes() for row in data]
