"""The service: what it answers, held against the archive itself, and how it refuses."""

from __future__ import annotations

import re
import socket
from pathlib import Path

import httpx
import numpy as np
import pytest
import soundfile
import soxr
from fastapi.testclient import TestClient

from dtbh.index.archive.archive import open_archive
from dtbh.models.encoder import Encoder
from dtbh.web.archives import from_hex, to_hex
from tests.recorded import TONE, record

SOUND, IMAGE = "/v1/search/sound", "/v1/search/image"


def files(*paths: Path) -> list[tuple[str, tuple[str, bytes]]]:
    return [("file", (path.name, path.read_bytes())) for path in paths]


@pytest.fixture
def archive(tiny_archive: Path):
    return open_archive(tiny_archive)


@pytest.fixture
def a_sound(archive) -> Path:
    return Path(archive.item("red3S1").path)


@pytest.fixture
def an_image(archive) -> Path:
    return Path(archive.item("blue5").path)


def test_heads_alone_and_whole_addresses_are_answered(address: str) -> None:
    for path in ("/", "/healthz", "/v1/archives"):
        head, whole = httpx.head(address + path), httpx.get(address + path)
        assert (head.status_code, head.content) == (200, b"")
        assert head.headers["content-type"] == whole.headers["content-type"]
    with socket.create_connection(("127.0.0.1", int(address.rsplit(":", 1)[1])), timeout=20) as one:
        one.sendall(f"GET {address}/healthz HTTP/1.1\r\nhost: 127.0.0.1\r\nconnection: close\r\n\r\n".encode())
        assert one.recv(12) == b"HTTP/1.1 200"


def test_a_text_in_a_file_s_place_is_named(client: TestClient) -> None:
    reply = client.post("/v1/search/sound", data={"file": "q.wav"}, files={"other": b"x"})
    assert reply.status_code == 422
    assert "wanted a file, found a text" in reply.json()["detail"]


def test_a_sound_finds_what_the_archive_finds(client: TestClient, archive, a_sound: Path, tiny_model: Encoder) -> None:
    reply = client.post(f"{SOUND}?k=7", files=files(a_sound)).json()
    codes = tiny_model.encode_sounds([a_sound])
    wanted = archive.search(codes, k=7)
    (answer,) = reply["queries"]
    assert [(h["rank"], h["distance"], h["id"]) for h in answer["hits"]] == [
        (h.rank, h.distance, h.item.id) for h in wanted.hits()
    ]
    assert answer["code"] == to_hex(codes.words[0], 12)
    assert (answer["name"], answer["modality"], answer["preview"]) == (a_sound.name, "sound", None)
    assert reply["bits"] == 12
    for hit, words in zip(answer["hits"], archive.words[wanted.rows[0]], strict=True):
        assert from_hex(hit["code"], 12, "e").words.tolist() == [words.tolist()]
        assert "path" not in hit


def test_what_a_phone_recorded_is_a_query(client: TestClient, a_sound: Path, tmp_path: Path) -> None:
    """The same words in a phone's format find what they find as WAV, and a voice memo that is too long is refused."""
    pytest.importorskip("av", reason="PyAV is not installed: pip install 'dtbh[av]'")
    wave, rate = soundfile.read(a_sound, dtype="float32")
    for name, codec in (("memo.m4a", "aac"), ("memo.webm", "libopus")):
        path = record(tmp_path / name, codec=codec, wave=soxr.resample(wave, rate, 48000))
        said = {"memo.m4a": ("audio/mp4", "audio/x-m4a", "video/mp4"), "memo.webm": ("audio/webm;codecs=opus",)}
        for kind in said[name]:
            sent = {"file": ("spoken query", path.read_bytes(), kind)}
            hits = client.post(f"{SOUND}?k=5", files=sent).json()["queries"][0]["hits"]
            assert {hit["label"] for hit in hits[:3]} == {"red"}
    long = record(tmp_path / "long.m4a", codec="aac", wave=np.tile(TONE, 50))
    reply = client.post(SOUND, files=files(long))
    assert reply.status_code == 422
    assert "at most 60 s wanted" in reply.text


def test_nothing_of_a_query_stays_behind(
    client: TestClient, a_sound: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    large = ("large.wav", a_sound.read_bytes() + bytes(2_000_000))
    assert client.post(SOUND, files=files(a_sound)).status_code == 200
    assert client.post(SOUND, files=[*files(a_sound), ("file", large)]).status_code == 200
    assert client.post(SOUND, files={"file": b"no sound"}).status_code == 422
    assert list(tmp_path.iterdir()) == []


def test_several_queries_in_one_request(client: TestClient, archive, a_sound: Path) -> None:
    other = Path(archive.item("green2S2").path)
    both = client.post(SOUND, files=files(a_sound, other)).json()["queries"]
    single = [client.post(SOUND, files=files(path)).json()["queries"][0] for path in (a_sound, other)]
    assert both == single
    assert both[0] != both[1]


def test_an_image_finds_sounds_or_what_is_asked(client: TestClient, an_image: Path) -> None:
    hits = client.post(IMAGE, files=files(an_image)).json()["queries"][0]["hits"]
    assert {hit["modality"] for hit in hits} == {"sound"}
    asked = f"{IMAGE}?find=image&where=label=green&k=100&distance=11"
    hits = client.post(asked, files=files(an_image)).json()["queries"][0]["hits"]
    assert {(hit["modality"], hit["label"]) for hit in hits} == {("image", "green")}
    assert max(hit["distance"] for hit in hits) <= 11


def test_more_like_this(client: TestClient) -> None:
    entry = client.get("/v1/items/blue5").json()
    reply = client.post("/v1/search/code", json={"codes": [entry["code"]], "find": "image", "k": 36}).json()
    assert next(hit["distance"] for hit in reply["queries"][0]["hits"] if hit["id"] == "blue5") == 0


def test_media(client: TestClient, an_image: Path, a_sound: Path) -> None:
    reply = client.get("/v1/items/blue5/media")
    assert (reply.content, reply.headers["content-type"]) == (an_image.read_bytes(), "image/png")
    assert client.get("/v1/items/blue5/media?size=64").content[:3] == b"\xff\xd8\xff"
    reply = client.get("/v1/items/red3S1/media", headers={"range": "bytes=4-7"})
    assert (reply.status_code, reply.content) == (206, a_sound.read_bytes()[4:8])
    wave = client.get("/v1/items/red3S1/media?size=64")
    assert wave.headers["content-type"] == "image/svg+xml"
    assert wave.text.count("M") == 96


def test_what_is_served(client: TestClient) -> None:
    (entry,) = client.get("/v1/archives").json()["archives"]
    assert (entry["images"], entry["sounds"], entry["labels"]) == (36, 72, ["blue", "green", "red"])
    items = client.get("/v1/items?count=3").json()["items"]
    assert {item["label"] for item in items} == {"blue", "green", "red"}
    assert client.get("/healthz").json()["status"] == "ok"
    assert re.search(r'^dtbh_archive_items\{archive="tiny"\} 108.0$', client.get("/metrics").text, re.MULTILINE)


def test_the_pages_ask_nobody_else(client: TestClient) -> None:
    for path in ("/", "/docs", "/static/style.css", "/static/page.js", "/openapi.json"):
        reply = client.get(path)
        assert reply.status_code == 200
        assert not re.search(r"(src|href|url|@import|fetch)[=(\s\"']+(https?:)?//", reply.text)
        assert "default-src 'self'" in reply.headers["content-security-policy"]
