from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soundfile
from PIL import Image

from dtbh.data.checks import check, look_at_image, look_at_sound
from dtbh.data.manifest import Item
from dtbh.errors import MediaError

RATE = 8000


def picture(path: Path, seed: int = 0, size: int = 64) -> Path:
    pixels = np.random.default_rng(seed).integers(0, 256, (size, size, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(path)
    return path


def sound(path: Path, seed: int = 0, seconds: float = 1.0) -> Path:
    samples = np.random.default_rng(seed).uniform(-0.5, 0.5, int(RATE * seconds))
    soundfile.write(path, samples, RATE)
    return path


def halved(path: Path) -> Path:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    return path


def pair(tmp_path: Path) -> list[Item]:
    return [
        Item("i", "image", str(picture(tmp_path / "i.png")), "beach"),
        Item("s", "sound", str(sound(tmp_path / "s.wav")), "beach"),
    ]


def test_sound_data_has_no_findings(tmp_path: Path) -> None:
    found = check(pair(tmp_path))
    assert (found.problems, found.warnings) == ((), ())


def test_relative_paths_start_at_root(tmp_path: Path) -> None:
    pair(tmp_path)
    items = [Item("i", "image", "i.png", "beach"), Item("s", "sound", "s.wav", "beach")]
    assert check(items, root=tmp_path).problems == ()
    assert len(check(items, root=tmp_path / "elsewhere").problems) == 2


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".tif", ".bmp", ".gif", ".webp"])
def test_image_cut_in_half(tmp_path: Path, suffix: str) -> None:
    path = picture(tmp_path / f"x{suffix}")
    assert look_at_image(path)[0]
    with pytest.raises(MediaError, match=rf"x\{suffix}: "):
        look_at_image(halved(path))


