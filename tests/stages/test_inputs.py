"""What is named as a source though nothing can be read of it so, and files that are not what their names say."""

from __future__ import annotations

import os
import zipfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from dtbh.cli.main import main
from dtbh.data.manifest import read_manifest, write_manifest
from dtbh.data.sources.folders import folders
from dtbh.data.sources.table import table
from dtbh.data.tiling import Tiling, media_of
from dtbh.errors import DataError
from dtbh.media.image import load_pixels
from dtbh.models.load import load
from dtbh.stages.inputs import items_at, items_of
from tests.data.test_sources import picture, problems


@pytest.fixture
def tiles(tmp_path: Path) -> Path:
    """A zip of tiles."""
    for name in ("beach/a.png", "river/b.png"):
        picture(tmp_path / "set" / name)
    with zipfile.ZipFile(tmp_path / "tiles.zip", "w") as packed:
        for file in sorted((tmp_path / "set").rglob("*.png")):
            packed.write(file, file.relative_to(tmp_path / "set"))
    return tmp_path / "tiles.zip"


def test_a_zip_of_tiles_is_to_be_unpacked(tiles: Path, capsys: pytest.CaptureFixture[str]) -> None:
    there = {*tiles.parent.rglob("*")}
    assert main(["index", str(tiles), "--out", str(tiles.parent / "out")]) == 2
    (said,) = capsys.readouterr().err.splitlines()[-1:]
    assert said == (f"dtbh: {tiles}: no images or sounds here but what {tiles} may hold; unpack it and give its folder")
    command = ["prepare", "folders", "--images", str(tiles), "--out", str(tiles.parent / "out")]
    assert main(command) == 2
    assert f"{tiles}: a file; unpack it where it is an archive; give the folder" in capsys.readouterr().err
    assert {*tiles.parent.rglob("*")} == there
    (tiles.parent / "packed").mkdir()
    moved = tiles.rename(tiles.parent / "packed" / "tiles.zip")
    with pytest.raises(DataError, match=f"packed: no images or sounds here but what {moved} may hold"):
        items_at(moved.parent)
    picture(moved.parent / "a.png")
    assert [item.id for item in items_at(moved.parent)] == ["a.png"]


def test_a_workbook_is_to_be_saved_as_csv(tmp_path: Path) -> None:
    picture(tmp_path / "set" / "beach" / "a.png")
    book = tmp_path / "pairs.xlsx"
    with zipfile.ZipFile(book, "w") as packed:
        packed.writestr("[Content_Types].xml", "<Types/>")
        packed.writestr("xl/workbook.xml", "<workbook/>")
    said = f"{book}: can't be read as text (it is an Excel workbook, or another zip: save its sheet as CSV"
    assert said in problems(lambda: table(book))
    assert "it is an Excel workbook" in problems(lambda: folders(tmp_path / "set", captions=book))
    with pytest.raises(DataError, match=r"pairs\.xlsx: no images or sounds here"):
        items_at(book)


def test_a_tif_that_is_a_jpeg(tmp_path: Path) -> None:
    pixels = np.linspace(0, 255, 1600).reshape(40, 40).astype(np.uint8)
    Image.fromarray(pixels).convert("RGB").save(tmp_path / "a.jpg")
    (tmp_path / "b.tif").write_bytes((tmp_path / "a.jpg").read_bytes())
    assert [item.id for item in items_at(tmp_path)] == ["a.jpg", "b.tif"]
    np.testing.assert_array_equal(load_pixels(tmp_path / "b.tif", 40), load_pixels(tmp_path / "a.jpg", 40))
    pytest.importorskip("rasterio", reason="the extra geo is not installed")
    cut = [item for item in items_at(tmp_path, Tiling(20)) if item.window is not None]
    assert len(cut) == 4
    whole = np.concatenate([np.concatenate([load_pixels(media_of(item), 20) for item in cut[row : row + 2]], 2)
                            for row in (0, 2)], 1)  # fmt: skip
    np.testing.assert_allclose(whole.astype(int), load_pixels(tmp_path / "a.jpg", 40), atol=4)  # two JPEG decoders


def test_captions_that_nobody_has_spoken_are_left_aside(
    tiny_data: Path, tiny_run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model, spoken = load(tiny_run), read_manifest(tiny_data)
    images = [replace(item, path=os.path.relpath(tiny_data / str(item.path), tmp_path)) for item in spoken.images]
    sounds = [replace(item, path=None, transcript="a red square") for item in spoken.sounds]
    write_manifest(replace(spoken.replaced([*images, *sounds]), root=tmp_path))
    found = items_of(model, tmp_path, "all")
    assert [item.id for item in found] == [item.id for item in images]
    said = f"{tmp_path}: {len(sounds)} captions left aside, which nobody has spoken yet; dtbh speak {tmp_path}"
    assert said in capsys.readouterr().err
    write_manifest(replace(spoken.replaced(sounds), root=tmp_path))
    with pytest.raises(DataError, match="has no file yet; run: dtbh speak"):
        items_of(model, tmp_path, "all")
