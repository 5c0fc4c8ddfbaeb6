"""What stands before every request: who may ask, how much may be sent, and whether there is room.

A request is refused before its body is read; a body is counted while it is read.
"""

from __future__ import annotations

import asyncio
import hashlib
import secrets
import time
from collections.abc import Collection
from http.cookies import CookieError, SimpleCookie
from typing import Any
from urllib.parse import parse_qs, urlsplit

from fastapi import HTTPException
from starlette.responses import HTMLResponse, JSONResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from dtbh.config import Service
from dtbh.web.metrics import Metrics

COOKIE = "dtbh"
BATCH = "/v1/search/batch"  # larger than others, and as much longer on its way
OPEN = ("/healthz",)  # without a token
ADDRESS = 32_000  # bytes; a longer one is refused
GATHERED = 4  # times as many requests of all kinds as queries may be under way
DRAIN = 1.0  # seconds in which what a refused client still sends is read, so that it reads the answer
ASK = (
    '<!doctype html><html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width">'
    "<title>dtbh</title><style>:root{color-scheme:light dark}body{font:16px/1.5 system-ui;margin:20vh auto;"
    'max-width:20rem;padding:0 1rem}</style><form><label>This archive wants its token<br><input name="token" '
    'type="password" autofocus autocomplete="current-password"></label> <button>Open</button></form></html>'
)


