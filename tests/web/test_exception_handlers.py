"""Bad input: a status, one sentence, soon; and nobody is let in who should not be."""

from __future__ import annotations

import contextlib
import io
import re
import select
import socket
import struct
import time
import zlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import soundfile
from fastapi.testclient import TestClient
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from dtbh.codes import HashCodes
from dtbh.errors import ConfigError, DtbhError
from dtbh.index.archive.archive import create_archive, open_archive
from dtbh.web.serve import serve
from tests.web.conftest import Making, Serving

SOUND, IMAGE, CODE = "/v1/search/sound", "/v1/search/image", "/v1/search/code"


def wav(samples: np.ndarray, rate: int = 16000, kind: str = "WAV", subtype: str | None = None) -> bytes:
    buffer = io.BytesIO()
    soundfile.write(buffer, samples, rate, format=kind, subtype=subtype)
    return buffer.getvalue()


def with_rate(rate: int) -> bytes:
    content = bytearray(wav(np.ones(8000) / 2))
    content[24:28] = struct.pack("<I", rate)
    return bytes(content)


def promising(size: int) -> bytes:
    content = bytearray(wav(np.ones(800) / 2))
    content[4:8], content[40:44] = struct.pack("<I", size + 36), struct.pack("<I", size)
    return bytes(content)


def with_text(content: bytes, megabytes: int) -> bytes:
    """The image with a compressed comment of so many megabytes, some kilobytes in the file."""
    data = b"Comment\0\0" + zlib.compress(bytes(megabytes << 20), 9)
    chunk = struct.pack(">I", len(data)) + b"zTXt" + data + struct.pack(">I", zlib.crc32(b"zTXt" + data))
    return content[:33] + chunk + content[33:]


