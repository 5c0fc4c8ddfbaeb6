"""The service over an index on another engine: Milvus Lite, as ``dtbh serve --engine milvus`` has it."""

from __future__ import annotations

import re
import subprocess
import sys
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
    with subprocess.Popen([*dtbh, "serve", *place, "--port", "0"], stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        try:
            said = next(line for line in process.stderr if line.startswith("serving"))
            address = re.search(r"http://[\d.:]+", said)
            assert address is not None, said
            with httpx.Client(base_url=address[0], timeout=60) as client:
                (entry,) = client.get("/v1/archives").json()["archives"]
                assert (entry["name"], entry["images"]) == ("tiles", len(manifest.images))
                for _ in range(200):
                    if client.get("/healthz").json()["models"] != "loading":
                        break
                assert asked(client, sound) == right
                picture = client.get(f"/v1/items/{image}/media")
                assert picture.headers["content-type"].startswith("image/")
        finally:
            process.terminate()
