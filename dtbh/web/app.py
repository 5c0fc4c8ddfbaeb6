"""The application: its routes over the archives.

Every reply and every refusal is JSON of `dtbh.web.schemas`, but for media and the page.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Collection, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Annotated
from urllib.parse import urlsplit

from fastapi import FastAPI, File, HTTPException, Query, Request, Response, UploadFile
from fastapi.responses import FileResponse, HTMLResponse, PlainTextResponse

from dtbh.config import Service
from dtbh.data.manifest import Modality
from dtbh.data.passages import sound_of
from dtbh.errors import CodesError, ConfigError, MediaError
from dtbh.index.engines.base import Engine
from dtbh.index.rescoring import check_rescore
from dtbh.media.sound import Passage, wav_of
from dtbh.models.encoder import Encoder
from dtbh.models.load import load as load_model
from dtbh.search.confidence import Belief
from dtbh.utils.progress import echo
from dtbh.utils.version import __version__
from dtbh.web import schemas
from dtbh.web.api_docs import render
from dtbh.web.archives import ArchiveRegistry, Question, from_hex
from dtbh.web.batch import add_batch
from dtbh.web.exception_handlers import PROBLEMS, add_exception_handlers
from dtbh.web.exports import add_exports
from dtbh.web.metrics import Metrics
from dtbh.web.middleware import ServiceMiddleware
from dtbh.web.models import Models
from dtbh.web.overviews import Overviews
from dtbh.web.previews import media_type, preview, whole_tile
from dtbh.web.query_service import QueryService, entry
from dtbh.web.questions import existing, few, item_of, question, told
from dtbh.web.uploads import stored

STATIC = Path(__file__).with_name("static")
TYPES = {".js": "text/javascript", ".css": "text/css", ".svg": "image/svg+xml"}
FILES = {path.name: TYPES[path.suffix] for path in sorted(STATIC.iterdir()) if path.suffix in TYPES}
Named = Annotated[schemas.Text | None, Query(description="the archive; the first, if none is named")]


def create_app(
    archives: Sequence[str | Path | Engine],
    *,
    model: str | Path | None = None,
    limits: Service | None = None,
    token: str | None = None,
    hosts: Collection[str] | None = None,
    root_path: str = "",
    load: Callable[[str | Path], Encoder] = load_model,
) -> FastAPI:
    """The service over some archives.

    Args:
        archives: Folders of archives, or engines.
        model: The model that made them; without it each archive's own.
        limits: What a request may ask.
        token: What a client must know; None lets everybody in.
        hosts: Names under which it may be addressed; None for any.
        root_path: Where a proxy has it, as in ``/tiles``.
        load: Opens a model; `dtbh.models.load.load` unless given.

    Raises:
        CodesError: No archive there.
        ConfigError: The limits say to rescore, and an archive keeps no vectors, or to expand what is not rescored; or
            to weigh bits, and an archive can't.
    """
    limits = limits or Service()
    registry, metrics = ArchiveRegistry(archives), Metrics()
    registry.check(told(registry.best(registry.names), limits, schemas.Search()), registry.names)
    if bare := registry.bare():
        echo(f"{', '.join(bare)}: without vectors, so that all archives together are searched by the bits alone; index "
             "again with --vectors, or serve apart")  # fmt: skip
    models = Models(model, load, limits.language)
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
        ServiceMiddleware, limits=limits, token=token, hosts=hosts, metrics=metrics, root_path=root_path,
        pictures=f"{tiles.scheme}://{tiles.netloc}" if tiles.netloc else "",
    )  # fmt: skip
    add_exception_handlers(app)
    _add_search(app, registry, service, limits)
    add_batch(app, registry, service, limits)
    add_exports(app, registry, limits)
    _add_items(app, registry, limits)
    _add_service(app, registry, models, metrics, limits)
    return app


def _add_search(app: FastAPI, registry: ArchiveRegistry, service: QueryService, limits: Service) -> None:
    """The ways to search."""

    async def answer(
        request: Request, files: list[UploadFile], modality: Modality, asked: schemas.Asked
    ) -> schemas.SearchReply:
        asks = question(asked, registry, limits)
        few(len(files), limits.queries)
        async with stored(files, modality) as uploads:
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
        asks = question(asked, registry, limits)
        few(len(asked.texts), limits.queries)
        return _reply(registry, asks, await service.texts(request, asked.texts, asks))

    @app.post("/v1/search/code", tags=["search"])
    async def search_code(request: Request, asked: schemas.CodeQuery) -> schemas.SearchReply:
        """Search with hash codes, such as those of items; no model is needed."""
        asks = question(asked, registry, limits)
        few(len(asked.codes), limits.queries)
        archive = registry.archive(asks.archives[0])
        try:
            none: list[str | None] = [None] * len(asked.codes)
            vectors = asked.vectors if asks.ranking.rescore and asked.vectors else none
            weights = asked.weights if asks.ranking.asymmetric and asked.weights else none
            for name, given in (("vectors", vectors), ("weights", weights)):
                if len(given) != len(asked.codes):
                    raise ConfigError(f"{name}: wanted one for each of {len(asked.codes)} codes, found {len(given)}")
            codes = [
                from_hex(code, archive.bits, archive.encoder, vector, sure)
                for code, vector, sure in zip(asked.codes, vectors, weights, strict=True)
            ]
            for query in codes:
                check_rescore(asks.ranking.rescore, query, archive.vector_dim, of=asks.archives[0],
                              expand=asks.ranking.expand)  # fmt: skip
        except CodesError as error:
            raise ConfigError(f"codes: {error}") from None
        by = None if asked.belief is None else Belief(asked.belief.modality, asked.belief.share)
        return _reply(registry, asks, await service.codes(request, codes, asks, by))


def _add_items(app: FastAPI, registry: ArchiveRegistry, limits: Service) -> None:
    """Items and their media."""

    @app.get("/v1/items/{id:path}/media", tags=["items"], response_class=Response)
    def media(
        id: str,
        archive: Named = None,
        size: Annotated[int | None, Query(ge=16, le=2048, description="a picture of at most so many pixels")] = None,
    ) -> Response:
        """The item's file, or the passage of it; with a size, a thumbnail of an image or the waveform of a sound."""
        name, item, *_ = item_of(registry, id, archive)
        if item.path is None or not Path(item.path).is_file():
            raise HTTPException(404, f"{name}: the file of {id!r} is {'gone' if item.path else 'not known'}")
        kept = {"cache-control": "private, max-age=600"}
        if size is None and item.window is None:
            return FileResponse(item.path, media_type=media_type(Path(item.path)), headers=kept)
        sound = sound_of(item)
        try:
            if size is None and isinstance(sound, Passage):
                content, kind = wav_of(sound), "audio/wav"
            else:
                content, kind = whole_tile(item, limits) if size is None else preview(item, size, limits)
        except MediaError as error:
            raise HTTPException(404, str(error).replace(item.path, id)) from None
        return Response(content, media_type=kind, headers=kept)

    @app.get("/v1/items/{id:path}", tags=["items"])
    def one(id: str, archive: Named = None) -> schemas.Entry:
        """What is known of an item, with its code and its vector."""
        return entry(*item_of(registry, id, archive))

    @app.get("/v1/items", tags=["items"])
    def some(
        archive: Named = None,
        modality: Annotated[schemas.Modality, Query()] = "image",
        count: Annotated[int, Query(ge=1, le=100)] = 12,
    ) -> schemas.ItemsReply:
        """A few items from all over an archive, of as many labels as may be: something to begin with."""
        name = archive or registry.names[0]
        existing(registry, name)
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
        existing(registry, name)
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


def _reply(registry: ArchiveRegistry, asks: Question, answers: list[schemas.Answer]) -> schemas.SearchReply:
    bits = registry.archive(asks.archives[0]).bits
    return schemas.SearchReply(bits=bits, archives=list(asks.archives), queries=answers)
