"""The application: its routes over the archives.

Every reply and every refusal is JSON of `dtbh.web.schemas`, but for media and the page.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import AsyncIterator, Callable, Collection, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Annotated
from urllib.parse import urlsplit

from fastapi import FastAPI, File, HTTPException, Query, Request, Response, UploadFile
from fastapi.responses import FileResponse, HTMLResponse, PlainTextResponse
from starlette.concurrency import run_in_threadpool

from dtbh.config import Service
from dtbh.data.manifest import Item, Modality
from dtbh.errors import CodesError, ConfigError, MediaError
from dtbh.index.engines.base import Engine
from dtbh.index.rescoring import check_rescore
from dtbh.models.encoder import Encoder
from dtbh.models.load import load as load_model
from dtbh.search.confidence import Belief
from dtbh.utils.version import __version__
from dtbh.web import schemas
from dtbh.web.api_docs import render
from dtbh.web.archives import ArchiveRegistry, Question, from_hex, to_base64, to_hex
from dtbh.web.exception_handlers import PROBLEMS, add_exception_handlers
from dtbh.web.metrics import Metrics
from dtbh.web.middleware import ServiceMiddleware
from dtbh.web.models import Models
from dtbh.web.overviews import Overviews
from dtbh.web.previews import media_type, preview
from dtbh.web.query_service import QueryService, Upload, entry

STATIC = Path(__file__).with_name("static")
FILES = {
    "page.js": "text/javascript",
    "map.js": "text/javascript",
    "overview.css": "text/css",
    "overview.js": "text/javascript",
    "recorder.js": "text/javascript",
    "style.css": "text/css",
    "icon.svg": "image/svg+xml",
}
Named = Annotated[schemas.Text | None, Query(description="the archive; the first, if none is named")]


def create_app(
    archives: Sequence[str | Path | Engine],
    *,
    model: str | Path | None = None,
    limits: Service | None = None,
    token: str | None = None,
    hosts: Collection[str] | None = None,
    load: Callable[[Path], Encoder] = load_model,
) -> FastAPI:
    """The service over some archives.

    Args:
        archives: Folders of archives, or engines.
        model: The model that made them; without it each archive's own.
        limits: What a request may ask.
        token: What a client must know; None lets everybody in.
        hosts: Names under which it may be addressed; None for any.
        load: Opens a model; `dtbh.models.load.load` unless given.

    Raises:
        CodesError: No archive there.
        ConfigError: The limits say to rescore, and an archive keeps no vectors.
    """
    limits = limits or Service()
    registry, metrics = ArchiveRegistry(archives), Metrics()
    registry.check_rescore(limits.rescore, registry.names)
    models = Models(None if model is None else Path(model), load, limits.language)
    service = QueryService(registry, models, limits, metrics)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        for name in registry.names:
            models.start(registry.archive(name))
        yield
        await service.close()

    app = FastAPI(
        title="dtbh", version=__version__, lifespan=lifespan, docs_url=None, redoc_url=None, responses=PROBLEMS,
        description="Searches archives of aerial images and sounds by their hash codes, in both directions.",
    )  # fmt: skip
    tiles = urlsplit(limits.tiles)
    app.add_middleware(
        ServiceMiddleware, limits=limits, token=token, hosts=hosts, metrics=metrics,
        pictures=f"{tiles.scheme}://{tiles.netloc}" if tiles.netloc else "",
    )  # fmt: skip
    add_exception_handlers(app)
    _add_search(app, registry, service, limits)
    _add_items(app, registry, limits)
    _add_service(app, registry, models, metrics, limits)
    return app


def _add_search(app: FastAPI, registry: ArchiveRegistry, service: QueryService, limits: Service) -> None:
    """The ways to search."""

    def question(asked: schemas.Asked | schemas.CodeQuery | schemas.TextQuery) -> Question:
        for name in asked.archive:
            _existing(registry, name)
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
            if asked.rescore:
                raise ConfigError("rescore: the codes came without vectors; send those of an answer or of an item too")
            rescore = 0
        together = registry.together(asked.archive)
        registry.check_rescore(rescore, together)
        return Question(together, asked.k, asked.find, where, asked.distance, rescore or None)

    async def answer(
        request: Request, files: list[UploadFile], modality: Modality, asked: schemas.Asked
    ) -> schemas.SearchReply:
        asks = question(asked)
        _few(len(files), limits)
        async with _stored(files, modality) as uploads:
            answers = await service.files(request, uploads, asks, draw=asked.preview)
        return _reply(registry, asks, answers)

    @app.post("/v1/search/sound", tags=["search"])
    async def search_sound(
        request: Request,
        file: Annotated[list[UploadFile], File(min_length=1, description="sounds: WAV, FLAC, Ogg, Opus, MP3, AIFF")],
        asked: Annotated[schemas.Asked, Query()],
    ) -> schemas.SearchReply:
        """Search with sound files; each is a query."""
        return await answer(request, file, "sound", asked)

    @app.post("/v1/search/image", tags=["search"])
    async def search_image(
        request: Request,
        file: Annotated[
            list[UploadFile], File(min_length=1, description="images: JPEG, PNG, TIFF, WebP, BMP, GIF, JP2")
        ],
        asked: Annotated[schemas.Asked, Query()],
    ) -> schemas.SearchReply:
        """Search with image files; each is a query."""
        return await answer(request, file, "image", asked)

    @app.post("/v1/search/text", tags=["search"])
    async def search_text(request: Request, asked: schemas.TextQuery) -> schemas.SearchReply:
        """Search with texts; each is a query."""
        asks = question(asked)
        _few(len(asked.texts), limits)
        return _reply(registry, asks, await service.texts(request, asked.texts, asks))

    @app.post("/v1/search/code", tags=["search"])
    async def search_code(request: Request, asked: schemas.CodeQuery) -> schemas.SearchReply:
        """Search with hash codes, such as those of items; no model is needed."""
        asks = question(asked)
        _few(len(asked.codes), limits)
        archive = registry.archive(asks.archives[0])
        try:
            vectors = asked.vectors if asks.rescore and asked.vectors else [None] * len(asked.codes)
            if len(vectors) != len(asked.codes):
                raise ConfigError(f"vectors: wanted one for each of {len(asked.codes)} codes, found {len(vectors)}")
            codes = [
                from_hex(code, archive.bits, archive.encoder, vector)
                for code, vector in zip(asked.codes, vectors, strict=True)
            ]
            if asks.rescore is not None:
                for query in codes:
                    check_rescore(asks.rescore, query, archive.vector_dim, of=asks.archives[0])
        except CodesError as error:
            raise ConfigError(f"codes: {error}") from None
        by = None if asked.belief is None else Belief(asked.belief.modality, asked.belief.share)
        return _reply(registry, asks, await service.codes(request, codes, asks, by))


def _add_items(app: FastAPI, registry: ArchiveRegistry, limits: Service) -> None:
    """Items and their media."""

    def found(id: str, archive: str | None) -> tuple[str, Item, str, str | None]:
        name = archive or registry.names[0]
        _existing(registry, name)
        try:
            codes = registry.archive(name).codes([schemas.storable(id)])
        except (CodesError, ValueError):
            raise HTTPException(404, f"{name}: no item has the id {id!r}") from None
        vector = None if codes.vectors is None else to_base64(codes.vectors[0])
        return name, codes.items[0], to_hex(codes.words[0], codes.bits), vector

    @app.get("/v1/items/{id:path}/media", tags=["items"], response_class=Response)
    def media(
        id: str,
        archive: Named = None,
        size: Annotated[int | None, Query(ge=16, le=2048, description="a picture of at most so many pixels")] = None,
    ) -> Response:
        """The item's file; with a size, a thumbnail of an image or the waveform of a sound."""
        name, item, *_ = found(id, archive)
        if item.path is None or not Path(item.path).is_file():
            raise HTTPException(404, f"{name}: the file of {id!r} is {'gone' if item.path else 'not known'}")
        kept = {"cache-control": "private, max-age=600"}
        if size is None and item.window is not None:
            size = min(2048, max(item.window[2:]))  # a tile as it is, not its whole scene
        if size is None:
            return FileResponse(item.path, media_type=media_type(Path(item.path)), headers=kept)
        try:
            content, kind = preview(item, size, limits)
        except MediaError as error:
            raise HTTPException(404, str(error).replace(item.path, id)) from None
        return Response(content, media_type=kind, headers=kept)

    @app.get("/v1/items/{id:path}", tags=["items"])
    def one(id: str, archive: Named = None) -> schemas.Entry:
        """What is known of an item, with its code and its vector."""
        return entry(*found(id, archive))

    @app.get("/v1/items", tags=["items"])
    def some(
        archive: Named = None,
        modality: Annotated[schemas.Modality, Query()] = "image",
        count: Annotated[int, Query(ge=1, le=100)] = 12,
    ) -> schemas.ItemsReply:
        """A few items from all over an archive, of as many labels as may be: something to begin with."""
        name = archive or registry.names[0]
        _existing(registry, name)
        return schemas.ItemsReply(
            items=[entry(name, item, code) for item, code in registry.sample(name, modality, count)]
        )


