"""Images: reading any mode, turning, cutting, refusing."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
import torch
from PIL import Image

from dtbh.errors import MediaError
from dtbh.features.image import load_image, to_float


def picture(height=32, width=32, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


def save(path, array, mode=None, **settings):
    image = Image.fromarray(array)
    (image.convert(mode) if mode else image).save(path, **settings)
    return path


def test_pixels_as_they_are_where_nothing_is_to_be_done(tmp_path):
    pixels = load_image(save(tmp_path / "a.png", picture()), 32)
    assert pixels.dtype == torch.uint8
    assert pixels.is_contiguous()
    np.testing.assert_array_equal(pixels.permute(1, 2, 0), picture())


@pytest.mark.parametrize("suffix", ["png", "tif", "bmp", "jpg", "webp", "gif"])
def test_types(tmp_path, suffix):
    smooth = np.repeat(np.linspace(0, 250, 32).astype(np.uint8)[:, None, None], 3, axis=2).repeat(32, axis=1)
    pixels = load_image(save(tmp_path / f"a.{suffix}", smooth), 32)
    assert np.abs(pixels.permute(1, 2, 0).numpy().astype(int) - smooth).max() < 12


@pytest.mark.parametrize("mode", ["1", "L", "P", "LA", "RGBA", "CMYK", "YCbCr"])
def test_modes(tmp_path, mode):
    colour = np.full((32, 32, 3), (255, 255, 255), np.uint8)
    colour[:16] = 0
    suffix = "jpg" if mode == "YCbCr" else "tif"
    pixels = load_image(save(tmp_path / f"a.{suffix}", colour, mode), 32)
    np.testing.assert_allclose(pixels.permute(1, 2, 0), colour, atol=2)


@pytest.mark.parametrize("mode", ["RGBA", "P", "L"])
def test_transparent_pixels_are_black(tmp_path, mode):
    if mode == "RGBA":
        white = np.full((32, 32, 4), 255, np.uint8)
        white[:16, :, 3] = 0
        path = save(tmp_path / "a.png", white)
    else:  # one palette entry or grey value is the transparent one
        grey = np.full((32, 32), 255, np.uint8)
        grey[:16] = 200
        image = Image.fromarray(grey).convert(mode)
        path = tmp_path / "a.png"
        image.save(path, transparency=image.getpixel((0, 0)))
    pixels = load_image(path, 32)
    assert not pixels[:, :16].any()
    assert (pixels[:, 16:] == 255).all()


def test_sixteen_bits_are_scaled(tmp_path):
    ramp = np.linspace(0, 65535, 32 * 32).reshape(32, 32).astype(np.uint16)
    pixels = load_image(save(tmp_path / "a.png", ramp), 32)
    assert np.abs(pixels[0].numpy() - ramp / 257).max() < 1.01
    save(tmp_path / "b.tif", ramp)
    np.testing.assert_array_equal(load_image(tmp_path / "b.tif", 32), pixels)


@pytest.mark.parametrize("top", [1.0, 255.0, 65535.0, 1e6])
def test_float_greys_are_scaled_by_the_range_that_holds_them(tmp_path, top):
    ramp = np.linspace(0, top, 32 * 32).reshape(32, 32).astype(np.float32)
    pixels = load_image(save(tmp_path / "a.tif", ramp), 32)
    assert np.abs(pixels[0].numpy() - ramp / top * 255).max() < 0.51


def test_exif_says_what_is_up(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned clockwise by a quarter
    pixels = load_image(save(tmp_path / "a.png", picture(), exif=exif), 32)
    np.testing.assert_array_equal(pixels.permute(1, 2, 0), np.rot90(picture(), -1))


@pytest.mark.parametrize("tall", [True, False])
def test_the_middle_square_is_kept(tmp_path, tall):
    wide = np.zeros((20, 60, 3), np.uint8)
    wide[:, :20], wide[:, 20:40], wide[:, 40:] = 10, 120, 240
    pixels = load_image(save(tmp_path / "a.png", wide.transpose(1, 0, 2) if tall else wide), 40)
    assert pixels.shape == (3, 40, 40)
    assert (pixels[:, 5:-5, 5:-5] == 120).all()  # bicubic overshoots at the edges
    assert int(pixels.min()) > 80
    assert int(pixels.max()) < 160


def test_smaller_images_are_antialiased(tmp_path):
    stripes = np.zeros((64, 64, 3), np.uint8)
    stripes[:, ::2] = 255
    inner = load_image(save(tmp_path / "a.png", stripes), 8)[:, :, 1:-1]
    assert 120 < int(inner.min()) <= int(inner.max()) < 136


def bad_files(folder):
    png = save(folder / "whole.png", picture()).read_bytes()
    jpeg = save(folder / "whole.jpg", picture()).read_bytes()
    tiff = save(folder / "whole.tif", picture()).read_bytes()
    (folder / "folder.png").mkdir()
    (folder / "empty.png").write_bytes(b"")
    (folder / "text.png").write_text("no picture at all")
    for name, content in (("cut.png", png), ("cut.jpg", jpeg), ("cut.tif", tiff)):
        (folder / name).write_bytes(content[: len(content) // 2])
    (folder / "head.png").write_bytes(png[:20])
    (folder / "flipped.png").write_bytes(png[:60] + bytes([png[60] ^ 255]) + png[61:])
    save(folder / "bomb.png", np.zeros((200, 200, 3), np.uint8))
    (folder / "zero.pgm").write_bytes(b"P5 0 4 255\n")


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("missing.png", "no such file"),
        ("folder.png", "a folder"),
        ("empty.png", "0 bytes"),
        ("text.png", "not an image"),
        ("cut.png", "damaged or cut short"),
        ("cut.jpg", "damaged or cut short"),
        ("cut.tif", "damaged or cut short|not an image"),
        ("head.png", "damaged or cut short|not an image"),
        ("flipped.png", "damaged or cut short"),
        ("bomb.png", "over 30000 pixels"),
        ("zero.pgm", "damaged|not an image|0 x 4"),
    ],
)
def test_bad_files_are_refused_in_one_line_with_their_name(tmp_path, monkeypatch, name, why):
    bad_files(tmp_path)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 30000)
    with pytest.raises(MediaError, match=why) as caught:
        load_image(tmp_path / name, 16)
    assert str(caught.value).startswith(f"{tmp_path / name}: ")
    assert "\n" not in str(caught.value)
    assert ";" in str(caught.value)


def test_real_images(shared_data):
    paths = sorted((shared_data / "ucm" / "Images").glob("*/*"))[::500]
    assert paths
    for path in paths:
        assert load_image(path, 64).float().std() > 1


def test_to_float():
    batch = torch.stack([torch.full((4, 5), value, dtype=torch.uint8) for value in (0, 51, 255)])[None]
    found = to_float(batch, (0.5, 0.2, 0.0), (0.5, 0.1, 2.0))
    assert found.dtype == torch.float32
    torch.testing.assert_close(found[0, :, 0, 0], torch.tensor([-1.0, 0.0, 0.5]), atol=1e-6, rtol=0)
    with pytest.raises(ValueError, match="uint8"):
        to_float(batch.float(), (0.5,) * 3, (0.5,) * 3)


def heights(low: float, high: float) -> np.ndarray:
    """A slope, float32 [32, 32]."""
    return np.linspace(low, high, 32 * 32).reshape(32, 32).astype(np.float32)


@pytest.mark.parametrize(
    "values",
    [heights(210, 890), heights(288, 312), heights(-400, -20), heights(27000, 28800).astype(np.uint16),
     heights(200, 900).astype(np.int32)],
    ids=["heights", "kelvin", "below the sea", "thermal, 16 bits", "whole numbers"],
)  # fmt: skip
def test_heights_and_heat_are_stretched_to_their_own_range(tmp_path, values):
    Image.fromarray(values).save(tmp_path / "band.tif")
    pixels = load_image(tmp_path / "band.tif", 32).numpy()
    assert (pixels.min(), pixels.max()) == (0, 255)
    rows = pixels[0].astype(int).mean(axis=1)
    assert (np.diff(rows) > 0).all(), "higher is lighter"


@pytest.mark.parametrize(("nothing", "said"), [(-9999.0, False), (1234.0, True), (np.nan, False), (np.inf, False)])
def test_what_holds_no_data_is_black_and_does_not_count(tmp_path, nothing, said):
    values = heights(210, 890)
    values[:8] = nothing
    Image.fromarray(values).save(tmp_path / "band.tif", tiffinfo={42113: "1234"} if said else {})
    pixels = load_image(tmp_path / "band.tif", 32).numpy()[0].astype(int)
    assert (pixels[:7] == 0).all()
    assert pixels[31].min() > 200
    assert (np.diff(pixels[9:].mean(axis=1)) > 0).all()


def test_a_raster_of_a_kind_that_photographs_are_not_says_how_it_is_read(tmp_path):
    rasterio = pytest.importorskip("rasterio", reason="scenes need the extra geo")
    shape = {"width": 32, "height": 32, "count": 1, "transform": rasterio.Affine(2, 0, 0, 0, -2, 0)}
    with rasterio.open(tmp_path / "f64.tif", "w", driver="GTiff", dtype="float64", nodata=-1, **shape) as file:
        file.write(heights(210, 890).astype(np.float64), 1)
    with pytest.raises(MediaError, match=r"f64\.tif: not an image that can be read; .* or give --tile 256"):
        load_image(tmp_path / "f64.tif", 32)


@pytest.mark.parametrize(("side", "at_most"), [(62, 0), (64, 1), (301, 0), (302, 1), (304, 1)])
def test_a_large_jpeg_is_decoded_small_and_looks_the_same(side, at_most, tmp_path):
    rough = np.random.default_rng(0).integers(0, 256, (6, 6, 3), np.uint8)
    Image.fromarray(rough).resize((side, side), Image.Resampling.BICUBIC).save(tmp_path / "a.jpg", quality=95)
    Image.open(tmp_path / "a.jpg").save(tmp_path / "a.png")  # decoded as a whole
    small, whole = (load_image(tmp_path / name, 16).numpy().astype(int) for name in ("a.jpg", "a.png"))
    assert (np.abs(small - whole).mean() > 0) == (at_most > 0)  # from four times the size on, by whole pixels
    assert np.abs(small - whole).mean() <= at_most


@pytest.mark.parametrize("block", [100, 1 << 20])
def test_deep_and_see_through_images_are_the_same_block_by_block(block, tmp_path, monkeypatch):
    monkeypatch.setattr("dtbh.media.deep_grey.BLOCK", block)
    rng = np.random.default_rng(0)
    values = (200 + 60 * rng.random((40, 40))).astype(np.float32)
    Image.fromarray(values).save(tmp_path / "heights.tif")
    low, high = np.percentile(values.astype(np.float64), (2, 98))
    stretched = ((values.astype(np.float64) - low) / (high - low)).clip(0, 1) * 255
    np.testing.assert_array_equal(load_image(tmp_path / "heights.tif", 40)[0], stretched.round())
    clear = rng.integers(0, 256, (40, 40, 4), dtype=np.uint8)
    Image.fromarray(clear).save(tmp_path / "clear.png")
    black = Image.new("RGBA", (40, 40), (0, 0, 0, 255))
    wanted = np.asarray(Image.alpha_composite(black, Image.fromarray(clear)))[..., :3]
    np.testing.assert_array_equal(load_image(tmp_path / "clear.png", 40).permute(1, 2, 0), wanted)


def test_of_many_values_a_part_gives_nearly_the_same_stretch(tmp_path, monkeypatch):
    values = (200 + 60 * np.random.default_rng(0).random((200, 200))).astype(np.float32)
    values[:50] = np.nan
    Image.fromarray(values).save(tmp_path / "a.tif")
    whole = load_image(tmp_path / "a.tif", 200).numpy().astype(int)
    monkeypatch.setattr("dtbh.media.deep_grey.SAMPLE", 3000)
    monkeypatch.setattr("dtbh.media.deep_grey.BLOCK", 1000)
    part = load_image(tmp_path / "a.tif", 200).numpy().astype(int)
    assert 0 < np.abs(part - whole).max() <= 3


PEAK = """
import resource, sys
from dtbh.media.image import load_pixels
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
load_pixels(sys.argv[1], 64)
print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="memory is counted otherwise elsewhere")
@pytest.mark.parametrize(("kind", "at_most"), [("F", 16), ("I;16", 16), ("RGBA", 10)])
def test_a_large_image_takes_little_more_than_its_pixels(kind, at_most, tmp_path):
    image = Image.new(kind, (3000, 3000), 300 if kind != "RGBA" else (1, 2, 3, 4))
    image.save(tmp_path / "a.tif")
    done = subprocess.run(
        [sys.executable, "-c", PEAK, str(tmp_path / "a.tif")], check=True, capture_output=True, text=True
    )
    assert float(done.stdout) < at_most * 9, "bytes of a pixel"
