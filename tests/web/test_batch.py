"""Many files in one request: each is answered as it would be alone, and how far it is comes while it goes."""

from __future__ import annotations

import csv
import io
import json
import socket
import time
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient

from dtbh.index.archive.archive import open_archive
from tests.web.conftest import Making, Serving

BATCH = "/v1/search/batch"
Sent = list[tuple[str, tuple[str, bytes, str]]]


@pytest.fixture(scope="module")
def mixed(tiny_archive: Path) -> Sent:
    """An image, a sound that says nothing of its type, and two files that are no queries."""
    archive = open_archive(tiny_archive)
    image, sound = (Path(str(archive.item(id).path)).read_bytes() for id in ("blue5", "red3S1"))
    return [
        ("file", ("tile.png", image, "application/octet-stream")),
        ("file", ("bad.wav", b"no sound", "audio/wav")),
        ("file", ("said", sound, "audio/x-wav")),
        ("file", ("bad.png", image[:40], "image/png")),
    ]


def events(text: str) -> list[tuple[str, str]]:
    """Names and data of Server-Sent Events, as a browser reads them."""
    found = []
    for block in text.removesuffix("\n\n").split("\n\n"):
        name, *rest = block.split("\n")
        assert all(line.startswith("data: ") for line in rest)
        found.append((name.removeprefix("event: "), "\n".join(line.removeprefix("data: ") for line in rest)))
    return found


def test_each_is_answered_as_it_would_be_alone(
    client: TestClient, mixed: Sent, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    reply = client.post(f"{BATCH}?k=3", files=mixed)
    assert (reply.status_code, reply.headers["content-type"]) == (200, "text/event-stream; charset=utf-8")
    *progress, (name, result) = events(reply.text)
    assert ([name for name, _ in progress], name) == (["progress"] * 4, "result")
    done = [json.loads(content) for _, content in progress]
    assert [one["done"] for one in done] == [1, 2, 3, 4]
    assert {one["name"]: one["problem"] is None for one in done} == {
        "tile.png": True, "bad.wav": False, "said": True, "bad.png": False,
    }  # fmt: skip
    found: dict[str, Any] = json.loads(result)
    alone = [
        client.post(f"/v1/search/{kind}?k=3", files=[mixed[place]]).json()["queries"][0]
        for kind, place in (("image", 0), ("sound", 2))
    ]
    assert found["queries"] == alone
    assert [failure["name"] for failure in found["failures"]] == ["bad.wav", "bad.png"]
    assert found["failures"][0]["problem"].startswith("bad.wav: not a sound that can be read")
    assert str(tmp_path) not in reply.text
    assert list(tmp_path.iterdir()) == []


def test_as_csv(client: TestClient, mixed: Sent) -> None:
    found = json.loads(events(client.post(f"{BATCH}?k=3", files=mixed).text)[-1][1])
    name, content = events(client.post(f"{BATCH}?k=3&format=csv", files=mixed).text)[-1]
    rows = list(csv.DictReader(io.StringIO(content)))
    hits = [(answer["name"], hit) for answer in found["queries"] for hit in answer["hits"]]
    assert name == "result"
    assert [(row["query"], row["id"], row["distance"], row["label"]) for row in rows[:6]] == [
        (query, hit["id"], str(hit["distance"]), hit["label"]) for query, hit in hits
    ]
    assert [(row["query"], row["id"], row["problem"][:7]) for row in rows[6:]] == [
        ("bad.wav", "", "bad.wav"), ("bad.png", "", "bad.png"),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("limits", "asked", "status", "says"),
    [
        ({"batch_queries": 3}, "", 422, "at most 3 files fit in one batch, found 4"),
        ({"batch_mb": 0.0004}, "", 413, "at most 0.0004 MB"),
        ({"upload_mb": 0.0004}, "", 200, "progress"),  # that of a single query
        ({}, "?format=xml", 422, "format: "),
        ({}, "?archive=none", 404, "no archive is called 'none'"),
        ({}, "?where=harbor", 422, "wanted field=value"),
    ],
)
def test_what_may_be_sent(
    make: Making, mixed: Sent, limits: dict[str, float], asked: str, status: int, says: str
) -> None:
    with TestClient(make(limits=limits)) as client:
        reply = client.post(BATCH + asked, files=mixed)
        assert reply.status_code == status
        assert says in reply.text


def test_who_leaves_leaves_nothing_behind(
    make: Making, serving: Serving, mixed: Sent, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import httpx

    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    with serving(make()) as address:
        body = httpx.Request("POST", f"{address}{BATCH}", files=mixed * 8)
        content = body.read()
        with socket.create_connection(("127.0.0.1", int(address.rsplit(":", 1)[1])), timeout=20) as client:
            head = f"POST {BATCH} HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-length: {len(content)}\r\n"
            client.sendall(f"{head}content-type: {body.headers['content-type']}\r\n\r\n".encode() + content)
            assert client.recv(20).startswith(b"HTTP/1.1 200")
        end = time.monotonic() + 20
        while list(tmp_path.iterdir()):
            assert time.monotonic() < end
            time.sleep(0.02)
        assert httpx.get(f"{address}/healthz").status_code == 200