def _add_service(app: FastAPI, registry: ArchiveRegistry, models: Models, metrics: Metrics, limits: Service) -> None:
    """What is served, how it does, and the page."""

    @app.get("/v1/archives", tags=["service"])
    def archives() -> schemas.ArchivesReply:
        """The archives and the limits."""
        entries = []
        for name in registry.names:
            archive = registry.archive(name)
            counts, (state, problem) = archive.counts(), models.state(archive)
            entries.append(schemas.ArchiveEntry(
                name=name, bits=archive.bits, encoder=archive.encoder, images=counts.get("image", 0),
                sounds=counts.get("sound", 0), labels=list(archive.labels()), model=state, problem=problem,
                texts=models.takes_texts(archive), vectors=archive.vector_dim is not None,
            ))  # fmt: skip
        shown = schemas.Limits(**limits.model_dump(include=set(schemas.Limits.model_fields)))
        return schemas.ArchivesReply(version=__version__, archives=entries, limits=shown, tiles=limits.tiles)

    overviews = Overviews(registry, models)

    @app.get("/v1/overview", tags=["service"])
    def glance(archive: Named = None) -> schemas.OverviewReply:
        """What an archive holds at a glance: groups of its images with their names, and examples."""
        name = archive or registry.names[0]
        _existing(registry, name)
        return overviews.of(name)

    @app.get("/healthz", tags=["service"])
    def health() -> schemas.Health:
        """Whether the service is up, and whether it can encode yet."""
        states = {models.state(registry.archive(name))[0] for name in registry.names}
        worst = next(state for state in ("failed", "loading", "ready") if state in states)
        return schemas.Health(status="ok", models=worst)

    @app.get("/metrics", tags=["service"], response_class=PlainTextResponse)
    def counted() -> Response:
        """Counters and times, for Prometheus."""
        for name in registry.names:
            metrics.items.labels(name).set(len(registry.archive(name)))
        return Response(metrics.render(), media_type="text/plain; version=0.0.4; charset=utf-8")

    @app.get("/docs", include_in_schema=False)
    def docs() -> HTMLResponse:
        return HTMLResponse(render(app.openapi()))

    @app.get("/", include_in_schema=False)
    def page() -> FileResponse:
        return FileResponse(STATIC / "index.html", media_type="text/html", headers={"cache-control": "no-cache"})

    @app.get("/static/{name}", include_in_schema=False)
    def static(name: str) -> FileResponse:
        if name not in FILES:
            raise HTTPException(404, f"no file is called {name!r}")
        return FileResponse(STATIC / name, media_type=FILES[name], headers={"cache-control": "no-cache"})


