"""A Milvus collection that holds codes and items by row: what `dtbh.index.milvus.index` asks of the server.

The collection has one entity a row (``row``, ``code``, ``id``, ``item`` as JSON, ``terms``, the item's values as
``field=value``, and the edges of its footprint), and one at row -1 whose ``item`` says how many rows count. Where
vectors are kept, ``vector`` has them as FLOAT16_VECTOR, which holds their whole numbers of 8 bits exactly; INT8_VECTOR
would be half of that, but Milvus Lite has none. Text is percent-encoded where it stands in an expression, so that no
value can be read as one.
"""

from __future__ import annotations

import json
import logging
import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any
from urllib.parse import quote

import numpy as np
from numpy.typing import NDArray

from dtbh.data.manifest import BETWEEN, Item, split_labels
from dtbh.errors import CodesError, MissingExtraError
from dtbh.index.base import FIELDS, SEVERAL, Condition
from dtbh.index.bounds import BOX, TURNS, Box, bounds_of, parse_box

MOST = 16384  # hits or rows that a server gives at once
CHUNK = 4096  # rows written at once
LONGEST = 65535  # bytes of a text field
TERMS = 4096  # values of an item
SECONDS = 30.0  # that a server has for an answer
META_ROW = -1
EDGES = ("west", "south", "east", "north")
NOWHERE = 1e6  # an edge of what has no footprint


