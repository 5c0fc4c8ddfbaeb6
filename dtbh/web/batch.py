"""Many queries in one request: each is answered by itself, and how far it is comes as Server-Sent Events.

The format of events: https://html.spec.whatwg.org/multipage/server-sent-events.html
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack
from typing import Annotated

from fastapi import FastAPI, File, HTTPException, Query, Request, Response, UploadFile

from dtbh.config import Service
from dtbh.errors import DtbhError
from dtbh.web import schemas
from dtbh.web.archives import ArchiveRegistry, Question
from dtbh.web.batching import OverloadedError
from dtbh.web.exports import hits_as_csv
from dtbh.web.middleware import BATCH
from dtbh.web.query_service import QueryService, Upload
from dtbh.web.questions import few, question
from dtbh.web.uploads import CleanedStream, stored

UNBUFFERED = {"cache-control": "no-store", "x-accel-buffering": "no"}  # nginx would keep events until it has 4 kB


class EventStream(CleanedStream):
    """Server-Sent Events."""

    media_type = "text/event-stream"


EVENTS = {
    EventStream.media_type: {
        "schema": {
            "type": "object",
            "properties": {"event": {"type": "string", "enum": ["progress", "result"]}, "data": {"type": "string"}},
        }
    }
}
"""One event, as OpenAPI describes it."""


def add_batch(app: FastAPI, registry: ArchiveRegistry, service: QueryService, limits: Service) -> None:
    """The route of batches."""

    @app.post(BATCH, tags=["search"], response_class=Response, responses={200: {"content": EVENTS}})
    async def search_batch(
        request: Request,
        file: Annotated[list[UploadFile], File(min_length=1, description="sounds and images, by their media types")],
        asked: Annotated[schemas.BatchAsked, Query()],
    ) -> Response:
        """Search with many files; a file that is no query hinders no other.

        The reply is a stream of events: `progress` after each file, a Progress; at the end one `result`, a BatchReply,
        or with `format=csv` a table with a row a hit.
        """
        asks = question(asked, registry, limits)
        few(len(file), limits.batch_queries, "files fit in one batch")
        async with AsyncExitStack() as stack:
            uploads = await stack.enter_async_context(stored(file))
            await service.ready(request, asks)
            kept = stack.pop_all()
        bits = registry.archive(asks.archives[0]).bits
        events = _events(request, service, uploads, asks, asked.format, bits, limits.batch)
        return EventStream(events, headers=UNBUFFERED, closing=kept.aclose)


async def _events(
    request: Request, service: QueryService, uploads: Sequence[Upload], asks: Question, format: str, bits: int,
    together: int,
) -> AsyncIterator[str]:  # fmt: skip
    """Progress, and the result; at most ``together`` queries are under way, so that others get their turn."""
    room = asyncio.Semaphore(together)

    async def one(place: int) -> tuple[int, schemas.Answer | str]:
        async with room:
            try:
                return place, (await service.files(request, [uploads[place]], asks, draw=False))[0]
            except (DtbhError, OverloadedError, HTTPException) as error:
                said = str(getattr(error, "detail", error)) or "too many queries are under way"
                return place, " ".join(said.split())

    tasks = [asyncio.create_task(one(place)) for place in range(len(uploads))]
    found: dict[int, schemas.Answer | str] = {}
    try:
        for finished in asyncio.as_completed(tasks):
            place, answer = await finished
            found[place] = answer
            problem = answer if isinstance(answer, str) else None
            name = uploads[place].name
            done = schemas.Progress(done=len(found), count=len(uploads), name=name, problem=problem)
            yield _event("progress", done.model_dump_json())
    finally:
        for task in tasks:
            task.cancel()
    answers = [answer for _, answer in sorted(found.items()) if isinstance(answer, schemas.Answer)]
    failures = [
        schemas.Failure(name=uploads[place].name, problem=problem)
        for place, problem in sorted(found.items())
        if isinstance(problem, str)
    ]
    reply = schemas.BatchReply(bits=bits, archives=list(asks.archives), queries=answers, failures=failures)
    yield _event("result", hits_as_csv(reply) if format == "csv" else reply.model_dump_json())


def _event(name: str, text: str) -> str:
    """One event; of several lines each is data of its own."""
    return f"event: {name}\n" + "".join(f"data: {line}\n" for line in text.rstrip("\n").split("\n")) + "\n"