def png(width: int, height: int, *, rows: int | None = None) -> bytes:
    """All zeros, one bit a pixel: some kilobytes for hundreds of megapixels."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    head = struct.pack(">IIBBBBB", width, height, 1, 0, 0, 0, 0)
    pixels = zlib.compress(bytes((width // 8 + 1) * (height if rows is None else rows)), 9)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", pixels) + chunk(b"IEND", b"")


SOUNDS = {
    "text": (b"no sound at all", "not a sound that can be read"),
    "empty": (b"", r"an empty file \(0 bytes\)"),
    "no samples": (wav(np.zeros(0)), "without samples"),
    "silence": (wav(np.zeros(8000)), "silent"),
    "too short": (wav(np.ones(100) / 2), "at least 0.1 s"),
    "an hour": (wav(np.zeros(3600 * 4000), 4000, "FLAC"), "3600 s long, at most 60 s"),
    "a gigabyte promised": (promising(1 << 30), "cut short"),
    "not a number": (wav(np.full(8000, np.nan), subtype="FLOAT"), "NaN or infinity"),
    "two gigahertz": (with_rate(2_000_000_000), "2000000000 samples a second"),
    "one hertz": (with_rate(1), "1 samples a second"),
    "seventeen channels": (wav(np.ones((4000, 17)) / 2), "17 channels"),
    "an image": (png(8, 8), "not a sound"),
}
IMAGES = {
    "text": (b"no image at all", "not an image"),
    "empty": (b"", "an empty file"),
    "half of one": (png(64, 64)[:50], "damaged or cut short"),
    "a bomb": (png(20_000, 20_000), "over 50 million pixels"),
    "a larger bomb": (png(1 << 30, 1 << 30, rows=0), "over 50 million pixels"),
    "a bomb of text": (with_text(png(8, 8), 100), "damaged or cut short"),
    "PostScript": (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\nshowpage\n", "not an image"),
    "a sound": (wav(np.ones(8000) / 2), "not an image"),
}
CASES = [(SOUND, name, *case) for name, case in SOUNDS.items()] + [
    (IMAGE, name, *case) for name, case in IMAGES.items()
]


def one_sentence(reply) -> str:
    assert 400 <= reply.status_code < 500 or reply.status_code == 503, reply.text
    assert set(reply.json()) == {"detail"}
    said = str(reply.json()["detail"])
    assert said
    assert "\n" not in said
    assert "Traceback" not in said
    return said


@pytest.mark.parametrize(("path", "name", "content", "says"), CASES, ids=[f"{c[0][-5:]}: {c[1]}" for c in CASES])
def test_a_file_that_is_no_query(client: TestClient, path: str, name: str, content: bytes, says: str) -> None:
    reply = client.post(path, files={"file": (f"{name}.dat", content)})
    assert reply.status_code == 422
    said = one_sentence(reply)
    assert said.startswith(f"{name}.dat: ")
    assert re.search(says, said)
    assert "/tmp" not in said


def test_one_bad_file_among_good_ones_is_named(client: TestClient) -> None:
    good = ("good.wav", wav(np.sin(np.arange(8000) / 5)))
    reply = client.post(SOUND, files=[("file", good), ("file", ("bad.wav", b"bad")), ("file", good)])
    assert one_sentence(reply).startswith("bad.wav: not a sound")


@pytest.mark.parametrize(
    ("path", "body", "status", "says"),
    [
        ("?k=1000000", None, 422, "at most 1000 hits"),
        ("?k=0", None, 422, "^k: .*greater than or equal to 1"),
        ("?k=ten", None, 422, "^k: "),
        ("?find=smell", None, 422, "^find: .*'image'"),
        ("?where=harbor", None, 422, "wanted field=value"),
        ("?where=colour=red", None, 422, "unknown filter field 'colour'"),
        ("?archive=none", None, 404, "no archive is called 'none'; there are tiny"),
        ("", {"codes": ["ffff"]}, 422, "bits set beyond bit 12"),
        ("", {"codes": ["ff0f00"]}, 422, "a code of 12 bits has 4 hex digits, found 6"),
        ("", {"codes": ["xyz"]}, 422, "^codes.0: "),
        ("", {"codes": []}, 422, "^codes: "),
        ("", {"codes": ["ff0f"], "colour": "red"}, 422, "^colour: Extra"),
        ("", {"codes": ["ff0f"] * 33}, 422, "at most 32 queries"),
        ("", {"codes": ["ff0f"], "k": 10**30}, 422, "k: at most 1000"),
        ("", {"codes": ["ff0f"], "where": ["label=\ud800"]}, 422, "where.0"),
        ("", "[" * 100_000, 400, "parsing"),
        ("", "{", 422, "JSON"),
    ],
)
def test_a_question_that_is_none(client: TestClient, path: str, body: object, status: int, says: str) -> None:
    if body is None:
        reply = client.post(SOUND + path, files={"file": wav(np.sin(np.arange(8000) / 5))})
    else:
        import json

        content = body if isinstance(body, str) else json.dumps(body)
        reply = client.post(CODE, content=content, headers={"content-type": "application/json"})
    said = one_sentence(reply)
    assert reply.status_code == status, said
    assert re.search(says, said)


@pytest.mark.parametrize(
    "path",
    [
        "nobody",
        "..%2F..%2F..%2Fetc%2Fpasswd",
        "%2e%2e/%2e%2e/etc/passwd",
        "%2Fetc%2Fpasswd",
        "%00",
        "%ff",
        "a%0ab",
        "x" * 5000,
    ],
)
def test_only_the_archives_own_items_are_served(client: TestClient, path: str) -> None:
    for end in ("", "/media", "/media?size=64"):
        reply = client.get(f"/v1/items/{path}{end}")
        assert reply.status_code == 404
        one_sentence(reply)


@pytest.mark.parametrize("name", ["..%2Fapp.py", "%2e%2e/app.py", "%2Fetc%2Fpasswd", "index.html", "", "page.js%00"])
def test_only_the_pages_own_files_are_served(client: TestClient, name: str) -> None:
    reply = client.get(f"/static/{name}")
    assert reply.status_code == 404
    one_sentence(reply)


def test_files_that_are_gone_or_no_media(make: Making, tiny_archive: Path, tmp_path: Path) -> None:
    from dataclasses import replace

    tiny = open_archive(tiny_archive)
    codes = tiny.codes(["red0", "red1", "red2"])
    (tmp_path / "text.svg").write_text("<svg onload='alert(1)'/>")
    paths = (None, str(tmp_path / "gone.png"), str(tmp_path / "text.svg"))
    items = tuple(replace(item, path=path) for item, path in zip(codes.items, paths, strict=True))
    create_archive(tmp_path / "a", HashCodes(codes.words, 12, codes.encoder, items))
    with TestClient(make(tmp_path / "a")) as client:
        assert "not known" in one_sentence(client.get("/v1/items/red0/media"))
        assert "gone" in one_sentence(client.get("/v1/items/red1/media?size=64"))
        assert "not an image" in one_sentence(client.get("/v1/items/red2/media?size=64"))
        assert client.get("/v1/items/red2/media").headers["content-type"] == "application/octet-stream"


@pytest.fixture(scope="module")
def narrow(make: Making, serving: Serving) -> Iterator[tuple[str, int]]:
    """A service on a socket that takes 10 kB, for at most half a second."""
    with serving(make(limits={"upload_mb": 0.01, "upload_seconds": 0.5})) as address:
        yield "127.0.0.1", int(address.rsplit(":", 1)[1])


def exchange(place: tuple[str, int], *parts: bytes) -> bytes:
    with socket.create_connection(place, timeout=10) as client:
        for part in parts:
            client.sendall(part)
        content = b""
        while more := client.recv(65536):
            content += more
    return content


POST = b"POST /v1/search/code HTTP/1.1\r\nhost: 127.0.0.1\r\nconnection: close\r\ncontent-type: application/json\r\n"


def test_too_large_is_seen_before_it_is_read(narrow: tuple[str, int]) -> None:
    reply = exchange(narrow, POST + b"content-length: 1000000000\r\n\r\n" + b"x" * 100)
    assert reply.startswith(b"HTTP/1.1 413")
    assert b"at most 0.01 MB" in reply


def test_too_large_is_seen_while_it_is_read(narrow: tuple[str, int]) -> None:
    chunk = b"1000\r\n" + b"x" * 4096 + b"\r\n"
    reply = exchange(narrow, POST + b"transfer-encoding: chunked\r\n\r\n", *[chunk] * 4, b"0\r\n\r\n")
    assert reply.startswith(b"HTTP/1.1 413")


@pytest.mark.parametrize("size", [40_000, 400_000])
def test_an_address_that_is_too_long(narrow: tuple[str, int], size: int) -> None:
    target = b"GET /v1/items?archive=" + b"x" * size
    parts = [target[start : start + 50_000] for start in range(0, len(target), 50_000)]
    reply = exchange(narrow, *parts, b" HTTP/1.1\r\nhost: 127.0.0.1\r\n\r\n")
    assert reply.startswith(b"HTTP/1.1 414")
    assert reply.endswith(b'{"detail":"the address is too long: at most 32000 bytes"}')


def test_a_body_that_does_not_come(narrow: tuple[str, int]) -> None:
    assert exchange(narrow, POST + b"content-length: 100\r\n\r\n{").startswith(b"HTTP/1.1 408")


def test_a_body_that_comes_in_drops(narrow: tuple[str, int]) -> None:
    started = time.monotonic()
    with socket.create_connection(narrow, timeout=10) as client:
        client.sendall(POST + b"content-length: 1000\r\n\r\n")
        with contextlib.suppress(OSError):
            while time.monotonic() < started + 8 and not select.select([client], [], [], 0.1)[0]:
                client.sendall(b" ")
        assert client.recv(100).startswith(b"HTTP/1.1 408")
    assert time.monotonic() < started + 8


def test_a_token(make: Making) -> None:
    with TestClient(make(token="sésame"), base_url="http://example.org") as client:
        assert client.get("/healthz").status_code == 200
        for path in ("/v1/archives", "/v1/items/red0/media", "/metrics", "/docs", "/static/page.js"):
            assert client.get(path).status_code == 401
            assert client.get(path, headers={"authorization": "Bearer wrong"}).status_code == 401
        right = {"authorization": b"Bearer s\xc3\xa9same"}
        assert client.get("/v1/archives", headers=right).status_code == 200
        page = client.get("/")
        assert (page.status_code, "wants its token" in page.text) == (401, True)
        assert client.get("/?token=wrong").status_code == 401
        reply = client.get("/", params={"token": "sésame"})
        assert (reply.status_code, str(reply.url)) == (200, "http://example.org/")
        assert client.get("/v1/items/red0/media?size=64").status_code == 200
        assert "sésame" not in str(client.cookies)


def test_who_may_ask(make: Making) -> None:
    with TestClient(make(hosts=["127.0.0.1", "localhost"]), base_url="http://localhost:8000") as client:
        assert client.get("/v1/archives").status_code == 200
        assert client.get("/v1/archives", headers={"origin": "http://localhost:8000"}).status_code == 200
        assert client.get("/v1/archives", headers={"origin": "http://evil.example"}).status_code == 403
        assert client.get("/v1/archives", headers={"origin": "http://["}).status_code == 403
        assert client.get("/v1/archives", headers={"host": "evil.example"}).status_code == 400


@pytest.mark.parametrize(
    ("arguments", "error", "says"),
    [
        ({"host": "0.0.0.0"}, ConfigError, "others can reach it; give --token"),
        ({"host": "::"}, ConfigError, "others can reach it"),
        ({"model": "nowhere"}, ConfigError, "--model nowhere: no such"),
        ({"host": "no.such.host.invalid", "token": "t"}, DtbhError, "can't listen there"),
        ({"port": 700_000}, ConfigError, "a number from 0 to 65535"),
    ],
)
def test_serving_where_it_can_t_be(tiny_archive: Path, arguments: dict, error: type[Exception], says: str) -> None:
    with pytest.raises(error, match=says):
        serve([tiny_archive], **arguments)


def test_a_port_that_is_taken(tiny_archive: Path, narrow: tuple[str, int]) -> None:
    with pytest.raises(DtbhError, match="give another --port"):
        serve([tiny_archive], port=narrow[1])


GOOD = {
    SOUND: [
        wav(np.sin(np.arange(4000) / 5)),
        wav(np.sin(np.arange(4000) / 5), kind="FLAC"),
        wav(np.sin(np.arange(4000) / 5), kind="OGG"),
    ],
    IMAGE: [png(16, 16)],
}
for _kind in ("JPEG", "TIFF", "WEBP", "GIF", "BMP"):
    _buffer = io.BytesIO()
    Image.new("RGB", (16, 16), (200, 30, 30)).save(_buffer, _kind)
    GOOD[IMAGE].append(_buffer.getvalue())


@given(data=st.data())
@settings(max_examples=150, deadline=None)
def test_whatever_bytes_are_sent(fuzzed: TestClient, data: st.DataObject) -> None:
    path = data.draw(st.sampled_from([SOUND, IMAGE]))
    content = bytearray(data.draw(st.one_of(st.sampled_from(GOOD[path]), st.binary(max_size=300))))
    for _ in range(data.draw(st.integers(0, 6))):  # a few bytes wrong, or the end missing
        if content:
            content[data.draw(st.integers(0, min(len(content) - 1, 120)))] = data.draw(st.integers(0, 255))
    content = content[: data.draw(st.integers(0, 2 * len(content)))]
    reply = fuzzed.post(path, files={"file": ("query", bytes(content))})
    if reply.status_code != 200:
        one_sentence(reply)


@pytest.fixture(scope="module")
def fuzzed(make: Making) -> Iterator[TestClient]:
    with TestClient(make()) as opened:
        yield opened


def test_the_fuzzing_is_not_vacuous(fuzzed: TestClient) -> None:
    for path, contents in GOOD.items():
        for content in contents:
            assert fuzzed.post(path, files={"file": content}).status_code == 200
