"""Files over HTTP: https alone, of bounded size, and a download that broke off goes on where it was."""

from __future__ import annotations

import http.client
import re
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from dtbh.errors import DtbhError
from dtbh.utils.files import explained
from dtbh.utils.progress import track
from dtbh.utils.version import __version__

TIMEOUT = 30.0  # seconds without a byte
CHUNK = 1 << 20
LOCAL = ("localhost", "127.0.0.1", "::1")
AGAIN = "the same call again goes on from there"


class StatusError(DtbhError):
    """A server that answered, but not with the file.

    Attributes:
        status: As in 404.
    """

    def __init__(self, url: str, status: int, reason: str) -> None:
        self.status = status
        super().__init__(f"{url}: the server answers {status} {reason}")


class UnreachableError(DtbhError):
    """No server, or none that answers."""


class PageError(DtbhError):
    """A page for people, in place of a file."""

    def __init__(self, url: str) -> None:
        super().__init__(f"{url}: a web page, wanted a file of a model; check the address")


def read_small(url: str, *, limit: int) -> bytes:
    """A small file, whole.

    Args:
        url: Of https; of http on this machine alone, and so are those that it redirects to.
        limit: Bytes at most.

    Raises:
        StatusError: There is no such file, or it may not be had.
        PageError: A web page in its place.
        UnreachableError: No server, no answer, or one that breaks off.
        DtbhError: More than ``limit``, or not https.
    """
    with _open(url) as response:
        total = _total(url, response, 0, limit)
        data = b"".join(_chunks(url, response, limit))
    if total is not None and len(data) < total:
        raise UnreachableError(f"{url}: broke off after {len(data)} of {total} bytes; try again")
    return data


