"""Scenes that the tests write, cut into tiles."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from dtbh.data.manifest import Item
from dtbh.data.tiling import Tiling, cut, media_of
from dtbh.errors import ConfigError, MediaError
from dtbh.media.image import load_pixels
from dtbh.media.raster import Tile, picture
from dtbh.stages.inputs import items_at

rasterio = pytest.importorskip("rasterio", reason="the extra geo is not installed")
from rasterio.enums import Resampling  # noqa: E402
from rasterio.transform import Affine  # noqa: E402

pytestmark = pytest.mark.filterwarnings("ignore::PendingDeprecationWarning")  # within rasterio, of affine

UTM = "EPSG:32632"


def write_scene(path: Path, values: np.ndarray, *, crs: str | None = UTM, nodata: float | None = None) -> Path:
    """Bands [n, height, width], ten metres a pixel, its corner at 500,000 east and 5,250,000 north."""
    count, height, width = values.shape
    place = {"crs": crs, "transform": Affine(10, 0, 500_000, 0, -10, 5_250_000)} if crs else {}
    path.parent.mkdir(parents=True, exist_ok=True)
    with rasterio.open(
        path, "w", driver="GTiff", width=width, height=height, count=count, dtype=values.dtype, nodata=nodata, **place
    ) as scene:
        scene.write(values)
    return path


def ramp(bands: int, height: int, width: int, dtype=np.uint16) -> np.ndarray:
    rng = np.random.default_rng(0)
    return rng.integers(1, 200 if dtype == np.uint8 else 4000, (bands, height, width)).astype(dtype)


@pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")
@pytest.mark.parametrize(
    ("width", "height", "cutting", "columns", "rows"),
    [
        (64, 32, Tiling(32), [0, 32], [0]),
        (70, 32, Tiling(32), [0, 32, 38], [0]),
        (64, 48, Tiling(32, 16), [0, 16, 32], [0, 16]),
        (20, 50, Tiling(32), [0], [0, 18]),
        (32, 32, Tiling(32, 100), [0], [0]),
    ],
)
def test_every_pixel_is_in_a_tile(tmp_path, width, height, cutting, columns, rows) -> None:
    items = cut(write_scene(tmp_path / "a.tif", ramp(1, height, width)), "a.tif", cutting)
    size = cutting.size
    assert [item.window for item in items] == [
        (column, row, min(size, width), min(size, height)) for row in rows for column in columns
    ]
    covered = np.zeros((height, width), bool)
    for item in items:
        column, row, w, h = item.window
        covered[row : row + h, column : column + w] = True
    assert covered.all()
    assert items[0].id == "a.tif@0,0"
    assert items[0].path == str((tmp_path / "a.tif").resolve())


def test_footprints_are_longitude_and_latitude(tmp_path) -> None:
    first, second = cut(write_scene(tmp_path / "a.tif", ramp(3, 32, 64)), "a", Tiling(32))
    (west, north), (east, _), (_, south), _ = first.footprint
    assert (west, north) == pytest.approx((9.0, 47.4), abs=0.01)  # the middle of zone 32 is 9 degrees east
    assert (east - west) * 111_320 * math.cos(math.radians(north)) == pytest.approx(320, rel=0.01)
    assert (north - south) * 111_320 == pytest.approx(320, rel=0.01)
    assert second.footprint[0] == pytest.approx(first.footprint[1], abs=1e-6)


@pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")
def test_a_scene_that_is_nowhere_has_no_footprints(tmp_path) -> None:
    (item,) = cut(write_scene(tmp_path / "a.tif", ramp(3, 32, 32), crs=None), "a", Tiling(32))
    assert item.footprint is None


def test_bands_and_range_are_shown_as_asked(tmp_path) -> None:
    values = np.zeros((4, 32, 32), np.uint16)
    values[0], values[1], values[2], values[3] = 10, 0, 1500, 3000
    path = write_scene(tmp_path / "a.tif", values)
    (item,) = cut(path, "a", Tiling(32, bands=(4, 3, 2), range=(0, 3000)))
    assert item.fields == {"scene": "a", "bands": "4,3,2", "range": "0,3000 0,3000 0,3000"}
    tile = media_of(item)
    assert tile == Tile(path.resolve(), (0, 0, 32, 32), (4, 3, 2), ((0.0, 3000.0),) * 3)
    assert np.asarray(picture(tile))[5, 5].tolist() == [255, 128, 0]
    assert load_pixels(tile, 16).shape == (3, 16, 16)
    (grey,) = cut(path, "a", Tiling(32, bands=(3,), range=(0, 3000)))
    assert np.asarray(picture(media_of(grey)))[5, 5].tolist() == [128, 128, 128]


def test_eight_bits_stay_as_they_are_and_others_are_stretched_by_percentiles(tmp_path) -> None:
    values = ramp(3, 64, 64, np.uint8)
    first = cut(write_scene(tmp_path / "a.tif", values), "a", Tiling(32))[1]
    np.testing.assert_array_equal(np.asarray(picture(media_of(first))), values[:, :32, 32:].transpose(1, 2, 0))
    deep = ramp(3, 64, 64)
    item = cut(write_scene(tmp_path / "b.tif", deep), "b", Tiling(32))[0]
    for band, (low, high) in zip(deep, media_of(item).ranges, strict=True):
        assert (low, high) == pytest.approx(tuple(np.percentile(band, [2, 98])), rel=0.05)


def test_tiles_without_data_are_left_out_and_holes_are_black(tmp_path) -> None:
    values = ramp(1, 32, 128).astype(np.float32)
    values[:, :, 32:64] = -9999  # said to be no data
    values[:, :, 64:96] = 0  # zero in every band
    values[0, :16, 96:] = np.nan  # half a tile
    items = cut(write_scene(tmp_path / "a.tif", values, nodata=-9999), "a", Tiling(32))
    assert [item.window[0] for item in items] == [0, 96]
    pixels = np.asarray(picture(media_of(items[1])))
    assert not pixels[:16].any()
    assert pixels[16:].any()


def test_large_tiles_are_read_from_overviews_that_will_do(tmp_path) -> None:
    """Overviews are known by what they say: each of one grey, which the scene itself nowhere is."""
    path, greys = tmp_path / "a.tif", {1: 10, 2: 20, 4: 40, 8: 80}
    write_scene(path, np.full((3, 512, 512), greys[1], np.uint8))
    with rasterio.open(path, "r+") as scene:
        scene.build_overviews([2, 4, 8], Resampling.average)
    for number, times in enumerate((2, 4, 8)):
        with rasterio.open(path, "r+", overview_level=number) as overview:
            overview.write(np.full((3, 512 // times, 512 // times), greys[times], np.uint8))
    tile = Tile(path, (8, 16, 400, 480))
    for size, times in ((16, 8), (25, 8), (26, 4), (50, 4), (51, 2), (100, 2), (101, 1), (400, 1)):
        assert np.unique(load_pixels(tile, size)).tolist() == [greys[times]], size
    assert picture(tile).size == (400, 480), "the tile itself is shown as it is"
    assert picture(tile, least=100).size == (100, 120)
    assert np.unique(picture(tile)).tolist() == [greys[1]]


def test_what_is_empty_is_so_with_overviews_too(tmp_path) -> None:
    values = np.zeros((1, 256, 512), np.uint8)
    values[:, :, :40], values[:, 100:103, 300] = 9, 9  # of the first tile enough, of the second a speck
    path = write_scene(tmp_path / "a.tif", values, nodata=0)
    alone = [item.window for item in cut(path, "a.tif", Tiling(256))]
    with rasterio.open(path, "r+") as scene:
        scene.build_overviews([2, 4], Resampling.average)
    assert [item.window for item in cut(path, "a.tif", Tiling(256))] == alone == [(0, 0, 256, 256)]


def test_a_folder_of_scenes(tmp_path) -> None:
    write_scene(tmp_path / "x" / "a.tif", ramp(3, 64, 64))
    Image.new("RGB", (8, 8), "red").save(tmp_path / "x" / "b.png")
    items = items_at(tmp_path, Tiling(32))
    assert [item.id for item in items] == [f"x/a.tif@{c},{r}" for r in (0, 32) for c in (0, 32)] + ["x/b.png"]
    assert items[-1].window is None
    assert len(items_at(tmp_path)) == 2


@pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")
def test_what_is_wrong_is_named(tmp_path) -> None:
    path = write_scene(tmp_path / "a.tif", ramp(2, 32, 32))
    with pytest.raises(MediaError, match=r"a.tif: has bands 1 to 2, wanted band 4; give others to --bands"):
        cut(path, "a", Tiling(32, bands=(4, 3, 2)))
    broken = tmp_path / "broken.tif"
    broken.write_bytes(path.read_bytes()[:200])
    with pytest.raises(MediaError, match=r"broken.tif: a scene that can't be read"):
        cut(broken, "broken", Tiling(32))
    text = tmp_path / "text.tif"
    text.write_text("no picture")
    with pytest.raises(MediaError, match=r"text.tif: a scene that can't be read"):
        cut(text, "text", Tiling(32))
    with pytest.raises(MediaError, match=r"no window \[0, 0, 64, 32\] in it"):
        picture(Tile(path, (0, 0, 64, 32)))
    with pytest.raises(MediaError, match=r"gone.tif: no such file"):
        picture(Tile(tmp_path / "gone.tif", (0, 0, 8, 8)))
    with pytest.raises(MediaError, match="item t: its bands or range can't be read"):
        media_of(Item("t", "image", "a.tif", window=(0, 0, 8, 8), fields={"bands": "red"}))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"size": 4}, "--tile 4: wanted 8 pixels or more"),
        ({"stride": 0}, "--stride 0"),
        ({"bands": (1, 2)}, "--bands 1,2: wanted one band or three"),
        ({"bands": (0,)}, "--bands 0"),
        ({"range": (3.0, 3.0)}, "--range 3,3: wanted lowest,highest"),
        ({"range": (0.0, math.inf)}, "--range 0,inf"),
    ],
)
def test_cuttings_that_can_not_be(settings, message) -> None:
    with pytest.raises(ConfigError, match=message):
        Tiling(**settings)


def test_a_cutting_goes_to_another_process() -> None:
    for cutting in (Tiling(), Tiling(64, 32, (4, 3, 2), (0.0, 3000.0))):
        assert Tiling.from_json(cutting.to_json()) == cutting
