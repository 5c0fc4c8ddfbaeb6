"""From what was sent to answers: files to codes in one batcher, codes to hits in another.

Queries of several clients that arrive together are encoded together and searched together.
"""

from __future__ import annotations

import asyncio
import base64
import time
from collections import defaultdict
from collections.abc import Awaitable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeVar

from fastapi import HTTPException, Request
from starlette.concurrency import run_in_threadpool

from dtbh.codes import HashCodes
from dtbh.config import Service
from dtbh.data.manifest import Item
from dtbh.errors import DtbhError, MediaError
from dtbh.models.confidence import Confidence, likeliest, strength
from dtbh.models.encoder import Encoder, Encoding, as_query, text_item
from dtbh.search.confidence import Belief, belief, hit_probabilities
from dtbh.web.archives import ArchiveRegistry, Found, Question, to_base64, to_digits, to_hex
from dtbh.web.batching import MicroBatcher, OverloadedError
from dtbh.web.metrics import Metrics
from dtbh.web.models import Models
from dtbh.web.previews import check_image, check_sound, preview
from dtbh.web.schemas import Answer, Entry, Hit

PREVIEW = 320  # pixels
GONE = 499  # nginx's number for a client that left; nobody reads it

T = TypeVar("T")
Asked = tuple[HashCodes, Question]
Sent = tuple[Encoder, Item, bool]  # with its vector or without
Encoded = tuple[Encoding, str]  # and what of a long sound was heard


@dataclass(frozen=True)
class Upload:
    """A file that was sent: the name it came with, and where it lies now."""

    name: str
    item: Item


class QueryService:
    """Takes queries and gives answers.

    Args:
        registry: The archives.
        models: What encodes.
        limits: What a query may have, and how long it may wait.
        metrics: Where batches are counted.
    """

    def __init__(self, registry: ArchiveRegistry, models: Models, limits: Service, metrics: Metrics) -> None:
        self._registry, self._models, self._limits, self._metrics = registry, models, limits, metrics
        self._encoding: MicroBatcher[Sent, Encoded] = MicroBatcher(
            "encode", self._encode, batch=limits.batch, waiting=limits.waiting
        )
        self._searching: MicroBatcher[Asked, list[Found]] = MicroBatcher(
            "search", self._search, batch=4 * limits.batch, waiting=2 * limits.waiting
        )

    async def close(self) -> None:
        """Finish what is under way."""
        await self._encoding.close()
        await self._searching.close()

    async def files(
        self, request: Request, uploads: Sequence[Upload], question: Question, *, draw: bool
    ) -> list[Answer]:
        """Answer uploaded files.

        Raises:
            MediaError: One of them is no query; its name stands in front.
            DtbhError: The model or the archive fails.
            OverloadedError: Too much is under way.
        """
        model = await self.ready(request, question)
        try:
            vectors = question.ranking.rescore is not None
            futures = self._encoding.submit([(model, upload.item, vectors) for upload in uploads])
            encoded = await self._wait(request, asyncio.gather(*futures))
        except MediaError as error:
            raise MediaError(_named(str(error), uploads)) from None
        searches = self._searching.submit([(encoding.codes, question) for encoding, _ in encoded])
        hits = await self._wait(request, asyncio.gather(*searches))
        pictures = [await run_in_threadpool(self._picture, upload.item) if draw else None for upload in uploads]
        return [
            Answer(name=upload.name, modality=upload.item.modality, heard=next(iter(encoding.heard.values()), None),
                   used=used or None, preview=picture,
                   **_answer(encoding.codes, question, found, model.confidence, belief(model, encoding)))
            for upload, (encoding, used), picture, found in zip(uploads, encoded, pictures, hits, strict=True)
        ]  # fmt: skip

    async def ready(self, request: Request, question: Question) -> Encoder:
        """The model that encodes for these archives, when it is loaded; raises as `files` does."""
        archive = self._registry.archive(question.archives[0])
        return await self._wait(request, self._models.of(archive), "the model is still loading; try again in a moment")

    async def texts(self, request: Request, texts: Sequence[str], question: Question) -> list[Answer]:
        """Answer texts; raises as `files` does."""
        uploads = [Upload(text, text_item(text)) for text in texts]
        return await self.files(request, uploads, question, draw=False)

    async def codes(
        self, request: Request, codes: Sequence[HashCodes], question: Question, by: Belief | None
    ) -> list[Answer]:
        """Answer codes of one item each, whose id is the query's name; raises as `files` does."""
        hits = await self._wait(request, asyncio.gather(*self._searching.submit([(code, question) for code in codes])))
        known = None if by is None else self._models.confidence(self._registry.archive(question.archives[0]))
        return [
            Answer(name=code.items[0].id, **_answer(code, question, found, known, by))
            for code, found in zip(codes, hits, strict=True)
        ]

    async def _wait(self, request: Request, awaited: Awaitable[T], late: str = "") -> T:
        """The result, unless the client leaves or it takes too long; then the work is called off."""
        work, gone = asyncio.ensure_future(awaited), asyncio.ensure_future(_gone(request))
        try:
            await asyncio.wait({work, gone}, timeout=self._limits.wait_seconds, return_when=asyncio.FIRST_COMPLETED)
            if work.done():
                return work.result()
            if gone.done():
                raise HTTPException(GONE, "the client has left")
            raise OverloadedError(late)
        finally:
            work.add_done_callback(lambda done: done.cancelled() or done.exception())  # else asyncio logs it as lost
            work.cancel()
            gone.cancel()

    def _encode(self, batch: Sequence[Sent]) -> list[Encoded | Exception]:
        """Codes of single files, those of one model together, and those with vectors; runs in the batcher's thread."""
        started = time.perf_counter()
        results: list[Encoded | Exception] = [OverloadedError()] * len(batch)
        queries: dict[int, tuple[Item, str]] = {}
        good: dict[tuple[int, bool], list[int]] = defaultdict(list)
        for place, (model, item, vectors) in enumerate(batch):
            try:
                if item.modality != "text":
                    (check_sound if item.modality == "sound" else check_image)(Path(str(item.path)), self._limits)
                queries[place] = as_query(model, item, within=self._limits.sound_seconds)
                good[id(model), vectors].append(place)
            except DtbhError as error:
                results[place] = error
        for (_, vectors), places in good.items():
            found = _encoded(batch[places[0]][0], [queries[place][0] for place in places], vectors)
            for place, result in zip(places, found, strict=True):
                results[place] = result if isinstance(result, Exception) else (result, queries[place][1])
        self._metrics.batch.labels("encode").observe(len(batch))
        self._metrics.work.labels("encode").observe(time.perf_counter() - started)
        return results

    def _search(self, batch: Sequence[Asked]) -> list[list[Found] | Exception]:
        """Hits of single codes; runs in the batcher's thread."""
        started = time.perf_counter()
        hits = self._registry.search(batch)
        self._metrics.batch.labels("search").observe(len(batch))
        self._metrics.work.labels("search").observe(time.perf_counter() - started)
        return hits

    def _picture(self, item: Item) -> str | None:
        try:
            content, kind = preview(item, PREVIEW, self._limits)
        except MediaError:
            return None
        return f"data:{kind};base64,{base64.b64encode(content).decode()}"


