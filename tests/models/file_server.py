"""A small real server of files on this machine, with ranges, ETags, and the ways in which servers fail."""

from __future__ import annotations

import hashlib
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import unquote, urlsplit


@dataclass
class Files:
    """What is served, and what was asked.

    Attributes:
        root: The folder.
        url: Of the server.
        asked: Path, range and status of every answer.
        dies_after: Bytes after which the connection ends, by path; once.
        says: Lengths that are said in place of the true ones, by path.
        leads: Where paths redirect to.
        tags: Whether answers have an ETag.
        pages: Whether what is not there is a page for people with status 200.
    """

    root: Path
    url: str = ""
    asked: list[tuple[str, str, int]] = field(default_factory=list)
    dies_after: dict[str, int] = field(default_factory=dict)
    says: dict[str, int] = field(default_factory=dict)
    leads: dict[str, str] = field(default_factory=dict)
    tags: bool = True
    pages: bool = False

    def sent(self, name: str) -> list[tuple[str, int]]:
        """Range and status of the answers for files of this name."""
        return [(range, status) for path, range, status in self.asked if path.endswith(f"/{name}")]


@contextmanager
def serving(root: Path) -> Iterator[Files]:
    """Serve a folder from a thread while the block runs."""
    files = Files(root)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, format: str, *args: object) -> None:
            pass

        def answer(self, status: int, headers: dict[str, str], body: bytes = b"", length: int | None = None) -> None:
            files.asked.append((unquote(urlsplit(self.path).path), self.headers.get("Range", ""), status))
            self.send_response(status)
            for name, value in {**headers, "Content-Length": str(len(body) if length is None else length)}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)

        def do_GET(self) -> None:
            path = unquote(urlsplit(self.path).path)
            if path in files.leads:
                return self.answer(302, {"Location": files.leads[path]})
            file = files.root / path.lstrip("/")
            if not file.is_file():
                page = {"Content-Type": "text/html; charset=utf-8"}
                return self.answer(200 if files.pages else 404, page, b"<html>nothing here</html>")
            data = file.read_bytes()
            tag = f'"{hashlib.sha256(data).hexdigest()[:12]}"'
            headers = {"Content-Type": "application/octet-stream"} | ({"ETag": tag} if files.tags else {})
            if self.headers.get("If-None-Match") == tag:
                return self.answer(304, headers, length=0)
            begin = re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range", ""))
            whole, status = len(data), 200
            if begin and self.headers.get("If-Range", tag) == tag:
                if int(begin.group(1)) >= whole:
                    return self.answer(416, headers)
                data, status = data[int(begin.group(1)) :], 206
                headers["Content-Range"] = f"bytes {begin.group(1)}-{whole - 1}/{whole}"
            length = files.says.get(path, len(data))
            if (most := files.dies_after.pop(path, None)) is not None:
                data, self.close_connection = data[:most], True
            return self.answer(status, headers, data, length)

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    files.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield files
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