class Collection:
    """One collection of a server, or of a file with the embedded engine.

    Args:
        uri: ``http://...`` of a server, or a file's path, which ends in ``.db``.
        name: The collection's name.
        token: ``user:password`` or an API key, where the server wants one.

    Raises:
        MissingExtraError: pymilvus is not installed.
        CodesError: Nothing answers there.
    """

    def __init__(self, uri: str, name: str, token: str | None = None) -> None:
        self.uri, self.name = uri, name
        with self.explained():
            self._client = _client(uri, token)

    def exists(self) -> bool:
        """Whether there is such a collection."""
        with self.explained():
            return bool(self._client.has_collection(self.name, **_once()))

    def create(self, bits: int, index_type: str, vector_dim: int | None = None) -> None:
        """Make it, for codes of this length, and vectors of so many numbers where they are to be kept."""
        from pymilvus import DataType

        schema = self._client.create_schema(auto_id=False, enable_dynamic_field=False)
        schema.add_field("row", DataType.INT64, is_primary=True)
        schema.add_field("code", DataType.BINARY_VECTOR, dim=8 * octets(bits))
        for name in ("id", "item"):
            schema.add_field(name, DataType.VARCHAR, max_length=LONGEST)
        schema.add_field("terms", DataType.ARRAY, element_type=DataType.VARCHAR, max_capacity=TERMS, max_length=LONGEST)
        for name in EDGES:
            schema.add_field(name, DataType.DOUBLE)
        index = self._client.prepare_index_params()
        settings = {} if index_type == "BIN_FLAT" else {"nlist": 1024}
        index.add_index("code", index_type=index_type, metric_type="HAMMING", params=settings)
        if vector_dim is not None:
            schema.add_field("vector", DataType.FLOAT16_VECTOR, dim=vector_dim)
            index.add_index("vector", index_type="FLAT", metric_type="COSINE")
        with self.explained():
            self._client.create_collection(
                self.name, schema=schema, index_params=index, consistency_level="Strong", **_once()
            )

    def drop(self) -> None:
        """Remove it with all it holds."""
        with self.explained():
            self._client.drop_collection(self.name, **_once())

    def meta(self) -> dict[str, Any] | None:
        """What was said at the last commit; None where nothing was ever committed."""
        with self.explained():
            found = self._client.query(self.name, ids=[META_ROW], output_fields=["item"], **_once())
        return json.loads(found[0]["item"]) if found else None

    def commit(self, meta: Mapping[str, Any]) -> None:
        """Say what counts from now on."""
        code = bytes(octets(meta["bits"]))
        entity = {"row": META_ROW, "code": code, "id": "", "item": json.dumps(meta), "terms": list[str]()}
        entity |= dict.fromkeys(EDGES, NOWHERE)
        if "vectors" in meta:
            entity["vector"] = np.zeros(meta["vectors"], np.float16)
        with self.explained():
            self._client.upsert(self.name, [entity], **_once())

    def write(
        self, first: int, words: NDArray[np.uint64], items: Sequence[Item], bits: int,
        vectors: NDArray[np.int8] | None = None,
    ) -> None:  # fmt: skip
        """Write items at rows from ``first`` on, in place of whatever a killed writer left there."""
        codes = np.ascontiguousarray(words, "<u8").view(np.uint8)[:, : octets(bits)]
        entities = [
            {"row": first + place, "code": code.tobytes(), "id": quote(item.id), "item": _text(item), "terms": terms}
            | _edges(item)
            for place, (code, item) in enumerate(zip(codes, items, strict=True))
            for terms in [terms_of(item)]
        ]
        if vectors is not None:
            for entity, vector in zip(entities, vectors.astype(np.float16), strict=True):
                entity["vector"] = vector
        with self.explained():
            self._client.delete(self.name, filter=f"row >= {first}", **_once())
            for start in range(0, len(entities), CHUNK):
                self._client.insert(self.name, entities[start : start + CHUNK], **_once())

    def delete(self, rows: Sequence[int]) -> None:
        """Delete these rows."""
        with self.explained():
            self._client.delete(self.name, ids=list(rows), **_once())

    def count(self, found: Sequence[Condition], end: int) -> int:
        """How many rows below ``end`` pass all conditions."""
        with self.explained():
            answer = self._client.query(
                self.name, filter=expression(found, 0, end), output_fields=["count(*)"], **_once()
            )
        return int(answer[0]["count(*)"])

    def rows(self, found: Sequence[Condition], end: int) -> NDArray[np.int64]:
        """The rows below ``end`` that pass all conditions, ascending."""
        rows: list[int] = []
        for start in range(0, end, MOST):
            within = expression(found, start, min(start + MOST, end))
            with self.explained():
                answer = self._client.query(self.name, filter=within, output_fields=["row"], **_once())
            rows += sorted(entity["row"] for entity in answer)
        return np.array(rows, np.int64)

    def at(self, rows: Iterable[int]) -> dict[int, tuple[bytes, Item]]:
        """The codes and items at these rows, without those that are not there."""
        wanted, found = sorted(set(rows)), dict[int, tuple[bytes, Item]]()
        for start in range(0, len(wanted), CHUNK):
            with self.explained():
                answer = self._client.query(
                    self.name, ids=wanted[start : start + CHUNK], output_fields=["row", "code", "item"], **_once()
                )
            found |= {e["row"]: (e["code"][0], Item(**json.loads(e["item"]))) for e in answer}
        return found

    def vectors(self, rows: NDArray[np.int64]) -> NDArray[np.int8]:
        """The vectors at these rows, which must be there, int8 [m, d]."""
        wanted, places = np.unique(rows, return_inverse=True)
        found: dict[int, NDArray[np.float16]] = {}
        for start in range(0, len(wanted), CHUNK):
            some = wanted[start : start + CHUNK].tolist()
            with self.explained():
                answer = self._client.query(self.name, ids=some, output_fields=["row", "vector"], **_once())
            found |= {entity["row"]: np.frombuffer(entity["vector"][0], np.float16) for entity in answer}
        if gone := [row for row in wanted.tolist() if row not in found]:
            raise CodesError(f"{self.uri}: collection {self.name}: row {gone[0]} was removed meanwhile; ask again")
        return np.stack([found[row] for row in wanted.tolist()]).astype(np.int8)[places]

    def rows_of(self, ids: Sequence[str], end: int) -> dict[str, int]:
        """The rows below ``end`` of those ids that are there."""
        names, rows = {quote(id): id for id in ids}, dict[str, int]()
        wanted = list(names)
        for start in range(0, len(wanted), CHUNK):
            chosen = ", ".join(f'"{id}"' for id in wanted[start : start + CHUNK])
            with self.explained():
                answer = self._client.query(
                    self.name, filter=f"row < {end} and id in [{chosen}]", output_fields=["row", "id"], **_once()
                )
            rows |= {names[entity["id"]]: entity["row"] for entity in answer}
        return rows

    def nearest(self, codes: Sequence[bytes], k: int, within: str) -> list[list[tuple[int, int]]]:
        """For each code some k nearest, at most `MOST`, as (distance, row); which of the tied last ones is open."""
        return self._search(codes, min(k, MOST), within, {})

    def between(
        self, code: bytes, low: int, high: int, found: Sequence[Condition], rows: range
    ) -> Iterator[tuple[int, int]]:
        """All within ``rows`` whose distance is from ``low`` to ``high``, as (distance, row), by windows of rows.

        Where one answer can't hold them the rows are halved, so what is given first has the lower rows.
        """
        within = expression(found, rows.start, rows.stop)
        hits = self._search([code], MOST, within, {"radius": high + 1, "range_filter": low})[0]
        if len(hits) < MOST or len(rows) == 1:
            yield from sorted(hits, key=lambda hit: hit[1])
            return
        middle = rows.start + len(rows) // 2
        for half in (range(rows.start, middle), range(middle, rows.stop)):
            yield from self.between(code, low, high, found, half)

    def _search(
        self, codes: Sequence[bytes], limit: int, within: str, params: Mapping[str, int]
    ) -> list[list[tuple[int, int]]]:
        with self.explained():
            answer = self._client.search(
                self.name,
                data=list(codes),
                anns_field="code",
                limit=limit,
                filter=within,
                search_params={"metric_type": "HAMMING", "params": dict(params)},
                **_once(),
            )
        return [[(round(hit["distance"]), int(hit.get("row", hit.get("id")))) for hit in hits] for hits in answer]

    @contextmanager
    def explained(self) -> Iterator[None]:
        """Give a server's error as one line that names the place."""
        try:
            from pymilvus import MilvusException
        except ImportError:
            raise MissingExtraError("pymilvus", "milvus", "the engine milvus") from None
        try:
            yield
        except MilvusException as error:
            said = " ".join(str(error.message).split())[:300]
            hint = "; is the address right and Milvus up?" if "connecting" in said else ""
            raise CodesError(f"{self.uri}: collection {self.name}: {said}{hint}") from None


