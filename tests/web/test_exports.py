"""The files of chosen items as a zip: as they are, under names that lead nowhere else, and never too many."""

from __future__ import annotations

import io
import json
import zipfile
from pathlib import Path

import numpy as np
import pytest
from fastapi.testclient import TestClient
from PIL import Image

from dtbh.codes import HashCodes
from dtbh.data.manifest import Item
from dtbh.index.archive.archive import create_archive, open_archive
from tests.web.conftest import Making

EXPORT = "/v1/export"


def chosen(*ids: str, **more: str) -> dict[str, list[dict[str, str]]]:
    return {"items": [{"id": id, **more} for id in ids]}


def test_files_as_they_are(client: TestClient, tiny_archive: Path) -> None:
    reply = client.post(EXPORT, json=chosen("red0", "blue5", "red3S1", archive="tiny"))
    assert (reply.status_code, reply.headers["content-type"]) == (200, "application/zip")
    assert reply.headers["content-length"] == str(len(reply.content))
    archive = open_archive(tiny_archive)
    with zipfile.ZipFile(io.BytesIO(reply.content)) as files:
        said = f"003-red3S1{Path(str(archive.item('red3S1').path)).suffix}"
        assert files.namelist() == ["001-red0.png", "002-blue5.png", said, "items.json"]
        assert files.read("002-blue5.png") == Path(str(archive.item("blue5").path)).read_bytes()
        known = json.loads(files.read("items.json"))
    assert [(row["file"], row["id"], row["label"]) for row in known][1] == ("002-blue5.png", "blue5", "blue")
    assert "path" not in known[0]


def test_ids_that_are_paths_and_files_that_are_gone(make: Making, tiny_archive: Path, tmp_path: Path) -> None:
    tiny = open_archive(tiny_archive)
    codes = tiny.codes(["red0", "red1", "red2", "red3"])
    here, secret = str(codes.items[0].path), tmp_path / "scene.png"
    Image.fromarray(np.zeros((64, 64, 3), np.uint8)).save(secret)
    items = (
        Item("../../etc/passwd", "image", here),
        Item("C:\\windows\\..\\x:y", "image", here),
        Item("gone", "image", str(tmp_path / "gone.png")),
        Item("..", "image", here),
    )
    create_archive(tmp_path / "a", HashCodes(codes.words, 12, codes.encoder, items))
    with TestClient(make(tmp_path / "a")) as client:
        reply = client.post(EXPORT, json=chosen(*(item.id for item in items)))
        with zipfile.ZipFile(io.BytesIO(reply.content)) as files:
            names = files.namelist()
            known = json.loads(files.read("items.json"))
        assert names == ["001-etc_passwd.png", "002-C_windows_.._x_y.png", "004-.png", "items.json"]
        assert [row["file"] for row in known] == [names[0], names[1], None, names[2]]
        assert client.get("/v1/items/..%2F..%2Fetc%2Fpasswd").json()["id"] == "../../etc/passwd"
        assert client.get("/v1/items/..%2F..%2Fetc%2Fpasswd/media").content == Path(here).read_bytes()


@pytest.mark.parametrize(
    ("limits", "ids", "status", "says"),
    [
        ({"export_mb": 0.0003}, ["red0"], 413, "at most 0.0003 MB are given away at once"),
        ({"export_mb": 0.0015}, ["red0", "red1"], 413, "at most 0.0015 MB"),
        ({"export_items": 1}, ["red0", "red1"], 422, "at most 1 items fit in one export, found 2"),
        ({}, ["nobody"], 404, "no item has the id 'nobody'"),
        ({}, [], 422, "items: "),
    ],
)
def test_what_may_be_taken(make: Making, limits: dict[str, float], ids: list[str], status: int, says: str) -> None:
    with TestClient(make(limits=limits)) as client:
        reply = client.post(EXPORT, json=chosen(*ids))
        assert reply.status_code == status
        assert says in reply.json()["detail"]


def test_a_tile_without_its_scene(make: Making, tiny_archive: Path, tmp_path: Path) -> None:
    pytest.importorskip("rasterio", reason="rasterio is not installed: pip install 'dtbh[geo]'")
    scene = np.zeros((64, 64, 3), np.uint8)
    scene[16:48, 16:48] = 200
    Image.fromarray(scene).save(tmp_path / "scene.tif")
    codes = open_archive(tiny_archive).codes(["red0"])
    item = Item("tile", "image", str(tmp_path / "scene.tif"), window=(16, 16, 32, 32), fields={"range": "0,255"})
    create_archive(tmp_path / "a", HashCodes(codes.words, 12, codes.encoder, (item,)))
    with TestClient(make(tmp_path / "a")) as client:
        reply = client.post(EXPORT, json=chosen("tile"))
        with zipfile.ZipFile(io.BytesIO(reply.content)) as files, files.open("001-tile.jpg") as tile:
            pixels = np.asarray(Image.open(tile))
        assert pixels.shape == (32, 32, 3)
        assert pixels.min() > 150
