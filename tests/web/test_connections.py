"""Connections on which no request comes: closed in time, and before they take the room of others."""

from __future__ import annotations

import resource
import socket
import subprocess
import sys
import time
from contextlib import ExitStack, suppress

import httpx
import pytest

from dtbh.config import Service
from dtbh.web import connections
from dtbh.web.serve import listen
from dtbh.web.tls import self_signed
from tests.web.conftest import Making, Serving
from tests.web.test_load import until

ASKED = b"GET /healthz HTTP/1.1\r\nhost: 127.0.0.1\r\n\r\n"
HURRIED = Service(head_seconds=0.5)


def connected(clients: ExitStack, address: str) -> socket.socket:
    return clients.enter_context(socket.create_connection(("127.0.0.1", int(address.rsplit(":", 1)[1])), timeout=30))


def closed(one: socket.socket) -> bool:
    """Whether the other end closes the connection, without a word."""
    try:
        return one.recv(1) == b""
    except ConnectionResetError:
        return True


def answered(one: socket.socket) -> bool:
    one.sendall(ASKED)
    read = b""
    while not read.endswith(b"}"):
        if not (more := one.recv(10_000)):
            return False
        read += more
    return read.startswith(b"HTTP/1.1 200")


def test_connections_without_a_request_are_closed_and_with_one_stay(make: Making, serving: Serving) -> None:
    with serving(make(), limits=HURRIED) as address, ExitStack() as clients:
        asking, silent, slow = (connected(clients, address) for _ in range(3))
        assert answered(asking)
        slow.sendall(ASKED[:10])
        assert closed(silent)
        assert closed(slow)
        assert answered(asking)
        asking.sendall(ASKED[:10])  # its next comes too late
        assert closed(asking)


def test_a_head_that_drips_is_not_waited_for(make: Making, serving: Serving) -> None:
    with serving(make(), limits=HURRIED) as address, ExitStack() as clients:
        one, sent = connected(clients, address), 0
        with suppress(ConnectionResetError, BrokenPipeError):
            while sent < 400:
                one.sendall(b"x")
                sent += 1
                time.sleep(0.05)
        assert sent < 200


def test_idle_connections_make_room_and_those_with_a_request_do_not(
    make: Making, serving: Serving, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connections, "MOST", 4)
    with serving(make()) as address, ExitStack() as clients:
        first, *others = (connected(clients, address) for _ in range(4))
        assert answered(others[-1])
        for _ in range(3):
            assert httpx.get(f"{address}/healthz").status_code == 200
        assert closed(first)
        crowd = [connected(clients, address) for _ in range(50)]
        assert all(closed(one) for one in crowd[:40])
        assert answered(crowd[-1])


def welcome(address: str) -> bool:
    try:
        return httpx.get(f"{address}/healthz", timeout=10).status_code == 200
    except httpx.TransportError:
        return False


def test_a_hand_that_is_not_shaken_is_not_waited_for(make: Making, serving: Serving) -> None:
    pytest.importorskip("cryptography", reason="the extra share is not installed")
    certificate = self_signed(["localhost"], ["127.0.0.1"])
    with serving(make(), certificate, limits=HURRIED) as address, ExitStack() as clients:
        began = time.monotonic()
        assert closed(connected(clients, address))
        assert time.monotonic() < began + 20
        assert httpx.get(f"{address}/healthz", verify=False).status_code == 200


def unread(clients: ExitStack, address: str, path: str) -> socket.socket:
    """A client that asks for more than fits on the way, and takes nothing."""
    one = socket.socket()
    one.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
    clients.enter_context(one)
    one.connect(("127.0.0.1", int(address.rsplit(":", 1)[1])))
    one.sendall(f"GET {path} HTTP/1.1\r\nhost: 127.0.0.1\r\n\r\n".encode() * 100)
    return one


@pytest.mark.parametrize("tls", [False, True], ids=["plain", "tls"])
def test_the_end_does_not_wait_for_who_takes_nothing(
    make: Making, serving: Serving, tls: bool, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    if tls:
        pytest.importorskip("cryptography", reason="the extra share is not installed")
    monkeypatch.setattr(connections, "LEAVING", 0.5)
    with ExitStack() as clients:
        with serving(make(), self_signed(["localhost"], ["127.0.0.1"]) if tls else None) as address:
            if tls:
                connected(clients, address)  # which shakes no hand
                assert httpx.get(f"{address}/healthz", verify=False).status_code == 200
            else:
                unread(clients, address, "/static/style.css")
            time.sleep(0.5)
            began = time.monotonic()
        assert time.monotonic() < began + 15
    assert "Traceback" not in capfd.readouterr().err


def test_who_takes_nothing_makes_room_where_all_are_at_work(
    make: Making, serving: Serving, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connections, "MOST", 4)
    monkeypatch.setattr(connections, "LEAVING", 0.3)
    with serving(make()) as address, ExitStack() as clients:
        for _ in range(4):
            unread(clients, address, "/static/style.css")
        until(lambda: welcome(address))


def test_where_descriptors_run_out_the_door_closes_and_opens_again(monkeypatch: pytest.MonkeyPatch) -> None:
    with listen("127.0.0.1", 0) as door, ExitStack() as clients:
        door.setblocking(False)
        monkeypatch.setattr(connections, "descriptors", lambda: None)
        for _ in range(3):
            clients.enter_context(socket.create_connection(door.getsockname()))
        with door.accept()[0] as first:
            monkeypatch.setattr(connections, "descriptors", lambda: first.fileno() + connections.SPARE + 1)
            with pytest.raises(ConnectionAbortedError):
                door.accept()
            monkeypatch.setattr(connections, "descriptors", lambda: None)
            door.accept()[0].close()


def test_the_system_s_limit_is_raised_as_far_as_is_allowed_and_room_is_left() -> None:
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    code = (
        "import resource, sys\n"
        "from dtbh.web.connections import raise_limit, room_for_connections\n"
        "resource.setrlimit(resource.RLIMIT_NOFILE, (int(sys.argv[1]), int(sys.argv[2])))\n"
        "raise_limit()\n"
        "print(room_for_connections(), *resource.getrlimit(resource.RLIMIT_NOFILE))"
    )

    def found(soft: int, hard: int) -> str:
        return subprocess.check_output([sys.executable, "-c", code, str(soft), str(hard)], text=True).strip()

    assert found(256, 1000) == "800 1000 1000"
    assert found(100, 100) == "1 100 100"
    if before[1] >= 5000:
        assert found(256, 5000) == "4096 4296 5000"