def expression(found: Sequence[Condition], start: int, stop: int) -> str:
    """What rows from ``start`` to before ``stop`` that pass all conditions are, as Milvus reads it."""
    parts = [f"row >= {start}", f"row < {stop}"]
    parts += [_across(parse_box(value)) for field, value in found if field == BOX]
    parts += [
        f'id == "{quote(value)}"' if field == "id" else f'array_contains(terms, "{term(field, value)}")'
        for field, value in found
        if field != BOX
    ]
    return " and ".join(parts)


def terms_of(item: Item) -> list[str]:
    """The values by which an item can be found, each as one term; without its id, which has a field."""
    values = {name: getattr(item, name) for name in FIELDS[1:]} | dict(item.fields)
    terms = [term(name, value) for name, value in values.items() if value is not None]
    several = [(name, value) for name in SEVERAL if BETWEEN in (value := values.get(name) or "")]
    return terms + [term(name, one) for name, value in several for one in split_labels(value)]


def _edges(item: Item) -> dict[str, float]:
    """The least box around an item's footprint, by name."""
    bounds = (NOWHERE,) * 4 if item.footprint is None else bounds_of(item.footprint)
    return dict(zip(EDGES, bounds, strict=True))


def _across(box: Box) -> str:
    """What meets a box, as Milvus reads it."""
    west, south, east, north = box
    turned = (f"(west <= {east + turn!r} and east >= {west + turn!r})" for turn in TURNS)
    return f"({' or '.join(turned)}) and south <= {north!r} and north >= {south!r}"


def term(field: str, value: str) -> str:
    """A field's value as one word of letters, digits and ``_.-~/%=``."""
    return f"{quote(field, safe='')}={quote(value)}"


def octets(bits: int) -> int:
    """How many bytes hold a code; the unused bits are 0."""
    return -(-bits // 8)


def _text(item: Item) -> str:
    text = json.dumps(item.to_dict())
    if len(text) > LONGEST:
        raise CodesError(f"item {item.id}: {len(text)} bytes as JSON, Milvus holds {LONGEST}; shorten its fields")
    return text


def _once() -> dict[str, Any]:
    """No repeated attempts: they turn a mistake into minutes of waiting."""
    return {"retry_times": 1, "timeout": SECONDS}


def _client(uri: str, token: str | None) -> Any:
    logging.getLogger("pymilvus").setLevel(logging.CRITICAL)  # it would print a traceback beside our one line
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # milvus-lite 2.5 imports pkg_resources
        try:
            from pymilvus import MilvusClient, MilvusException

            try:
                return MilvusClient(uri, token=token or "", timeout=SECONDS)
            except MilvusException:
                if not uri.endswith(".db"):
                    raise
                from milvus_lite.server_manager import server_manager_instance  # type: ignore[import-untyped]

                server_manager_instance.release_server(uri)  # on a busy machine one in many does not come up: once more
                return MilvusClient(uri, timeout=SECONDS)
        except ImportError as error:
            raise MissingExtraError(str(error.name), "milvus", "the engine milvus") from None
