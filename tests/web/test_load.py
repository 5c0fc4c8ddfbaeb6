"""Many at once: queries share batches, too many are sent away, those who leave cost nothing, and the end is orderly."""

from __future__ import annotations

import asyncio
import gc
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi.testclient import TestClient

from dtbh.codes import HashCodes
from dtbh.config import Service
from dtbh.data.manifest import Item
from dtbh.index.archive.archive import create_archive, open_archive
from dtbh.models.encoder import Encoder, Encoding
from dtbh.web import archives
from dtbh.web.batching import MicroBatcher, OverloadedError
from dtbh.web.serve import listen
from tests.web.conftest import Making, Serving

SOUND, CODE = "/v1/search/sound", "/v1/search/code"


class Held:
    """The tiny model, which waits before each batch until it is let go, and remembers what it was given."""

    def __init__(self, model: Encoder) -> None:
        self._model, self.free, self.begun, self.batches = model, threading.Event(), threading.Event(), []

    def __getattr__(self, name: str) -> Any:
        return getattr(self._model, name)

    def encode(self, items: Sequence[Item], **more: Any) -> Encoding:
        self.batches.append(len(items))
        self.begun.set()
        assert self.free.wait(30)
        return self._model.encode(items, **more)


@pytest.fixture
def held(tiny_model: Encoder) -> Held:
    return Held(tiny_model)


@pytest.fixture
def a_sound(tiny_archive: Path) -> bytes:
    return Path(str(open_archive(tiny_archive).item("red3S1").path)).read_bytes()


def until(holds: Callable[[], bool]) -> None:
    end = time.monotonic() + 20
    while not holds():
        assert time.monotonic() < end
        time.sleep(0.01)


def closed(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=20).close()
    except ConnectionError:
        return True
    return False


def counted(address: str, name: str) -> float:
    line = next(line for line in httpx.get(f"{address}/metrics").text.splitlines() if line.startswith(name + " "))
    return float(line.split()[1])


def test_queries_that_arrive_together_are_encoded_together(
    make: Making, serving: Serving, held: Held, a_sound: bytes
) -> None:
    with serving(make(load=lambda path: held, limits={"batch": 4})) as address, ThreadPoolExecutor(9) as clients:

        def ask() -> dict[str, Any]:
            return httpx.post(address + SOUND, files={"file": a_sound}, timeout=30).json()["queries"][0]["hits"]

        first = clients.submit(ask)
        assert held.begun.wait(20)
        others = [clients.submit(ask) for _ in range(8)]
        until(lambda: counted(address, "dtbh_queries_under_way") == 9)
        time.sleep(0.2)
        held.free.set()
        answers = [future.result() for future in (first, *others)]
    assert held.batches == [1, 4, 4]
    assert all(answer == answers[0] for answer in answers)


def test_too_many_are_sent_away_at_once(make: Making, serving: Serving, held: Held, a_sound: bytes) -> None:
    with serving(make(load=lambda path: held, limits={"waiting": 2})) as address, ThreadPoolExecutor(2) as clients:
        under_way = [clients.submit(httpx.post, address + SOUND, files={"file": a_sound}, timeout=30) for _ in "ab"]
        until(lambda: counted(address, "dtbh_queries_under_way") == 2)
        started = time.monotonic()
        reply = httpx.post(address + SOUND, files={"file": a_sound})
        assert time.monotonic() - started < 2
        assert (reply.status_code, reply.headers["retry-after"]) == (503, "1")
        assert "too many queries" in reply.json()["detail"]
        assert httpx.get(f"{address}/healthz").status_code == 200
        assert counted(address, "dtbh_refused_total") == 1
        held.free.set()
        assert [future.result().status_code for future in under_way] == [200, 200]
        assert httpx.post(address + SOUND, files={"file": a_sound}).status_code == 200


def test_who_only_holds_a_connection_is_in_nobodys_way(
    make: Making, serving: Serving, held: Held, a_sound: bytes
) -> None:
    held.free.set()
    with serving(make(load=lambda path: held, limits={"waiting": 1})) as address, ExitStack() as open_ones:
        for _ in range(20):
            open_ones.enter_context(socket.create_connection(("127.0.0.1", int(address.rsplit(":", 1)[1]))))
        assert httpx.post(address + SOUND, files={"file": a_sound}, timeout=30).status_code == 200


def test_too_many_requests_of_any_kind(make: Making, serving: Serving, monkeypatch: pytest.MonkeyPatch) -> None:
    begun, free = threading.Semaphore(0), threading.Event()

    def slow(*_: object) -> list[object]:
        begun.release()
        free.wait(30)
        return []

    monkeypatch.setattr(archives.ArchiveRegistry, "sample", slow)
    with serving(make(limits={"waiting": 1})) as address, ThreadPoolExecutor(4) as clients:
        under_way = [clients.submit(httpx.get, f"{address}/v1/items", timeout=30) for _ in range(4)]
        assert all(begun.acquire(timeout=20) for _ in under_way)
        assert httpx.get(f"{address}/v1/items").status_code == 503
        assert httpx.get(f"{address}/healthz").status_code == 200
        free.set()
        assert [future.result().status_code for future in under_way] == [200] * 4