@pytest.mark.parametrize("suffix", [".wav", ".aiff", ".flac", ".ogg", ".opus"])
def test_sound_cut_in_half(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"x{suffix}"
    opus = {"format": "OGG", "subtype": "OPUS"} if suffix == ".opus" else {}
    soundfile.write(path, np.random.default_rng(0).uniform(-0.5, 0.5, 3 * RATE), RATE, **opus)
    assert look_at_sound(path)[0]
    with pytest.raises(MediaError, match=rf"x\{suffix}: (cut short|can't be read)"):
        look_at_sound(halved(path))


def test_streamed_wav_has_no_length_to_fall_short_of(tmp_path: Path) -> None:
    path = sound(tmp_path / "x.wav")
    raw = bytearray(path.read_bytes())
    raw[4:8] = raw[40:44] = b"\xff\xff\xff\xff"
    assert raw[36:40] == b"data"
    path.write_bytes(raw)
    assert look_at_sound(path)[0]


def test_wav_with_a_chunk_of_odd_length(tmp_path: Path) -> None:
    path = sound(tmp_path / "x.wav")
    raw = path.read_bytes()
    assert raw[36:40] == b"data"
    path.write_bytes(raw[:36] + b"note\x03\x00\x00\x00abc\x00" + raw[36:])
    assert look_at_sound(path)[0]
    path.write_bytes(path.read_bytes()[:-2])
    with pytest.raises(MediaError, match="cut short"):
        look_at_sound(path)


@pytest.mark.parametrize(("name", "modality"), [("x.jpg", "image"), ("x.wav", "sound")])
def test_missing_empty_and_foreign(tmp_path: Path, name: str, modality: str) -> None:
    path = tmp_path / name
    item = Item("x", modality, str(path), "beach")  # type: ignore[arg-type]
    assert check([item]).problems == (f"{path}: no such file",)
    path.write_bytes(b"")
    assert check([item]).problems == (f"{path}: empty, 0 bytes; replace or remove it",)
    path.write_bytes(b"no media at all" * 10)
    assert len(check([item]).problems) == 1
    assert "can" in check([item]).problems[0]
    path.unlink()
    path.mkdir()
    wanted = {"image": "an image", "sound": "a sound"}[modality]
    assert check([item]).problems == (f"{path}: a folder, {wanted} file wanted; give the files in it",)


def test_sound_without_samples(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "x.wav", np.zeros(0), RATE)
    with pytest.raises(MediaError, match=r"x\.wav: no samples in it"):
        look_at_sound(tmp_path / "x.wav")


def test_sound_with_samples_that_are_no_numbers(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "x.wav", np.array([0.1, np.nan]), RATE, subtype="FLOAT")
    with pytest.raises(MediaError, match=r"x\.wav: .*no finite numbers"):
        look_at_sound(tmp_path / "x.wav")


def test_silent_sound_is_a_warning(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "x.wav", np.zeros(100), RATE)
    found = check([Item("x", "sound", str(tmp_path / "x.wav"), "beach")])
    assert found.problems == ()
    assert found.warnings[0] == f"{tmp_path / 'x.wav'}: silent, every sample is zero"


@pytest.mark.parametrize("limit", [1000, 3000])  # Pillow raises above twice the limit and warns below that
def test_decompression_bomb(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, limit: int) -> None:
    path = picture(tmp_path / "x.png")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", limit)
    found = check([Item("x", "image", str(path), "beach")])
    assert len(found.problems) == 1
    assert found.problems[0].startswith(f"{path}: too many pixels")


def test_bomb_without_the_filters_of_check(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = picture(tmp_path / "x.png")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 3000)
    with (
        pytest.warns(Image.DecompressionBombWarning),
        pytest.raises(MediaError, match="64 × 64 pixels, more"),
    ):
        look_at_image(path)


def test_all_problems_at_once_in_order(tmp_path: Path) -> None:
    items = [Item(f"i{n}", "image", str(tmp_path / f"i{n}.png"), "beach") for n in range(40)]
    for n in range(0, 40, 2):
        picture(tmp_path / f"i{n}.png", seed=n, size=4)
    problems = check(items, workers=4).problems
    assert problems == tuple(f"{tmp_path / f'i{n}.png'}: no such file" for n in range(1, 40, 2))


def test_same_image_in_two_splits_whatever_its_type(tmp_path: Path) -> None:
    picture(tmp_path / "a.png")
    Image.open(tmp_path / "a.png").save(tmp_path / "b.tif")
    items = [
        Item("a", "image", str(tmp_path / "a.png"), "beach", split="train"),
        Item("b", "image", str(tmp_path / "b.tif"), "beach", split="test"),
        Item("c", "image", str(picture(tmp_path / "c.png", seed=1)), "beach", split="test"),
    ]
    (warning,) = check(items).warnings[:1]
    assert warning.startswith("the same image in the splits test and train: a (")
    assert "b.tif" in warning
    assert "c.png" not in warning


def test_deep_images_that_look_alike_in_eight_bits_differ(tmp_path: Path) -> None:
    items = []
    for n in (1000, 2000):
        path = tmp_path / f"{n}.tif"
        Image.fromarray(np.full((4, 4), n, dtype=np.uint16)).save(path)
        items.append(Item(str(n), "image", str(path), "beach"))
    assert not any("same image" in line for line in check(items).warnings)


def test_same_sound_twice(tmp_path: Path) -> None:
    sound(tmp_path / "a.wav")
    (tmp_path / "b.wav").write_bytes((tmp_path / "a.wav").read_bytes())
    items = [Item(n, "sound", str(tmp_path / f"{n}.wav"), "beach") for n in "ab"]
    assert check(items).warnings[0].startswith("the same sound 2 times: a (")


def test_one_sided_classes_and_missing_labels(tmp_path: Path) -> None:
    items = pair(tmp_path)
    items += [Item("t", "sound", label="river"), Item("u", "sound"), Item("v", "sound")]
    assert check(items).warnings == (
        "class river: sounds but no images",
        "2 without a label, so they are relevant to nothing: u, v",
    )


def test_images_alone_want_no_sounds(tmp_path: Path) -> None:
    items = [Item(str(n), "image", str(picture(tmp_path / f"{n}.png", seed=n)), "beach") for n in range(2)]
    assert check(items).warnings == ()


def test_name_that_is_no_utf8(tmp_path: Path) -> None:
    (problem,) = check([Item("x", "image", f"{tmp_path}/\udcff.png", "beach")]).problems
    assert "no UTF-8" in problem
    problem.encode()


def test_a_folder_that_is_away_is_one_line(tmp_path: Path) -> None:
    away = tmp_path / "share" / "tiles"
    items = [Item(f"i{n}", "image", str(away / f"{n % 2}" / f"{n}.png"), "beach") for n in range(4)]
    found = check([*items, *pair(tmp_path)])
    assert found.problems == (
        f"{tmp_path / 'share'}: no such folder, and 4 files should lie below it (first: {away / '0' / '0.png'}); is "
        "the drive or the network share connected, and are paths relative to where they are written?",
    )
    away.mkdir(parents=True)
    assert len(check(items).problems) == 4


def test_a_path_that_can_not_be_is_one_line(tmp_path: Path) -> None:
    (told,) = check([Item("i", "image", str(tmp_path / ("x" * 300)), "beach")]).problems
    assert "can't be reached (File name too long)" in told
