"""What each kind of mistake is answered with: a status and one sentence."""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException as StarletteHTTPException

from dtbh.errors import ConfigError, DtbhError, MediaError
from dtbh.web import schemas
from dtbh.web.batching import OverloadedError

PROBLEMS: dict[int | str, dict[str, Any]] = {
    status: {"model": schemas.Problem, "description": text}
    for status, text in {
        400: "Not a request that can be read", 401: "The token is missing",
        403: "Asked by another site's page", 404: "No such archive or item", 408: "The body took too long",
        413: "Too large", 414: "The address is too long", 422: "A query that can't be answered",
        503: "Overloaded, or the model is not ready",
    }.items()
}  # fmt: skip


def add_exception_handlers(app: FastAPI) -> None:
    """Each kind of mistake as a status and one sentence."""

    def said(status: int, text: str, **headers: str) -> JSONResponse:
        return JSONResponse({"detail": " ".join(text.encode("utf-8", "replace").decode().split())}, status, headers)

    @app.exception_handler(RequestValidationError)
    async def invalid(_: Request, error: RequestValidationError) -> JSONResponse:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"][1:]) or "the body"
        what = "wanted a file, found a text, as of curl -F file=q.wav without its @"
        return said(422, f"{where}: {what if 'UploadFile' in first['msg'] else first['msg']}")

    @app.exception_handler(StarletteHTTPException)
    async def refused(_: Request, error: StarletteHTTPException) -> JSONResponse:
        return said(error.status_code, str(error.detail), **(error.headers or {}))

    @app.exception_handler(DtbhError)
    async def mistake(_: Request, error: DtbhError) -> JSONResponse:
        return said(422 if isinstance(error, (MediaError, ConfigError)) else 503, str(error))

    @app.exception_handler(OverloadedError)
    async def overloaded(_: Request, error: OverloadedError) -> JSONResponse:
        return said(503, str(error) or "too many queries are under way; try again in a moment", **{"retry-after": "2"})

    @app.exception_handler(Exception)
    async def failed(_: Request, error: Exception) -> JSONResponse:  # the traceback goes to the log
        return said(500, f"a fault of the service ({type(error).__name__}); its log says more")
