"""The service over an index on another engine: Milvus Lite, as ``dtbh serve --engine milvus`` has it."""

from __future__ import annotations

import re
import subprocess
import sys
import time
from pathlib import Path

import httpx
import pytest
from fastapi.testclient import TestClient

from dtbh.data.manifest import read_manifest
from tests.web.conftest import Making

pytest.importorskip("pymilvus", reason="pymilvus is not installed: pip install 'dtbh[milvus]'")


def asked(client: TestClient | httpx.Client, sound: Path) -> list[tuple[int, str, str]]:
    with sound.open("rb") as file:
        reply = client.post("/v1/search/sound?k=7", files={"file": file}).json()
    return [(hit["distance"], hit["id"], hit["code"]) for hit in reply["queries"][0]["hits"]]


def test_milvus_is_served_and_answers_as_an_archive_does(
    tiny_run: Path, tiny_data: Path, make: Making, tmp_path: Path
) -> None:
    place = ["--engine", "milvus", "--uri", str(tmp_path / "m.db"), "--collection", "tiles"]
    dtbh = [sys.executable, "-m", "dtbh.cli"]  # Milvus Lite keeps other processes out while one lives
    subprocess.run([*dtbh, "index", str(tiny_run), str(tiny_data), *place], check=True, capture_output=True)
    manifest = read_manifest(tiny_data)
    sound, image = manifest.file(manifest.sounds[0]), manifest.images[0].id
    with TestClient(make()) as archive:
        right = asked(archive, sound)
    serve = [*dtbh, "serve", *place, "--model", str(tiny_run), "--port", "0"]
    with subprocess.Popen(serve, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        try:
            said = next(line for line in process.stderr if line.startswith("serving"))
            address = re.search(r"http://[\d.:]+", said)
            assert address is not None, said
            with httpx.Client(base_url=address[0], timeout=60) as client:
                (entry,) = client.get("/v1/archives").json()["archives"]
                assert (entry["name"], entry["images"]) == ("tiles", len(manifest.images))
                until = time.monotonic() + 60
                while client.get("/healthz").json()["models"] == "loading" and time.monotonic() < until:
                    time.sleep(0.05)
                assert client.get("/healthz").json() == {"status": "ok", "models": "ready"}
                assert asked(client, sound) == right
                with sound.open("rb") as file:
                    reply = client.post("/v1/search/sound?k=2&preview=true", files={"file": file}).json()
                assert reply["queries"][0]["preview"].startswith("data:image/svg+xml;base64,")
                code = reply["queries"][0]["code"]
                hits = client.post("/v1/search/code", json={"codes": [code], "find": "image", "k": 7}).json()
                assert [(h["distance"], h["id"], h["code"]) for h in hits["queries"][0]["hits"]] == right
                for size in ("", "?size=16"):
                    picture = client.get(f"/v1/items/{image}/media{size}")
                    assert picture.headers["content-type"].startswith("image/")
                some = client.get("/v1/items?count=5").json()["items"]
                assert len({item["id"] for item in some}) == 5
                assert f'dtbh_archive_items{{archive="tiles"}} {len(list(manifest))}.0' in client.get("/metrics").text
                assert client.get("/v1/items/nothing").status_code == 404
        finally:
            process.terminate()