def download(url: str, path: Path, *, limit: int, unless: str | None = None, checked: bool = False) -> str | None:
    """Bring a file to ``path``; until all of it is there it is ``<name>.part`` beside it, with which a call goes on.

    Args:
        url: As in `read_small`.
        path: Replaced when the file is there.
        limit: Bytes at most.
        unless: What an earlier call returned: a file that is still that is not fetched.
        checked: The caller knows a checksum, so that one may go on without the server's word that it is the same file.

    Returns:
        What tells this file from another of its address: its ETag or time, empty where the server says neither. None
        where it is still the one of ``unless``.

    Raises:
        StatusError, PageError, UnreachableError, DtbhError: As `read_small`.
    """
    part, tag = (path.with_name(f"{path.name}.{end}") for end in ("part", "tag"))
    have = part.stat().st_size if part.is_file() else 0
    same = tag.read_text(encoding="utf-8") if tag.is_file() else ""
    headers = {}
    if have and (same or checked):
        headers = {"Range": f"bytes={have}-", **({"If-Range": same} if same else {})}
    if unless:
        headers["If-None-Match" if '"' in unless else "If-Modified-Since"] = unless
    try:
        response = _open(url, headers)
    except StatusError as error:
        if error.status == 416:  # more of it is here than there is of it
            part.unlink(missing_ok=True)
            return download(url, path, limit=limit, unless=unless, checked=checked)
        if error.status == 304:
            return None
        raise
    with response, explained(part):
        begin = re.match(r"bytes (\d+)-", response.headers.get("Content-Range", ""))
        goes_on = response.status == 206 and begin is not None and int(begin.group(1)) == have
        if response.status == 206 and not goes_on:
            part.unlink(missing_ok=True)
            raise DtbhError(f"{url}: the server sends another part than was asked for; try again")
        got = have if goes_on else 0
        total = _total(url, response, got, limit)
        mark = _mark(response.headers)
        tag.write_text(mark, encoding="utf-8")
        chunks = _chunks(url, response, limit - got, kept=True)
        steps = None if total is None else -(-(total - got) // CHUNK)
        with part.open("ab" if goes_on else "wb") as file:
            for chunk in chunks if steps is None else track(chunks, f"fetching {path.name}", total=steps):
                got += file.write(chunk)
        if total is not None and got < total:
            raise UnreachableError(f"{url}: broke off after {got} of {total} bytes; {AGAIN}")
        part.replace(path)
        tag.unlink()
    return mark


def _mark(headers: Mapping[str, str]) -> str:
    """A strong ETag, or the time of the last change, or nothing."""
    etag = headers.get("ETag", "")
    return etag if etag.startswith('"') else headers.get("Last-Modified", "")


def _total(url: str, response: Any, have: int, limit: int) -> int | None:
    """How many bytes the whole file has, where the server says; refuses too many, and pages."""
    if response.headers.get_content_type() == "text/html":
        raise PageError(url)
    said = response.headers.get("Content-Length", "")
    total = have + int(said) if said.isdigit() else None
    if total is not None and total > limit:
        raise DtbhError(f"{url}: {_size(total)}, dtbh takes {_size(limit)} at most; this is no model, or no sound one")
    return total


def _chunks(url: str, response: Any, limit: int, *, kept: bool = False) -> Iterator[bytes]:
    """What comes, up to the limit."""
    count = 0
    while True:
        try:
            chunk = response.read(CHUNK)
        except (OSError, http.client.HTTPException) as error:
            raise UnreachableError(f"{url}: broke off ({_reason(error)}); {AGAIN if kept else 'try again'}") from None
        if not chunk:
            return
        count += len(chunk)
        if count > limit:
            raise DtbhError(f"{url}: more than the {_size(limit)} that dtbh takes; this is no model, or no sound one")
        yield chunk


def _size(count: int) -> str:
    return f"{count / 1e9:.1f} GB" if count >= 1e9 else f"{count / 1e6:.1f} MB"


def is_local(url: str) -> bool:
    """Whether an address is on this machine."""
    return urlsplit(url).hostname in LOCAL


def check_url(url: str) -> None:
    """Refuse what is not https, or http on this machine.

    Raises:
        DtbhError: With what to do.
    """
    try:
        parts = urlsplit(url)
        _ = parts.port
    except ValueError as error:
        raise DtbhError(f"{url}: no address ({error})") from None
    if parts.scheme == "https" and parts.hostname:
        return
    if parts.scheme == "http" and parts.hostname in LOCAL:
        return
    raise DtbhError(f"{url}: wanted https://, which nobody on the way can alter; http:// is for this machine alone")


class _Redirects(urllib.request.HTTPRedirectHandler):
    """Follows a few, to what may be asked alone."""

    max_redirections = 5

    def redirect_request(self, req: Any, fp: Any, code: int, msg: str, headers: Any, newurl: str) -> Any:
        try:
            if is_local(newurl) and not is_local(req.full_url):
                raise DtbhError(f"{newurl}: on this machine")
            check_url(newurl)
        except DtbhError as error:
            fp.close()
            raise DtbhError(f"{req.full_url}: redirects elsewhere, which is not followed: {error}") from None
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def _open(url: str, headers: Mapping[str, str] | None = None) -> Any:
    """The answer, its body still to be read."""
    check_url(url)
    handlers: list[Any] = [_Redirects()]
    if is_local(url):
        handlers.append(urllib.request.ProxyHandler({}))
    said = {"User-Agent": f"dtbh/{__version__}", "Accept-Encoding": "identity", **(headers or {})}
    opened: Callable[..., Any] = urllib.request.build_opener(*handlers).open
    try:
        return opened(urllib.request.Request(url, headers=said), timeout=TIMEOUT)
    except urllib.error.HTTPError as error:
        with suppress(OSError):
            error.close()
        circles = error.code in (301, 302, 303, 307, 308)
        reason = "and redirects too often" if circles else http.client.responses.get(error.code, "")
        raise StatusError(url, error.code, reason) from None
    except (OSError, http.client.HTTPException, ValueError) as error:  # URLError is an OSError
        raise UnreachableError(f"{url}: can't be reached ({_reason(error)})") from None


def _reason(error: BaseException) -> str:
    reason = getattr(error, "reason", error)
    if isinstance(reason, TimeoutError):
        return f"no byte for {TIMEOUT:.0f} s"
    return str(getattr(reason, "strerror", None) or reason or type(reason).__name__)
