"""Others in the office: over TLS, by a shared address, and behind a proxy's path."""

from __future__ import annotations

import shutil
import ssl
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import pytest
from fastapi.testclient import TestClient

from dtbh.cli.main import main
from dtbh.errors import ConfigError
from dtbh.web import serve as serving_module
from dtbh.web.addresses import own_addresses, own_names, qr_code
from dtbh.web.tls import Certificate, certificate_of, self_signed
from tests.browser import Visiting
from tests.web.conftest import Making, Serving

pytest.importorskip("cryptography", reason="cryptography is not installed: pip install 'dtbh[share]'")


@pytest.fixture(scope="module")
def own() -> Certificate:
    return self_signed(own_names(), own_addresses())


def test_a_certificate_of_its_own(make: Making, serving: Serving, own: Certificate) -> None:
    with serving(make(), own) as address:
        place = urlsplit(address)
        pem = ssl.get_server_certificate(("127.0.0.1", int(place.port or 0)))
        trusting = ssl.create_default_context(cadata=pem)  # checks names and dates
        for name in ("127.0.0.1", "localhost"):
            assert httpx.get(f"https://{name}:{place.port}/healthz", verify=trusting).json()["status"] == "ok"
        with pytest.raises(httpx.ConnectError, match="self-signed"):
            httpx.get(f"{address}/healthz")
        with pytest.raises(httpx.HTTPError):
            httpx.get(f"http://127.0.0.1:{place.port}/healthz")
    import hashlib

    assert own.fingerprint.replace(":", "").lower() == hashlib.sha256(ssl.PEM_cert_to_DER_cert(pem)).hexdigest()


def test_two_certificates_have_two_keys(own: Certificate) -> None:
    assert self_signed(["a"], ["127.0.0.1"]).fingerprint != own.fingerprint


