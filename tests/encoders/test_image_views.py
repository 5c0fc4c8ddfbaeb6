"""The views that are kept of a training image: orientations, and others in which things are larger or smaller."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image

from dtbh.config import ImageTower, make_config
from dtbh.encoders.cached_readers import image_views, reader_for, zoomed
from dtbh.encoders.dual_encoder import DualEncoder
from dtbh.encoders.tta import oriented
from dtbh.errors import ConfigError
from dtbh.features.image import load_image


@pytest.fixture
def picture(tmp_path):
    path = tmp_path / "a.png"
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (40, 40, 3), dtype=np.uint8)).save(path)
    return path


@pytest.mark.parametrize(("zoom", "side"), [(50, 32), (35, 46), (99, 17)])
def test_a_crop_is_a_square_of_the_image_in_some_orientation(picture, zoom, side):
    found = zoomed(picture, 16, zoom)
    assert found.shape == (3, 16, 16)
    assert found.dtype == torch.uint8
    whole = load_image(picture, side)
    squares = (
        oriented(whole[:, top : top + 16, left : left + 16], view)
        for top in range(side - 15)
        for left in range(side - 15)
        for view in range(8)
    )
    assert any(torch.equal(found, square) for square in squares)
    assert torch.equal(found, zoomed(picture, 16, zoom))


@pytest.mark.parametrize(("zoom", "side"), [(160, 10), (400, 4)])
def test_beyond_its_edges_an_image_goes_on_mirrored(picture, zoom, side):
    found = zoomed(picture, 16, zoom)
    before = (16 - side) // 2
    image = load_image(picture, side)
    there = [(k - before) % (2 * side) for k in range(16)]
    there = [k if k < side else 2 * side - 1 - k for k in there]
    wanted = torch.stack([torch.stack([image[:, y, x] for x in there], 1) for y in there], 1)
    assert any(torch.equal(found, oriented(wanted, view)) for view in range(8))


def test_crops_of_different_images_lie_in_different_places(tmp_path):
    rng, places = np.random.default_rng(1), set()
    for number in range(12):
        path = tmp_path / f"{number}.png"
        ramp = np.add.outer(10 * np.arange(20), np.arange(20))  # tells the place
        Image.fromarray(np.stack([ramp, ramp, rng.integers(0, 9, (20, 20))], 2).astype(np.uint8)).save(path)
        places.add(int(zoomed(path, 10, 50)[0].min()))
    assert len(places) > 6


def test_training_sees_the_crops_and_encoding_does_not(picture, tmp_path, monkeypatch):
    monkeypatch.setenv("DTBH_CACHE", str(tmp_path / "cache"))
    image = {"backbone": "small_cnn", "weights": "none", "size": 16, "views": 2, "zooms": [55, 160]}
    twin = DualEncoder(make_config({"encoders": {"image": image, "sound": None, "bits": 8}}).encoders)
    cpu = torch.device("cpu")
    assert len(reader_for(twin, "image", [picture], device=cpu).outputs[0]) == 1
    seen = reader_for(twin, "image", [picture], device=cpu, training=True).outputs[0]
    views = [
        load_image(picture, 16),
        oriented(load_image(picture, 16), 1),
        zoomed(picture, 16, 55),
        zoomed(picture, 16, 160),
    ]
    with torch.inference_mode():
        wanted = torch.stack([twin.tower("image").eval().outputs(view[None])[0][0] for view in views])
    torch.testing.assert_close(seen, wanted)


def test_numbers_of_views():
    assert image_views(ImageTower(views=3)) == [0, 1, 2]
    assert image_views(ImageTower(views=1, zooms=(55, 160))) == [0, 63, 168]
    with pytest.raises(ConfigError, match="zooms"):
        make_config({"encoders": {"image": {"zooms": [401]}}})