@asynccontextmanager
async def _stored(files: Sequence[UploadFile], modality: Modality) -> AsyncIterator[list[Upload]]:
    """Uploads as files of our own naming, for as long as they are needed."""
    uploads: list[Upload] = []

    def store() -> None:
        for file in files:
            handle, path = tempfile.mkstemp(prefix="dtbh-query-")
            name = "".join(char for char in file.filename or "" if char.isprintable())[:80] or modality
            uploads.append(Upload(name, Item(name, modality, path)))
            with os.fdopen(handle, "wb") as out:
                shutil.copyfileobj(file.file, out)

    try:
        if sum(file.size or 0 for file in files) < 1 << 20:
            store()  # takes less than another thread's turn
        else:
            await run_in_threadpool(store)
        yield uploads
    finally:
        for upload in uploads:
            Path(str(upload.item.path)).unlink(missing_ok=True)


def _reply(registry: ArchiveRegistry, asks: Question, answers: list[schemas.Answer]) -> schemas.SearchReply:
    bits = registry.archive(asks.archives[0]).bits
    return schemas.SearchReply(bits=bits, archives=list(asks.archives), queries=answers)


def _few(count: int, limits: Service) -> None:
    if count > limits.queries:
        raise ConfigError(f"at most {limits.queries} queries fit in one request, found {count}")


def _existing(registry: ArchiveRegistry, name: str) -> None:
    if name not in registry.names:
        raise HTTPException(404, f"no archive is called {name!r}; there are {', '.join(registry.names)}")
