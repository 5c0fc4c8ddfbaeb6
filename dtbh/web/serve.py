"""``dtbh serve``: the application behind a socket, until it is told to stop.

Ctrl-C or SIGTERM closes the door, finishes what is under way, and ends.
"""

from __future__ import annotations

import ipaddress
import logging
import re
import secrets
import signal
import socket
import sys
import threading
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import quote

import uvicorn
from fastapi import FastAPI

from dtbh.config import Service
from dtbh.errors import ConfigError, DtbhError
from dtbh.index.engines.archive import ArchiveEngine
from dtbh.index.engines.base import Engine
from dtbh.models.run_files import is_address, place_of
from dtbh.utils.progress import echo
from dtbh.web.addresses import in_address, own_addresses, qr_code
from dtbh.web.app import create_app
from dtbh.web.connections import AT_ONCE, Door, Server, connections, raise_limit, room_for_connections
from dtbh.web.tls import Certificate

GRACE = 30  # seconds for what is under way when the service is told to stop
HEAD = 1 << 20  # bytes of a request's head that are read; `dtbh.web.middleware` refuses far shorter ones in JSON


def serve(
    archives: Sequence[str | Path | Engine],
    *,
    model: str | Path | None = None,
    host: str = "127.0.0.1",
    port: int = 8000,
    token: str | None = None,
    certificate: Certificate | None = None,
    root_path: str = "",
    share: bool = False,
    limits: Service | None = None,
    browser: bool = False,
) -> None:
    """Serve archives until SIGTERM or Ctrl-C.

    Args:
        archives: Folders, or engines.
        model: The model that made them; without it each archive's own.
        host: Address or name to listen on; that of all interfaces where it is shared.
        port: 0 takes a free one.
        token: What a client must know; wanted wherever others can reach the service.
        certificate: For TLS; plain HTTP without one.
        root_path: Where a proxy has the service, as in ``/tiles``; empty for the root.
        share: Whether to listen on all interfaces, and print an address that lets others in, with its QR code. A
            token is made where none is given.
        limits: What a request may ask.
        browser: Whether to open the page.

    Raises:
        ConfigError: A host that others reach without a token, or a root path that is none.
        DtbhError: No archive or model there, or the port is taken.
    """
    if share:
        host, token = "0.0.0.0" if _loopback(host) else host, token or secrets.token_urlsafe(9)
    if not token and not _loopback(host):
        raise ConfigError(f"--host {host}: others can reach it; give --token SECRET, or listen on 127.0.0.1")
    if not re.fullmatch(r"(/[A-Za-z0-9._~-]+)*", root_path) or "/." in root_path:
        raise ConfigError(f"--root-path {root_path}: wanted what the proxy has in front, as in /tiles, or nothing")
    if model is not None and not is_address(model) and not place_of(model).exists():
        raise ConfigError(f"--model {model}: no such file or folder; give a run or an exported model")
    hosts = None if token else ("127.0.0.1", "localhost", "[::1]")
    limits = limits or Service()
    app = create_app(archives, model=model, limits=limits, token=token or None, hosts=hosts, root_path=root_path)
    listening = listen(host, port)
    scheme, where = "http" if certificate is None else "https", listening.getsockname()[1]
    everywhere = host in ("0.0.0.0", "::", "")
    address = f"{scheme}://{in_address('127.0.0.1' if everywhere else host)}:{where}{root_path}"
    echo(f"serving {', '.join(map(_named, archives))} at {address} (Ctrl-C ends it)")
    if share:
        _invite(f"{scheme}://{in_address(own_addresses()[0] if everywhere else host)}:{where}", str(token), scheme)
    if browser:
        threading.Thread(
            target=_show, args=[f"{address}/?token={quote(token)}" if token else address], daemon=True
        ).start()
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGTERM, lambda *_: None)  # uvicorn raises it once more when all is finished
    server(app, certificate, limits=limits).run(sockets=[listening])


def server(app: FastAPI, certificate: Certificate | None = None, *, limits: Service | None = None) -> uvicorn.Server:
    """What reads requests from sockets for the application; how many are let in is the middleware's business."""
    limits = limits or Service()
    logging.getLogger("python_multipart").setLevel(logging.ERROR)  # the client is told what was wrong
    raise_limit()
    protocol = connections(limits.head_seconds, limits.stall_seconds, room_for_connections())
    config = uvicorn.Config(
        app, port=0, log_level="warning", access_log=False, timeout_graceful_shutdown=GRACE, server_header=False,
        timeout_keep_alive=20, h11_max_incomplete_event_size=HEAD, http=protocol,
        loop="asyncio", backlog=AT_ONCE,
    )  # fmt: skip
    if certificate is not None:
        config.load()
        config.ssl = certificate.context
    return Server(config, limits.head_seconds)


def _invite(address: str, token: str, scheme: str) -> None:
    """What somebody else types, or points a phone at."""
    whole = f"{address}/?token={quote(token)}"
    code = qr_code(whole)
    if code is not None:
        print(code, file=sys.stderr)
    echo(f"for others: {whole}")
    if code is None:
        echo("a QR code of it is drawn where segno is installed: pip install 'dtbh[share]'")
    if scheme == "http":
        echo("their browsers give no microphone to a page without TLS; add --tls self")


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
        listening = Door(family, kind, protocol)  # asyncio sets TCP_NODELAY where the protocol says TCP
        try:
            listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listening.bind(place)
            listening.listen(AT_ONCE)
        except OSError:
            listening.close()
            raise
        return listening
    except OSError as error:
        raise DtbhError(f"{host}:{port}: can't listen there ({error.strerror}); give another --port") from None


def _show(address: str) -> None:
    import webbrowser

    webbrowser.open(address)