def _encoded(model: Encoder, items: Sequence[Item], vectors: bool) -> list[Encoding | Exception]:
    """A code, or why there is none, for each item; one that breaks the encoder breaks no other."""
    numbered = [replace(item, id=str(number)) for number, item in enumerate(items)]
    try:
        encoding = model.encode(numbered, skip=True, vectors=vectors)
    except Exception as error:
        return [error] if len(items) == 1 else [result for item in items for result in _encoded(model, [item], vectors)]
    rows = {item.id: row for row, item in enumerate(encoding.codes.items)}
    failures = iter(encoding.failures)
    return [encoding.row(rows[item.id]) if item.id in rows else MediaError(next(failures)) for item in numbered]


def entry(archive: str, item: Item, code: str, vector: str | None = None) -> Entry:
    """An item as the service tells of it: all but where its file lies."""
    return Entry(archive=archive, code=code, vector=vector, **_known(item))


def _answer(
    code: HashCodes, question: Question, found: Sequence[Found], confidence: Confidence | None, by: Belief | None
) -> dict[str, object]:
    """What every answer says: the query's code, its hits, and how far they can be believed."""
    pairs = [(hit.item.modality, hit.distance) for hit in found]
    likely = [None] * len(pairs) if by is None else hit_probabilities(confidence, by, pairs)
    hits = [
        Hit(rank=rank, distance=hit.distance, similarity=hit.similarity and round(hit.similarity, 4), probability=right,
            archive=hit.archive, code=hit.code, **_known(hit.item))
        for rank, (hit, right) in enumerate(zip(found, likely, strict=True), start=1)
    ]  # fmt: skip
    return {
        "code": to_hex(code.words[0], code.bits), "belief": by and by._asdict(), "hits": hits,
        "vector": None if code.vectors is None else to_base64(code.vectors[0]),
        "weights": to_digits(code.weights[0]) if question.ranking.asymmetric and code.weights is not None else None,
        "strength": strength(likeliest(likely)),
    }  # fmt: skip


def _known(item: Item) -> dict[str, object]:
    return {name: getattr(item, name) for name in Entry.model_fields if hasattr(item, name)}


def _named(message: str, uploads: Sequence[Upload]) -> str:
    """A message about an upload's file, with the name that it came with."""
    for upload in uploads:
        message = message.replace(str(upload.item.path), upload.name)
    return message


async def _gone(request: Request) -> None:
    """Returns when the client has left."""
    while (await request.receive())["type"] != "http.disconnect":
        pass
