"""Connections on which no request comes: closed in time, and before they take the room that others need.

uvicorn waits for ever for the head of a first request, and lets in as many connections as the system has descriptors.
"""

from __future__ import annotations

import asyncio
from typing import Any

from uvicorn.protocols.http.h11_impl import H11Protocol

MOST = 4096  # connections
RESERVED = 200  # descriptors for archives, uploads and what else is open
UNKNOWN = 400  # connections where the system does not say how many descriptors there are


def room_for_connections() -> int:
    """How many connections the process may have at once; the system's limit for it is raised as far as is allowed."""
    try:
        import resource
    except ImportError:  # Windows
        return UNKNOWN
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    unlimited = resource.RLIM_INFINITY
    wanted = MOST + RESERVED if hard == unlimited else min(MOST + RESERVED, hard)
    if soft != unlimited and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
        soft = wanted
    return MOST if soft == unlimited else max(1, min(MOST, soft - RESERVED))


def connections(head_seconds: float, most: int) -> type[H11Protocol]:
    """What uvicorn makes for each connection.

    Args:
        head_seconds: How long the head of a request may take to arrive, from the connection's start or from its first
            byte; then the connection is closed.
        most: How many connections there may be; for one more the one is closed that has been without a request for
            the longest time, or the new one where all have one.
    """
    idle: dict[Connection, None] = {}

    class Connection(H11Protocol):
        """A connection that is closed where no request comes."""

        _late: asyncio.TimerHandle | None = None

        def connection_made(self, transport: Any) -> None:
            super().connection_made(transport)
            self._wait()
            if len(self.connections) > most:
                next(iter(idle)).transport.abort()  # this one at the latest

        def connection_lost(self, exc: Exception | None) -> None:
            self._went_on()
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

        def _asked(self) -> bool:
            return self.cycle is not None and not self.cycle.response_complete

        def _wait(self) -> None:
            idle.setdefault(self)
            self._late = self.loop.call_later(head_seconds, self.transport.abort)

        def _went_on(self) -> None:
            idle.pop(self, None)
            if self._late is not None:
                self._late.cancel()
                self._late = None

    return Connection