def test_who_takes_nothing_of_an_answer_keeps_no_place(
    make: Making, serving: Serving, tiny_archive: Path, tmp_path: Path
) -> None:
    codes = open_archive(tiny_archive).codes(["red0"])
    with (tmp_path / "large.tif").open("wb") as large:
        large.truncate(1 << 24)
    items = (replace(codes.items[0], path=str(tmp_path / "large.tif")),)
    create_archive(tmp_path / "a", HashCodes(codes.words, 12, codes.encoder, items))
    limits = {"waiting": 1, "stall_seconds": 0.5}
    app = make(tmp_path / "a", limits=limits)
    with serving(app, limits=Service(**limits)) as address, ExitStack() as clients:
        for _ in range(4):  # as many as are let in
            one = clients.enter_context(socket.create_connection(("127.0.0.1", int(address.rsplit(":", 1)[1]))))
            one.sendall(b"GET /v1/items/red0/media HTTP/1.1\r\nhost: 127.0.0.1\r\n\r\n")
            assert one.recv(12) == b"HTTP/1.1 200"
        until(lambda: httpx.get(f"{address}/v1/archives").status_code == 200)
        whole = httpx.get(f"{address}/v1/items/red0/media", timeout=60)
        assert len(whole.content) == 1 << 24


def test_an_answer_that_takes_too_long(
    make: Making, held: Held, a_sound: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    with TestClient(make(load=lambda path: held, limits={"wait_seconds": 0.2})) as client:
        reply = client.post(SOUND, files={"file": a_sound})
        held.free.set()
        assert reply.status_code == 503
    gc.collect()
    assert "never retrieved" not in caplog.text


def test_a_client_that_leaves_costs_nothing(make: Making, serving: Serving, held: Held, a_sound: bytes) -> None:
    with serving(make(load=lambda path: held)) as address, ThreadPoolExecutor(1) as clients:
        first = clients.submit(httpx.post, address + SOUND, files={"file": a_sound}, timeout=30)
        assert held.begun.wait(20)
        request = httpx.Request("POST", address + SOUND, files={"file": a_sound})
        head = f"POST {SOUND} HTTP/1.1\r\nhost: x\r\ncontent-type: {request.headers['content-type']}\r\n"
        head += f"content-length: {request.headers['content-length']}\r\n\r\n"
        for _ in range(3):
            with socket.create_connection(("127.0.0.1", int(address.rsplit(":", 1)[1]))) as leaver:
                leaver.sendall(head.encode() + request.read())
                until(lambda: counted(address, "dtbh_queries_under_way") == 2)
            until(lambda: counted(address, "dtbh_queries_under_way") == 1)
        held.free.set()
        assert first.result().status_code == 200
    assert held.batches == [1]


def test_an_archive_that_grows_is_served_without_a_restart(
    make: Making, tiny_archive: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(archives, "RECHECK", 0.0)
    tiny = open_archive(tiny_archive)
    ids = [item.id for item in tiny.items(range(12))]
    codes = tiny.codes(ids)
    archive = create_archive(tmp_path / "growing", codes.select(range(10)), model=tiny.model)
    asked = {"codes": [archives.to_hex(codes.words[11], 12)], "k": 100}
    with TestClient(make(tmp_path / "growing")) as client:
        assert len(client.post(CODE, json=asked).json()["queries"][0]["hits"]) == 10
        assert client.get(f"/v1/items/{ids[11]}").status_code == 404
        archive.add(codes.select([10, 11]))
        assert len(client.post(CODE, json=asked).json()["queries"][0]["hits"]) == 12
        assert client.get(f"/v1/items/{ids[11]}").json()["code"] == asked["codes"][0]
        archive.remove([ids[11]])
        found = client.post(CODE, json=asked).json()["queries"][0]["hits"]
        assert {hit["id"] for hit in found} == set(ids[:11])
        archive.compact()
        assert client.post(CODE, json=asked).json()["queries"][0]["hits"] == found
        assert client.get(f"/v1/items/{ids[11]}/media").status_code == 404
        shutil.rmtree(tmp_path / "growing")  # and made anew, by another encoder
        assert client.post(CODE, json=asked).json()["queries"][0]["hits"] == found
        create_archive(tmp_path / "growing", HashCodes(codes.words, 12, "another", codes.items), model=tiny.model)
        assert client.get("/v1/archives").json()["archives"][0]["encoder"] == "another"
        assert len(client.post(CODE, json=asked).json()["queries"][0]["hits"]) == 12


def test_it_is_searched_while_it_is_written(
    make: Making, tiny_archive: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every answer is one that the archive had at some moment: all of an addition or nothing of it."""
    monkeypatch.setattr(archives, "RECHECK", 0.0)
    tiny = open_archive(tiny_archive)
    codes = tiny.codes([item.id for item in tiny.items(range(40))])
    archive = create_archive(tmp_path / "busy", codes.select(range(10)), model=tiny.model)
    asked = {"codes": [archives.to_hex(codes.words[0], 12)], "k": 100}
    with TestClient(make(tmp_path / "busy")) as client, ThreadPoolExecutor(1) as writer:

        def write() -> None:
            for start in range(10, 40, 10):
                archive.add(codes.select(range(start, start + 10)))
                time.sleep(0.02)
            archive.remove([codes.items[place].id for place in range(10)])
            archive.compact()

        writing, seen = writer.submit(write), []
        while not writing.done() or not seen or seen[-1] != 30:
            reply = client.post(CODE, json=asked)
            assert reply.status_code == 200, reply.text
            hits = reply.json()["queries"][0]["hits"]
            seen.append(len({hit["id"] for hit in hits}))
            assert len(hits) == seen[-1]
        writing.result()
    assert set(seen) <= {10, 20, 30, 40}


def test_several_archives_at_once(make: Making, tiny_archive: Path, tmp_path: Path) -> None:
    tiny = open_archive(tiny_archive)
    ids = [item.id for item in tiny.items(range(len(tiny)))]
    codes = tiny.codes(ids)
    create_archive(tmp_path / "even", codes.select(range(0, 108, 2)), model=tiny.model)
    create_archive(tmp_path / "x" / "even", codes.select(range(1, 108, 2)), model=tiny.model)
    other = HashCodes(codes.words, 12, "another", codes.items)
    create_archive(tmp_path / "other", other, model=tiny.model)
    asked = {"codes": [archives.to_hex(codes.words[7], 12)], "k": 40}
    with TestClient(make(tmp_path / "even", tmp_path / "x" / "even")) as client:
        hits = client.post(CODE, json=asked).json()["queries"][0]["hits"]
        whole = tiny.search(codes.select([7]), k=40, find="any").hits()
        assert [hit["distance"] for hit in hits] == [hit.distance for hit in whole]
        assert {hit["archive"] for hit in hits} == {"even", "even-2"}
        one = client.post(CODE, json={**asked, "archive": ["even-2"]}).json()["queries"][0]["hits"]
        assert {hit["archive"] for hit in one} == {"even-2"}
    with TestClient(make(tiny_archive, tmp_path / "other")) as client:
        reply = client.post(CODE, json=asked)
        assert (reply.status_code, "different encoders" in reply.json()["detail"]) == (422, True)
        assert client.post(CODE, json={**asked, "archive": ["other"]}).status_code == 200
        assert {a["name"]: a["model"] for a in client.get("/v1/archives").json()["archives"]}["other"] != "loading"


def test_sigterm_finishes_what_is_under_way(tiny_archive: Path) -> None:
    command = [
        sys.executable,
        "-m",
        "dtbh.cli",
        "serve",
        str(tiny_archive),
        "--port",
        "0",
        "--model",
        str(tiny_archive),
    ]
    with subprocess.Popen(
        command, stderr=subprocess.PIPE, text=True, env=os.environ | {"PYTHONUNBUFFERED": "1"}
    ) as process:
        assert process.stderr is not None
        said = process.stderr.readline()  # the model is none: codes are searched all the same
        port = int(said.split(" (")[0].rsplit(":", 1)[1])
        body = json.dumps({"codes": ["ff0f"], "k": 3}).encode()
        head = f"POST {CODE} HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n"
        head += f"content-length: {len(body)}\r\n\r\n"
        with socket.create_connection(("127.0.0.1", port), timeout=20) as client:
            client.sendall(head.encode() + body[:5])
            time.sleep(0.5)
            process.send_signal(signal.SIGTERM)
            until(lambda: closed(port))
            client.sendall(body[5:])
            assert client.recv(100).startswith(b"HTTP/1.1 200")
        assert process.wait(20) == 0


def test_answers_do_not_wait_for_acknowledgements() -> None:
    with listen("127.0.0.1", 0) as listening:
        assert listening.proto == socket.IPPROTO_TCP  # else asyncio leaves Nagle's algorithm on: 40 ms an answer


def test_a_lane_tells_each_its_own_error_and_goes_on() -> None:
    def run(batch: Sequence[int]) -> list[int | Exception]:
        if 13 in batch:
            raise RuntimeError("all of it")
        return [ValueError(str(n)) if n % 2 else n * n for n in batch]

    async def check() -> None:
        batcher: MicroBatcher[int, int] = MicroBatcher("test", run, batch=3, waiting=5)
        futures = batcher.submit([1, 2, 3, 4])
        with pytest.raises(OverloadedError):
            batcher.submit([5, 6])
        futures[3].cancel()
        results = await asyncio.gather(*futures[:3], return_exceptions=True)
        assert [repr(result) for result in results] == ["ValueError('1')", "4", "ValueError('3')"]
        with pytest.raises(RuntimeError, match="all of it"):
            await batcher.submit([13])[0]
        assert await batcher.submit([4])[0] == 16
        await batcher.close()

    asyncio.run(check())
