"""``dtbh serve``: the application behind a socket, until it is told to stop.

Ctrl-C or SIGTERM closes the door, finishes what is under way, and ends.
"""

from __future__ import annotations

import ipaddress
import signal
import socket
import threading
from collections.abc import Sequence
from pathlib import Path

import uvicorn
from fastapi import FastAPI

from dtbh.config import Service
from dtbh.errors import ConfigError, DtbhError
from dtbh.index.engines.archive import ArchiveEngine
from dtbh.index.engines.base import Engine
from dtbh.models.run_files import is_address
from dtbh.utils.progress import echo
from dtbh.web.app import create_app

GRACE = 30  # seconds for what is under way when the service is told to stop
HEAD = 1 << 20  # bytes of a request's head that are read; `dtbh.web.middleware` refuses far shorter ones in JSON


def serve(
    archives: Sequence[str | Path | Engine],
    *,
    model: str | Path | None = None,
    host: str = "127.0.0.1",
    port: int = 8000,
    token: str | None = None,
    limits: Service | None = None,
    browser: bool = False,
) -> None:
    """Serve archives until SIGTERM or Ctrl-C.

    Args:
        archives: Folders, or engines.
        model: The model that made them; without it each archive's own.
        host: Address or name to listen on.
        port: 0 takes a free one.
        token: What a client must know; wanted wherever others can reach the service.
        limits: What a request may ask.
        browser: Whether to open the page.

    Raises:
        ConfigError: A host that others reach without a token.
        DtbhError: No archive or model there, or the port is taken.
    """
    if not token and not _loopback(host):
        raise ConfigError(f"--host {host}: others can reach it; give --token SECRET, or listen on 127.0.0.1")
    if model is not None and not is_address(model) and not Path(model).exists():
        raise ConfigError(f"--model {model}: no such file or folder; give a run or an exported model")
    hosts = None if token else ("127.0.0.1", "localhost", "[::1]")
    limits = limits or Service()
    app = create_app(archives, model=model, limits=limits, token=token or None, hosts=hosts)
    listening = listen(host, port)
    where = listening.getsockname()[1]
    name = "127.0.0.1" if host in ("0.0.0.0", "::", "") else f"[{host}]" if ":" in host else host
    address = f"http://{name}:{where}"
    echo(f"serving {', '.join(map(_named, archives))} at {address} (Ctrl-C ends it)")
    if browser:
        threading.Thread(target=_show, args=[f"{address}/?token={token}" if token else address], daemon=True).start()
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGTERM, lambda *_: None)  # uvicorn raises it once more when all is finished
    server(app).run(sockets=[listening])


def server(app: FastAPI) -> uvicorn.Server:
    """What reads requests from sockets for the application; how many are let in is the middleware's business."""
    return uvicorn.Server(uvicorn.Config(
        app, port=0, log_level="warning", access_log=False, timeout_graceful_shutdown=GRACE, server_header=False,
        timeout_keep_alive=20, h11_max_incomplete_event_size=HEAD,
    ))  # fmt: skip


def _named(place: str | Path | Engine) -> str:
    if isinstance(place, str | Path):
        return str(place)
    return str(place.path) if isinstance(place, ArchiveEngine) else place.label


def _loopback(host: str) -> bool:
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def listen(host: str, port: int) -> socket.socket:
    """A socket that listens there; raises ConfigError or DtbhError."""
    if not 0 <= port <= 65535:
        raise ConfigError(f"--port {port}: a port is a number from 0 to 65535")
    try:
        family, kind, protocol, _, place = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        listening = socket.socket(family, kind, protocol)  # asyncio sets TCP_NODELAY where the protocol says TCP
        try:
            listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listening.bind(place)
            listening.listen(512)
        except OSError:
            listening.close()
            raise
        return listening
    except OSError as error:
        raise DtbhError(f"{host}:{port}: can't listen there ({error.strerror}); give another --port") from None


def _show(address: str) -> None:
    import webbrowser

    webbrowser.open(address)
