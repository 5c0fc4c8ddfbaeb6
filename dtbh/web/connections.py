"""Connections that keep others out: without a request, or with an answer that nobody takes. They are closed in time.

uvicorn waits for ever for the head of a first request and for a client that takes nothing, and lets in as many
connections as the system has descriptors.
"""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import Awaitable, Callable
from contextlib import suppress
from functools import partial
from typing import Any

import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

MOST = 4096  # connections
RESERVED = 200  # descriptors for archives, uploads and what else is open
SPARE = 60  # of them kept from connections that have just come
AT_ONCE = 128  # connections let in before others are heard; fewer than RESERVED
UNKNOWN = 400  # connections where the system does not say how many descriptors there are
LEAVING = 5.0  # seconds that a client may take nothing while the service ends, or where others want its place


def raise_limit() -> None:
    """Let the process have as many descriptors open as connections want, or as many as the system allows."""
    try:
        import resource
    except ImportError:  # Windows
        return
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    unlimited = resource.RLIM_INFINITY
    wanted = MOST + RESERVED if hard == unlimited else min(MOST + RESERVED, hard)
    if soft != unlimited and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def descriptors() -> int | None:
    """How many the process may have open, at most as many as connections want; None where not known."""
    try:
        import resource
    except ImportError:  # Windows
        return None
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return MOST + RESERVED if soft == resource.RLIM_INFINITY else min(soft, MOST + RESERVED)


def room_for_connections() -> int:
    """How many there may be at once."""
    there = descriptors()
    return UNKNOWN if there is None else max(1, there - RESERVED)


class Door(socket.socket):
    """A listening socket that closes what comes where descriptors run out, connections that shake hands among them.

    Descriptors are numbered from below, so that the number of a new one says how many are open.
    """

    def accept(self) -> tuple[socket.socket, Any]:
        """The next connection; raises ConnectionAbortedError where there is no room, which asyncio passes over."""
        one, address = super().accept()
        there = descriptors()
        if there is not None and one.fileno() >= max(1, there - SPARE):
            one.close()
            raise ConnectionAbortedError
        return one, address


def told(record: logging.LogRecord) -> bool:
    """Whether a line of uvicorn is worth telling: not that its end cut off what was under way."""
    kind = record.exc_info[0] if record.exc_info else None
    if kind is not None and issubclass(kind, (asyncio.CancelledError, KeyboardInterrupt)):
        return False
    return not record.getMessage().rstrip().endswith(("CancelledError", "timeout graceful shutdown exceeded"))


class Server(uvicorn.Server):
    """uvicorn, which waits no longer for a handshake than for the head of a request, and ends without a traceback.

    From Python 3.12 on a server that ends waits for handshakes too, of which uvicorn knows nothing: `LEAVING` at most.
    """

    def __init__(self, config: uvicorn.Config, head_seconds: float) -> None:
        super().__init__(config)
        logging.getLogger("uvicorn.error").addFilter(told)
        self.head_seconds = head_seconds

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Begin to listen."""
        if self.config.ssl is not None:
            loop = asyncio.get_running_loop()
            create = partial(loop.create_server, ssl_handshake_timeout=self.head_seconds)

            async def made(*arguments: Any, **options: Any) -> asyncio.Server:
                server: asyncio.Server = await create(*arguments, **options)
                server.wait_closed = partial(_closed, server.wait_closed)  # type: ignore[method-assign]
                return server

            loop.create_server = made  # type: ignore[method-assign]
        await super().startup(sockets)


async def _closed(wait: Callable[[], Awaitable[None]]) -> None:
    """Wait for the end of all connections, but for no silent client."""
    with suppress(TimeoutError):
        await asyncio.wait_for(wait(), LEAVING)


def connections(head_seconds: float, stall_seconds: float, most: int) -> type[H11Protocol]:
    """What uvicorn makes for each connection.

    Args:
        head_seconds: How long the head of a request may take to arrive, from the connection's start or from its first
            byte; then the connection is closed.
        stall_seconds: How long a client may take nothing of its answer; then it is closed too.
        most: How many connections there may be; for one more the one is closed that has been without a request for
            the longest time, or has taken nothing for the longest, or the new one where all are at work.
    """
    idle: dict[Connection, None] = {}
    stuck: dict[Connection, float] = {}  # since when they have taken nothing
    dropped: set[Connection] = set()  # and not gone yet

    def one_to_drop(new: Connection) -> Connection:
        """The one that has the least right to stay."""
        first = next(iter(idle))
        if first is new and stuck:
            waiting, since = next(iter(stuck.items()))
            return waiting if new.loop.time() > since + LEAVING else new
        return first

    class Connection(H11Protocol):
        """A connection that is closed where no request comes, or nothing of an answer is taken."""

        _late: asyncio.TimerHandle | None = None
        _stalled: asyncio.TimerHandle | None = None

        def connection_made(self, transport: Any) -> None:
            super().connection_made(transport)
            transport.set_write_buffer_limits(high=1, low=0)  # so that it is told as soon as something is not taken
            self._wait()
            if len(self.connections) - len(dropped) > most:
                one_to_drop(self)._drop()

        def connection_lost(self, exc: Exception | None) -> None:
            self._went_on()
            self._taken()
            dropped.discard(self)
            super().connection_lost(exc)

        def data_received(self, data: bytes) -> None:
            if self._late is None and not self._asked():
                self._wait()
            super().data_received(data)
            if self._asked():
                self._went_on()

        def on_response_complete(self) -> None:
            super().on_response_complete()
            if not self._asked():  # as it has where another came behind the first
                idle[self] = None  # uvicorn does not wait for ever for its next

        def pause_writing(self) -> None:
            super().pause_writing()
            stuck[self] = self.loop.time()
            self._stalled = self.loop.call_later(stall_seconds, self._drop)

        def resume_writing(self) -> None:
            self._taken()
            super().resume_writing()

        def shutdown(self) -> None:
            super().shutdown()
            self._let_go()

        def _let_go(self) -> None:
            """While the service ends: see to it that nobody who takes nothing keeps it."""
            if self in stuck and self.loop.time() > stuck[self] + LEAVING:
                self._drop()
            elif self in self.connections:
                self.loop.call_later(LEAVING / 5, self._let_go)

        def _asked(self) -> bool:
            return self.cycle is not None and not self.cycle.response_complete

        def _wait(self) -> None:
            idle.setdefault(self)
            self._late = self.loop.call_later(head_seconds, self._drop)

        def _went_on(self) -> None:
            idle.pop(self, None)
            if self._late is not None:
                self._late.cancel()
                self._late = None

        def _taken(self) -> None:
            stuck.pop(self, None)
            if self._stalled is not None:
                self._stalled.cancel()
                self._stalled = None

        def _drop(self) -> None:
            if self in self.connections:
                dropped.add(self)
                self._went_on()
                self.transport.abort()

    return Connection