class ServiceMiddleware:
    """Middleware around the whole application.

    Args:
        app: What it guards.
        limits: What may be sent.
        token: What a client must know; None lets everybody in.
        hosts: Names under which the service may be addressed, against rebound domain names; None for any.
        metrics: Where requests are counted.
        root_path: Where a proxy has the service; whether or not it takes that off before it asks.
        pictures: Where the page may load pictures from, beside the service itself.
    """

    def __init__(
        self, app: ASGIApp, *, limits: Service, token: str | None, hosts: Collection[str] | None, metrics: Metrics,
        root_path: str = "", pictures: str = "",
    ) -> None:  # fmt: skip
        self._app, self._limits, self._hosts, self._metrics = app, limits, hosts, metrics
        self._root = root_path
        self._requests = self._searches = 0
        self._token = None if token is None else _digest(token.encode())
        self._headers = [
            (b"x-content-type-options", b"nosniff"),
            (b"referrer-policy", b"no-referrer"),
            (b"content-security-policy", f"default-src 'self'; img-src 'self' data: blob: {pictures}; media-src "
             "'self' blob:; style-src 'self' 'unsafe-inline'; frame-ancestors 'none'".encode()),
        ]  # fmt: skip

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer, refuse, and count."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        scope = self._without_root(_plain(scope))
        started, status, search = time.perf_counter(), 500, scope["method"] == "POST"

        async def sending(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"] = [*message.get("headers", []), *self._headers]
            await send(message)

        try:
            refusal = self._refusal(scope)
            if refusal is not None:
                await _drain(receive)
                await refusal(scope, receive, sending)
                return
            self._requests += 1
            self._searches += search
            self._metrics.waiting.set(self._searches)
            try:
                await self._app(scope, self._counted(scope, receive), sending)
            finally:
                self._requests -= 1
                self._searches -= search
                self._metrics.waiting.set(self._searches)
        finally:
            route = getattr(scope.get("route"), "path", "other")
            self._metrics.requests.labels(route, status).inc()
            self._metrics.seconds.labels(route).observe(time.perf_counter() - started)

    def _without_root(self, scope: Scope) -> Scope:
        """The request as if it had been asked of the root."""
        if not self._root:
            return scope
        below = scope["path"].removeprefix(f"{self._root}/")
        path = scope["path"] if below == scope["path"] else f"/{below}"
        return {**scope, "path": path, "root_path": self._root}

    def _refusal(self, scope: Scope) -> Response | None:
        """Why this request is not let in."""
        if len(scope["raw_path"]) + len(scope["query_string"]) > ADDRESS:
            return _problem(414, f"the address is too long: at most {ADDRESS} bytes")
        if self._root and scope["path"] == self._root:  # without its slash the page's links would lead elsewhere
            return RedirectResponse(f"{self._root}/", 308)
        headers = {name: value.decode("latin-1") for name, value in scope["headers"]}
        host = headers.get(b"host", "")
        if self._hosts is not None and _name(host) not in self._hosts:
            return _problem(400, f"this service is not called {host!r}; open it under {' or '.join(self._hosts)}")
        origin = headers.get(b"origin")
        if origin is not None and _place(origin) != host:
            return _problem(403, f"a page of {origin} may not ask this service")
        if self._token is not None and scope["path"] not in OPEN and (asked := self._unknown(scope, headers)):
            return asked
        length = headers.get(b"content-length", "0")
        if not length.isdecimal() or int(length) > self._most(scope) * 1e6:
            return _problem(413, self._too_large(scope))
        most = self._limits.waiting
        if scope["path"] not in OPEN and (
            self._requests >= GATHERED * most or (scope["method"] == "POST" and self._searches >= most)
        ):
            self._metrics.refused.inc()
            return _problem(503, "too many queries are under way; try again in a moment", {"retry-after": "1"})
        return None

    def _most(self, scope: Scope) -> float:
        """Megabytes that this request may have."""
        return self._limits.batch_mb if scope["path"] == BATCH else self._limits.upload_mb

    def _too_large(self, scope: Scope) -> str:
        return f"too large: at most {self._most(scope):g} MB can be sent at once"

    def _unknown(self, scope: Scope, headers: dict[bytes, str]) -> Response | None:
        """The answer to a client that does not know the token; None to one that does."""
        kind, _, bearer = headers.get(b"authorization", "").partition(" ")
        given = _digest(bearer.encode("latin-1")) if kind.lower() == "bearer" else ""
        try:
            cookie = SimpleCookie(headers.get(b"cookie", "")).get(COOKIE)
        except CookieError:
            cookie = None
        if any(secrets.compare_digest(found, str(self._token)) for found in (given, cookie.value if cookie else "")):
            return None
        if scope["path"] != "/":
            return _problem(401, "wants a token: Authorization: Bearer TOKEN", {"www-authenticate": "Bearer"})
        query = parse_qs(scope["query_string"].decode("latin-1")).get("token", [""])[0]
        if not secrets.compare_digest(_digest(query.encode("utf-8", "replace")), str(self._token)):
            return HTMLResponse(ASK, 401)
        answer = RedirectResponse("./", 303)
        answer.set_cookie(
            COOKIE, str(self._token), path=self._root or "/", secure=scope["scheme"] == "https", httponly=True,
            samesite="strict", max_age=30 * 86400,
        )  # fmt: skip
        return answer

    def _counted(self, scope: Scope, receive: Receive) -> Receive:
        """The body, until it gets too large or takes too long."""
        seen, done, most = 0, False, self._most(scope)
        seconds = self._limits.upload_seconds * max(1.0, most / self._limits.upload_mb)
        end = time.monotonic() + seconds

        async def counted() -> Message:
            nonlocal seen, done
            if done:
                return await receive()
            try:
                message = await asyncio.wait_for(receive(), max(0.0, end - time.monotonic()))
            except TimeoutError:
                raise HTTPException(408, f"the request took over {seconds:g} s to arrive") from None
            seen += len(message.get("body", b""))
            done = not message.get("more_body", False)
            if seen > most * 1e6:
                await _drain(receive)
                raise HTTPException(413, self._too_large(scope))
            return message

        return counted


def _plain(scope: Scope) -> Scope:
    """A request for a head as one for the whole, of which the server sends no body; an address without its host."""
    method = "GET" if scope["method"] == "HEAD" else scope["method"]
    path, kind = scope["path"], scope["path"].partition("://")[0].lower()
    if kind in ("http", "https"):  # as proxies are asked, and every server has to take it
        path = f"/{path.split('://', 1)[1].partition('/')[2]}"
    return {**scope, "method": method, "path": path}


def _problem(status: int, detail: str, headers: dict[str, str] | None = None) -> Response:
    return JSONResponse({"detail": detail}, status, {"connection": "close", **(headers or {})})


def _digest(token: bytes) -> str:
    return hashlib.sha256(token).hexdigest()


def _name(host: str) -> str:
    """A Host header without its port."""
    return host.rsplit(":", 1)[0] if not host.endswith("]") else host


def _place(origin: str) -> str | None:
    """The host and port in an Origin header; None if it is no address."""
    try:
        return urlsplit(origin).netloc
    except ValueError:
        return None


async def _drain(receive: Receive) -> None:
    """Read what is still sent, for a moment."""

    async def read() -> None:
        while True:
            message: dict[str, Any] = dict(await receive())
            if message["type"] == "http.disconnect" or not message.get("more_body", False):
                return

    try:
        await asyncio.wait_for(read(), DRAIN)
    except TimeoutError:
        return