@pytest.fixture(scope="module")
def pems(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two certificates with their keys, one key also encrypted."""
    if shutil.which("openssl") is None:
        pytest.skip("openssl is not on this machine, so there is no certificate to read")
    folder = tmp_path_factory.mktemp("pem")
    for name in ("a", "b"):
        made = f"req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj /CN=localhost -keyout {name}.key"
        subprocess.run(["openssl", *made.split(), "-out", f"{name}.pem"], cwd=folder, check=True, capture_output=True)
    locked = "pkey -in a.key -aes128 -passout pass:secret -out locked.key"
    subprocess.run(["openssl", *locked.split()], cwd=folder, check=True, capture_output=True)
    return folder


def test_a_certificate_of_files(make: Making, serving: Serving, pems: Path) -> None:
    with serving(make(), certificate_of(pems / "a.pem", pems / "a.key")) as address:
        trusting = ssl.create_default_context(cafile=str(pems / "a.pem"))
        trusting.check_hostname = False
        assert httpx.get(f"{address}/healthz", verify=trusting).status_code == 200


@pytest.mark.parametrize(
    ("certificate", "key", "says"),
    [
        ("none.pem", "a.key", "--tls-cert .*none.pem: no such file"),
        ("a.pem", "none.key", "--tls-key .*none.key: no such file"),
        ("a.pem", "b.key", "the key is another certificate's"),
        ("a.key", "a.key", "no certificate and key in PEM format"),
        ("a.pem", "locked.key", "the key is encrypted; decrypt it"),
    ],
)
def test_certificates_that_are_none(pems: Path, certificate: str, key: str, says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        certificate_of(pems / certificate, pems / key)


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (["--tls-cert", "a.pem"], "--tls-cert and --tls-key go together"),
        (["--tls", "self", "--tls-cert", "a.pem", "--tls-key", "a.key"], "leave --tls-cert and --tls-key away"),
        (["--root-path", "tiles"], "--root-path tiles: wanted what the proxy has in front"),
        (["--root-path", "/../x"], "wanted what the proxy has in front"),
    ],
)
def test_options_that_do_not_go(
    tiny_archive: Path, capsys: pytest.CaptureFixture[str], options: list[str], says: str
) -> None:
    assert main(["serve", str(tiny_archive), *options]) == 2
    assert says in capsys.readouterr().err


class Asked:
    """Instead of a server: what it would have served, and where."""

    def __init__(self, app: object, certificate: Certificate | None) -> None:
        self.app, self.certificate = app, certificate

    def run(self, sockets: list) -> None:
        (self.socket,) = sockets
        self.address = self.socket.getsockname()
        self.socket.close()


@pytest.mark.parametrize("tls", [[], ["--tls", "self"]], ids=["plain", "tls"])
def test_sharing(
    tiny_archive: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tls: list[str]
) -> None:
    served: list[Asked] = []
    monkeypatch.setattr(serving_module, "server", lambda *what, **_: served.append(Asked(*what)) or served[-1])
    monkeypatch.setattr(serving_module.signal, "signal", lambda *_: None)
    monkeypatch.delenv("DTBH_TOKEN", raising=False)
    assert main(["serve", str(tiny_archive), "--port", "0", "--share", "--model", str(tiny_archive), *tls]) == 0
    said = capsys.readouterr().err
    (one,) = served
    assert one.address[0] == "0.0.0.0"
    address = next(line for line in said.splitlines() if line.startswith("for others: ")).partition(": ")[2]
    place = urlsplit(address)
    assert (place.scheme, place.port) == ("https" if tls else "http", one.address[1])
    assert place.hostname == own_addresses()[0].lower()
    if code := qr_code(address):
        assert code in said
        assert len(code.splitlines()) < 24  # of a terminal
    assert ("add --tls self" in said) != bool(tls)
    assert ("fingerprint: " in said) == (one.certificate is not None) == bool(tls)
    with TestClient(one.app, base_url=f"{place.scheme}://{place.netloc}") as client:
        assert client.get("/v1/archives").status_code == 401
        reply = client.get(f"/?{place.query}", follow_redirects=False)
        assert (reply.status_code, reply.headers["location"]) == (303, "./")
        assert ("Secure" in reply.headers["set-cookie"]) == bool(tls)
        assert client.get("/v1/archives").status_code == 200


def test_a_root_path_with_and_without_the_proxy_taking_it_off(make: Making) -> None:
    with TestClient(make(root_path="/a/b", token="t"), base_url="http://office.example") as client:
        for front in ("", "/a/b"):
            assert client.get(f"{front}/v1/archives").status_code == 401
            assert client.get(f"{front}/healthz").status_code == 200
            assert client.get(f"{front}/v1/archives", headers={"authorization": "Bearer t"}).status_code == 200
        assert client.get("/a/bc/healthz").status_code == 401
        assert client.get("/a/b", follow_redirects=False).headers["location"] == "/a/b/"
        reply = client.get("/a/b/?token=t", follow_redirects=False)
        assert "Path=/a/b;" in reply.headers["set-cookie"]
        assert client.get("/a/b/").status_code == 200
        assert client.get("/a/b/openapi.json").json()["servers"] == [{"url": "/a/b"}]


NGINX = """
daemon off; worker_processes 1; pid {folder}/pid; error_log {folder}/error.log;
events {{ worker_connections 64; }}
http {{
  access_log off; client_body_temp_path {folder}/b; proxy_temp_path {folder}/p; fastcgi_temp_path {folder}/f;
  uwsgi_temp_path {folder}/u; scgi_temp_path {folder}/s; proxy_set_header Host $http_host;
  server {{ listen 127.0.0.1:{port}; location {root}/ {{ proxy_pass {upstream}; }} }}
}}
"""


@pytest.fixture(params=["taken off", "left"])
def proxied(request: pytest.FixtureRequest, make: Making, serving: Serving, tmp_path: Path) -> Iterator[str]:
    """The service as nginx gives it on, under a path that it takes off or leaves."""
    program = shutil.which("nginx")
    if program is None:
        pytest.skip("nginx is not on this machine (apt-get install nginx)")
    with serving_module.listen("127.0.0.1", 0) as free:
        port = free.getsockname()[1]
    with serving(make(root_path="/x")) as address:
        upstream = f"{address}/" if request.param == "taken off" else address
        configured = tmp_path / "nginx.conf"
        configured.write_text(NGINX.format(folder=tmp_path, port=port, root="/x", upstream=upstream))
        with subprocess.Popen(
            [program, "-c", str(configured), "-p", str(tmp_path), "-e", str(tmp_path / "early.log")]
        ) as nginx:
            try:
                end = time.monotonic() + 20
                while True:
                    try:
                        assert httpx.get(f"http://127.0.0.1:{port}/x/healthz").status_code == 200
                        break
                    except httpx.ConnectError:
                        assert time.monotonic() < end
                        time.sleep(0.05)
                yield f"http://127.0.0.1:{port}/x/"
            finally:
                nginx.terminate()


def test_behind_nginx(proxied: str, visit: Visiting, tiny_data: Path) -> None:
    seen = visit(proxied)
    seen.page.wait_for_selector("#samples img")
    seen.page.set_input_files("#file", tiny_data / "images" / "blue3.png")
    seen.page.wait_for_selector("#hits:not([aria-busy]) .card")
    seen.page.click("text=API")
    assert seen.page.inner_text("h1 >> nth=0") == "The service"
    seen.page.click("text=Back to the page")
    seen.page.wait_for_selector("#samples img")
    assert all(urlsplit(asked).path.startswith("/x/") for asked in seen.requests if asked.startswith("http"))
    assert seen.errors == []
    image = ("blue3.png", (tiny_data / "images" / "blue3.png").read_bytes())
    events = httpx.post(f"{proxied}v1/search/batch", files={"file": image}, timeout=60)
    assert events.text.startswith("event: progress")
