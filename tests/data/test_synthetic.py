from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from dtbh.data.manifest import Item, Manifest, read_manifest, write_manifest
from dtbh.data.synthetic.drawing import Pen
from dtbh.data.synthetic.generate import SCENES, WORDS, caption, draw
from dtbh.errors import ConfigError, DataError


def digest(folder: Path) -> str:
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return hashlib.sha256(b"".join(path.name.encode() + path.read_bytes() for path in files)).hexdigest()


def test_manifest_has_all_classes_pairs_and_captions(tmp_path: Path) -> None:
    manifest = draw(tmp_path / "d", per_class=3, size=48, captions=5)
    assert manifest == read_manifest(tmp_path / "d")
    assert manifest.source == "synthetic"
    assert manifest.labels == tuple(sorted(SCENES))
    assert len(manifest.images) == 30
    assert len(manifest.sounds) == 150
    said: dict[str, set[str]] = {}
    for sound in manifest.sounds:
        assert sound.path is None
        assert sound.split is None
        assert sound.transcript
        assert sound.pair
        said.setdefault(sound.pair, set()).add(sound.transcript)
    assert set(said) == {image.pair for image in manifest.images}
    assert all(len(texts) == 5 for texts in said.values())
    for image in manifest.images:
        with Image.open(manifest.file(image)) as picture:
            assert picture.size == (48, 48)


def test_captions_speak_of_their_own_class_only(tmp_path: Path) -> None:
    assert set(WORDS) == set(SCENES)
    for sound in draw(tmp_path / "d", per_class=8, size=32, captions=5).sounds:
        text = (sound.transcript or "").lower()
        named = {label for label, words in WORDS.items() if any(word in text for word in words)}
        assert named == {sound.label}, text


def test_captions_count_what_is_drawn() -> None:
    """Colours and numbers come from the drawing: red courts are red on average, one court is no 'courts'."""
    seen = set()
    for seed in range(40):
        pen = Pen(np.random.default_rng(seed), 64)
        scene = SCENES["tennis court"](pen)
        middle = np.asarray(pen.finish(), np.float64).mean((0, 1))
        assert ("tennis courts" in scene.names[1]) == (not scene.names[1].startswith("one"))
        for colour in ("red", "blue"):
            if f" {colour} tennis" in scene.names[1]:
                seen.add((colour, middle[0] - middle[2]))
    red = [gap for colour, gap in seen if colour == "red"]
    blue = [gap for colour, gap in seen if colour == "blue"]
    assert len(red) > 2
    assert len(blue) > 2
    assert np.mean(red) > np.mean(blue)


def test_grammar_of_captions() -> None:
    for name, scene_of in SCENES.items():
        rng = np.random.default_rng(3)
        scene = scene_of(Pen(rng, 32))
        for _ in range(60):
            text = caption(scene, rng)
            assert text.endswith("."), name
            assert text[0].isupper(), name
            assert "{" not in text
            for wrong in (
                "is many",
                "are a ",
                "is two",
                "are one",
                "trees is",
                "grass are",
                "water are",
                "sand are",
            ):
                assert wrong not in text, text


def test_same_seed_same_bytes_other_seed_other_pictures(tmp_path: Path) -> None:
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        draw(tmp_path / name, classes=10, per_class=2, size=40, captions=2, seed=seed)
    assert digest(tmp_path / "a") == digest(tmp_path / "b")
    assert digest(tmp_path / "a") != digest(tmp_path / "c")


def test_pictures_differ_and_are_not_flat(tmp_path: Path) -> None:
    manifest = draw(tmp_path / "d", per_class=4, size=48)
    pixels = [np.asarray(Image.open(manifest.file(image)), np.float64) for image in manifest.images]
    for number, one in enumerate(pixels):
        assert one.std() > 8
        for other in pixels[:number]:
            assert np.abs(one - other).mean() > 4


def test_up_to_date_folder_stays_with_its_spoken_clips(tmp_path: Path) -> None:
    out = tmp_path / "d"
    manifest = draw(out, classes=2, per_class=2, size=32)
    spoken = [
        item if item.modality == "image" else Item(**{**item.to_dict(), "path": "sounds/x.flac"}) for item in manifest
    ]  # type: ignore[arg-type]
    write_manifest(Manifest(tuple(spoken), out, "synthetic", {**manifest.settings, "speech": {"seed": 0}}))
    assert draw(out, classes=2, per_class=2, size=32).sounds[0].path == "sounds/x.flac"
    assert draw(out, classes=2, per_class=2, size=32, seed=1).sounds[0].path is None


def test_classes_takes_the_first(tmp_path: Path) -> None:
    assert set(draw(tmp_path / "d", classes=3, per_class=1, size=32).labels) == set(list(SCENES)[:3])


@pytest.mark.parametrize(
    ("name", "value"),
    [("classes", 1), ("classes", 11), ("per_class", 0), ("size", 8), ("captions", 0), ("captions", 6)],
)
def test_arguments_out_of_range(tmp_path: Path, name: str, value: int) -> None:
    with pytest.raises(ConfigError, match=f"{name}: .* is wanted, found {value}"):
        draw(tmp_path / "d", **{name: value})  # type: ignore[arg-type]
    assert not (tmp_path / "d").exists()


def test_a_folder_of_something_else_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "letters.txt").write_text("mine")
    with pytest.raises(DataError, match="was not drawn here"):
        draw(tmp_path, classes=2, per_class=1, size=32)
    assert [path.name for path in tmp_path.iterdir()] == ["letters.txt"]
