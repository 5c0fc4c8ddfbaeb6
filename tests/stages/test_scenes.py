"""From a scene to tiles that are found, on a map and in a box, by the command line."""

from __future__ import annotations

import json
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from dtbh.cli.main import main
from dtbh.data.manifest import Item
from dtbh.index.archive.archive import open_archive
from dtbh.index.result import SearchResult
from dtbh.search.geojson import write_geojson
from tests.data.test_tiling import pytestmark, ramp, write_scene  # noqa: F401


@pytest.fixture(scope="module")
def archive(tiny_run: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("scenes")
    write_scene(folder / "in" / "a.tif", ramp(4, 128, 192))
    write_scene(folder / "in" / "b.tif", ramp(4, 64, 64))
    out = folder / "archive"
    assert (
        main(["index", str(tiny_run), str(folder / "in"), "--out", str(out), "--tile", "64", "--bands", "4,3,2"]) == 0
    )
    return out


def test_tiles_are_items(archive: Path) -> None:
    index = open_archive(archive)
    assert len(index) == 3 * 2 + 1
    item = index.item("a.tif@128,64")
    assert (item.window, item.fields["scene"], item.fields["bands"]) == ((128, 64, 64, 64), "a.tif", "4,3,2")
    assert len(index.rows({"scene": "b.tif"})) == 1
    assert len(np.unique(index.words)) > 1


def test_a_box_and_geojson(archive: Path, tiny_data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    sound = next((tiny_data / "sounds").rglob("*.*"))
    west, north = open_archive(archive).item("a.tif@0,0").footprint[0]
    box, out = f"{west},{north - 0.001},{west + 0.001},{north}", tmp_path / "hits.geojson"
    asked = ["search", str(archive), "--sound", str(sound), "--bbox", box, "--geojson", str(out), "--json"]
    assert main([*asked, "--where", "scene=a.tif"]) == 0
    said = capsys.readouterr()
    hits = json.loads(said.out)["queries"][0]["hits"]
    assert [hit["id"] for hit in hits] == ["a.tif@0,0"]
    assert f"{out}: 1 footprints" in said.err
    (feature,) = json.loads(out.read_text())["features"]
    ring = feature["geometry"]["coordinates"][0]
    assert ring[0] == ring[-1]
    assert sorted(map(tuple, ring[:-1])) == sorted(open_archive(archive).item("a.tif@0,0").footprint)
    assert feature["properties"] == {"query": 0, "rank": 1, "distance": hits[0]["distance"], "id": "a.tif@0,0",
                                     "modality": "image", "path": hits[0]["path"],
                                     "probability": hits[0]["probability"], "window": [0, 0, 64, 64],
                                     **hits[0]["fields"]}  # fmt: skip


def test_the_page_shows_tiles(archive: Path, tiny_data: Path, capsys, monkeypatch) -> None:
    monkeypatch.setattr("webbrowser.open", lambda _: True)
    sound = next((tiny_data / "sounds").rglob("*.*"))
    assert main(["search", str(archive), "--sound", str(sound), "-k", "3", "--open"]) == 0
    page = Path(capsys.readouterr().err.split("page: ")[1].strip()).read_text()
    assert page.count('<img src="data:image/jpeg') == 3


def test_rings_are_counterclockwise(tmp_path: Path) -> None:
    corners = ((0.0, 1.0), (1.0, 1.0), (1.0, 0.0), (0.0, 0.0))
    items = tuple(Item(str(n), "image", footprint=c) for n, c in enumerate((corners, corners[::-1])))
    result = SearchResult(np.zeros((1, 2), np.int32), np.zeros((1, 2), np.int64), (items,))
    assert write_geojson(result, tmp_path / "x.geojson") == 2
    for feature in json.loads((tmp_path / "x.geojson").read_text())["features"]:
        ring = feature["geometry"]["coordinates"][0]
        area = sum(x1 * y2 - x2 * y1 for (x1, y1), (x2, y2) in pairwise(ring))
        assert area > 0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--stride", "9"], "--stride goes with --tile"),
        (["--tile", "64", "--bands", "red"], "--bands red: wanted band numbers"),
        (["--tile", "64", "--range", "1"], "--range 1: wanted lowest,highest"),
        (["--tile", "64", "--range", "a,b"], "--range a,b: wanted lowest,highest"),
    ],
)
def test_wrong_cuttings(tiny_run: Path, tmp_path: Path, capsys, arguments, message) -> None:
    assert main(["index", str(tiny_run), str(tmp_path), "--out", str(tmp_path / "o"), *arguments]) == 2
    assert message in capsys.readouterr().err
