from __future__ import annotations

import json
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile
from PIL import Image

from dtbh.data.manifest import NAME, Item, read_manifest, write_manifest
from dtbh.data.sources.base import known_sources
from dtbh.data.sources.captioned import rsicd, sydney, ucm
from dtbh.data.sources.folders import folders
from dtbh.errors import DataError
from dtbh.stages.prepare import prepare

seeds = iter(range(1_000_000))


def picture(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(next(seeds)).integers(0, 256, (8, 8, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(path)
    return path


def clip(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, np.random.default_rng(next(seeds)).uniform(-0.5, 0.5, 400), 8000)
    return path


def captioned(path: Path, *names: str, classes: dict[str, str] | None = None) -> Path:
    """A caption file in its published form with two sentences an image."""
    entries = []
    for n, name in enumerate(names):
        entry = {"filename": name, "imgid": n, "split": "train",
                 "sentences": [{"raw": f"Words {n} ."}, {"raw": f"More words {n} ."}]}  # fmt: skip
        entries.append(entry | ({"class": classes[name]} if classes and name in classes else {}))
    path.write_text(json.dumps({"images": entries, "dataset": "x"}))
    return path


def labels(items: list[Item]) -> dict[str, str | None]:
    return {item.id: item.label for item in items if item.modality == "image"}


def problems(call: Callable[[], object]) -> str:
    with pytest.raises(DataError, match="problem") as caught:
        call()
    assert caught.value.problems
    return "\n".join(caught.value.problems)


# --- captioned sets


def test_ucm_in_class_folders_with_part_of_the_images(tmp_path: Path) -> None:
    images = tmp_path / "Images"
    picture(images / "agricultural" / "agricultural00.tif")
    picture(images / "airplane" / "airplane07.PNG")
    picture(images / "tenniscourt" / "tenniscourt99.jpg")
    picture(images / "tenniscourt" / "tenniscourt98.jpg")
    items = ucm(images, captioned(tmp_path / "c.json", "1.tif", "108.tif", "2100.tif"))
    assert labels(items) == {"1": "agricultural", "108": "airplane", "2100": "tenniscourt"}
    assert [item.id for item in items[:4]] == ["1", "1S1", "1S2", "108"]
    assert items[3].path == str((images / "airplane" / "airplane07.PNG").resolve())
    assert items[1] == Item("1S1", "sound", None, "agricultural", "1", "train", None, "Words 0 .")


@pytest.mark.parametrize("suffix", ["tif", "TIFF", "png", "jpg", "JPEG"])
def test_ucm_flat(tmp_path: Path, suffix: str) -> None:
    for n in (1, 100, 101):
        picture(tmp_path / "imgs" / f"{n}.{suffix}")
    items = ucm(tmp_path / "imgs", captioned(tmp_path / "c.json", "1.tif", "100.tif", "101.tif"))
    assert labels(items) == {"1": "agricultural", "100": "agricultural", "101": "airplane"}


def test_ucm_takes_the_class_of_the_captions_and_other_class_folders(tmp_path: Path) -> None:
    picture(tmp_path / "imgs" / "zoo" / "zoo01.png")
    picture(tmp_path / "imgs" / "abbey" / "abbey00.png")
    assert labels(ucm(tmp_path / "imgs", captioned(tmp_path / "c.json", "1.tif", "102.tif"))) == {
        "1": "abbey", "102": "zoo"}  # fmt: skip
    told = captioned(tmp_path / "d.json", "2.tif", classes={"2.tif": "zoo"})
    assert labels(ucm(tmp_path / "imgs", told)) == {"2": "zoo"}


def test_ambiguous_images_are_told_unless_one_has_the_very_name(tmp_path: Path) -> None:
    picture(tmp_path / "imgs" / "1.png")
    picture(tmp_path / "imgs" / "1.jpg")
    captions = captioned(tmp_path / "c.json", "1.tif")
    assert "1.tif fits several files" in problems(lambda: ucm(tmp_path / "imgs", captions))
    picture(tmp_path / "imgs" / "1.tif")
    assert ucm(tmp_path / "imgs", captions)[0].path == str((tmp_path / "imgs" / "1.tif").resolve())


def test_all_missing_images_at_once(tmp_path: Path) -> None:
    picture(tmp_path / "imgs" / "1.tif")
    text = problems(lambda: ucm(tmp_path / "imgs", captioned(tmp_path / "c.json", "1.tif", "2.tif", "3.tif")))
    assert "2.tif is not among the images; wanted 2 or agricultural01" in text
    assert "3.tif is not among the images" in text
    assert len(text.splitlines()) == 2


def test_sydney_classes_by_number_or_as_told(tmp_path: Path) -> None:
    numbers = (1, 242, 243, 264, 265, 314, 315, 359, 360, 451, 452, 547, 548, 613)
    for n in numbers:
        picture(tmp_path / "imgs" / f"{n}.tif")
    names = [f"{n}.tif" for n in numbers]
    found = list(labels(sydney(tmp_path / "imgs", captioned(tmp_path / "c.json", *names))).values())
    wanted = ["residential", "airport", "meadow", "river", "ocean", "industrial", "runway"]
    assert found == [name for name in wanted for _ in range(2)]
    told = captioned(tmp_path / "d.json", "1.tif", classes={"1.tif": "harbour"})
    assert labels(sydney(tmp_path / "imgs", told)) == {"1": "harbour"}


def test_rsicd_classes_by_name_caption_file_and_lists(tmp_path: Path) -> None:
    names = ("airport_1.jpg", "00001.jpg", "00002.jpg")
    for name in names:
        picture(tmp_path / "imgs" / name)
    captions = captioned(tmp_path / "c.json", *names, classes={"00001.jpg": "river"})
    text = problems(lambda: rsicd(tmp_path / "imgs", captions))
    assert "1 images have no class" in text
    assert "(00002.jpg)" in text
    (tmp_path / "lists").mkdir()
    (tmp_path / "lists" / "playground.txt").write_text("00002.jpg\n00003.jpg\n")
    found = rsicd(tmp_path / "imgs", captions, classes=tmp_path / "lists")
    assert labels(found) == {"airport_1": "airport", "00001": "river", "00002": "playground"}


def test_rsicd_lists_that_contradict_or_are_not_there(tmp_path: Path) -> None:
    picture(tmp_path / "imgs" / "airport_1.jpg")
    captions = captioned(tmp_path / "c.json", "airport_1.jpg")
    lists = tmp_path / "lists"
    assert "no class lists here" in problems(lambda: rsicd(tmp_path / "imgs", captions, classes=lists))
    lists.mkdir()
    (lists / "a.txt").write_text("1.jpg\n")
    (lists / "b.txt").write_text("1.jpg\n")
    assert "b.txt: 1.jpg stands in a.txt too" in problems(lambda: rsicd(tmp_path / "imgs", captions, classes=lists))


def test_captions_without_words_are_left_out_and_keep_their_numbers(tmp_path: Path) -> None:
    picture(tmp_path / "imgs" / "1.tif")
    captions = tmp_path / "c.json"
    sentences = [{"raw": "One ."}, {"raw": " . "}, {"raw": " Three ."}]
    captions.write_text(json.dumps({"images": [{"filename": "1.tif", "sentences": sentences}]}))
    items = ucm(tmp_path / "imgs", captions)
    assert [(item.id, item.transcript) for item in items[1:]] == [("1S1", "One ."), ("1S3", "Three .")]
    assert {item.split for item in items} == {None}


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("{", "can't be read as JSON"),
        ("[]", "no list `images`"),
        ('{"images": []}', "no list `images`"),
        ('{"images": [{"sentences": []}]}', r"images[0] lacks a well-formed filename"),
        ('{"images": [{"filename": "1.tif"}]}', "sentences"),
        ('{"images": [{"filename": "1.tif", "sentences": [{"raw": 3}]}]}', "sentences[].raw"),
        ('{"images": [{"filename": "1.tif", "sentences": [], "class": 3}]}', "3 is not a string"),
        ('{"images": [3]}', "images[0]"),
        ('{"images": [{"filename": "1.tif", "sentences": [], "split": "dev"}]}', "found 'dev'"),
        (
            '{"images": [{"filename": "1.tif", "sentences": []}, {"filename": "1.png", "sentences": []}]}',
            "twice",
        ),
    ],
)
def test_bad_caption_files(tmp_path: Path, text: str, found: str) -> None:
    picture(tmp_path / "imgs" / "1.tif")
    (tmp_path / "c.json").write_text(text)
    assert found in problems(lambda: ucm(tmp_path / "imgs", tmp_path / "c.json"))


def test_wrong_paths_are_told_together(tmp_path: Path) -> None:
    text = problems(lambda: ucm(tmp_path / "no", tmp_path / "no.json", tmp_path / "none"))
    assert f"{tmp_path / 'no'}: no such folder" in text
    assert f"{tmp_path / 'no.json'}: no such caption file" in text
    assert f"{tmp_path / 'none'}: no such folder" in text


# --- recordings


@pytest.mark.parametrize(
    "form",
    ["{number}S{k}.wav", "{number}s{k}.flac", "{stem}_{k}.wav", "{stem}/{k}.wav", "deep/er/{number}S{k}.ogg",
     "{stem}S{k}.aiff"],
)  # fmt: skip
@pytest.mark.parametrize("source", ["ucm", "rsicd"])
def test_recordings_in_their_layouts(tmp_path: Path, form: str, source: str) -> None:
    names = {"ucm": ("1.tif", "2.tif"), "rsicd": ("airport_1.jpg", "airport_2.jpg")}[source]
    wanted = []
    for number, name in enumerate(names, start=1):
        picture(tmp_path / "imgs" / name)
        wanted += [clip(tmp_path / "rec" / form.format(number=number, stem=Path(name).stem, k=k)) for k in (1, 2)]
    captions = captioned(tmp_path / "c.json", *names)
    items = known_sources()[source](tmp_path / "imgs", captions, tmp_path / "rec")
    sounds = [item for item in items if item.modality == "sound"]
    assert [item.path for item in sounds] == [str(path.resolve()) for path in wanted]
    assert {item.speaker for item in sounds} == {None}
    assert sounds[0].transcript == "Words 0 ."


def test_recordings_by_the_stem_of_a_class_folder(tmp_path: Path) -> None:
    picture(tmp_path / "imgs" / "agricultural" / "agricultural00.jpg")
    for k in (1, 2):
        clip(tmp_path / "rec" / f"agricultural00_{k}.wav")
    items = ucm(tmp_path / "imgs", captioned(tmp_path / "c.json", "1.tif"), tmp_path / "rec")
    assert [Path(item.path or "").name for item in items[1:]] == [
        "agricultural00_1.wav",
        "agricultural00_2.wav",
    ]


def test_missing_and_doubled_recordings(tmp_path: Path) -> None:
    picture(tmp_path / "imgs" / "1.tif")
    captions = captioned(tmp_path / "c.json", "1.tif")
    (tmp_path / "rec").mkdir()
    assert "no sound file in this folder" in problems(lambda: ucm(tmp_path / "imgs", captions, tmp_path / "rec"))
    clip(tmp_path / "rec" / "1S1.wav")
    clip(tmp_path / "rec" / "1_1.wav")
    text = problems(lambda: ucm(tmp_path / "imgs", captions, tmp_path / "rec"))
    assert "sound 1 of image 1 is there again" in text
    assert "image 1: no recording of its caption 2; wanted 1S2, 1_2 or 1/2" in text


# --- folders


@pytest.mark.parametrize(
    ("layout", "label"),
    [
        ("AID/Airport/airport_1.jpg", "Airport"),
        ("PatternNet/images/airplane/airplane001.jpg", "airplane"),
        ("RSSCN7/aGrass/a001.jpg", "aGrass"),
        ("UCMerced_LandUse/Images/beach/beach07.tif", "beach"),
    ],
)
def test_scene_sets_are_class_folders_of_images_alone(tmp_path: Path, layout: str, label: str) -> None:
    path = tmp_path / layout
    picture(path)
    picture(path.parent.parent / "other" / "x.jpg")
    items = folders(path.parent.parent)
    assert {item.label for item in items} == {label, "other"}
    assert {item.modality for item in items} == {"image"}


def test_folders(tmp_path: Path) -> None:
    picture(tmp_path / "I" / "beach" / "a.webp")
    picture(tmp_path / "I" / "river" / "deep" / "a.bmp")
    clip(tmp_path / "S" / "beach" / "a.flac")
    clip(tmp_path / "S" / "river" / "b.WAV")
    (tmp_path / "I" / "beach" / "notes.txt").write_text("no image")
    (tmp_path / "I" / "beach" / "._a.webp").write_text("no image")
    items = folders(tmp_path / "I", tmp_path / "S")
    assert [(item.id, item.label) for item in items] == [
        ("beach/a.webp", "beach"), ("river/deep/a.bmp", "river"), ("beach/a.flac", "beach"),
        ("river/b.WAV", "river")]  # fmt: skip
    assert {(item.pair, item.split) for item in items} == {(None, None)}


def test_folders_with_other_classes_or_none(tmp_path: Path) -> None:
    picture(tmp_path / "I" / "beach" / "a.png")
    clip(tmp_path / "S" / "baech" / "a.wav")
    clip(tmp_path / "S" / "loose.wav")
    text = problems(lambda: folders(tmp_path / "I", tmp_path / "S"))
    assert f"{tmp_path / 'I' / 'beach'}: no sound of this class" in text
    assert f"{tmp_path / 'S' / 'baech'}: no image of this class" in text
    assert "loose.wav: lies in no class folder" in text


def test_folders_with_nothing(tmp_path: Path) -> None:
    (tmp_path / "I").mkdir()
    (tmp_path / "S").mkdir()
    assert "nothing here; wanted <class>/<file>" in problems(lambda: folders(tmp_path / "I", tmp_path / "S"))


# --- prepare


@pytest.fixture
def small(tmp_path: Path) -> dict[str, Path]:
    for n in (1, 2, 101):
        picture(tmp_path / "imgs" / f"{n}.png")
    return {
        "images": tmp_path / "imgs",
        "captions": captioned(tmp_path / "c.json", "1.tif", "2.tif", "101.tif"),
    }


def test_prepare_writes_relative_paths_once(tmp_path: Path, small: dict[str, Path]) -> None:
    out = tmp_path / "data" / "ucm"
    first = prepare("ucm", out, **small)
    assert (first.changed, first.warnings) == (True, ())
    assert first.manifest.items[0].path == "../../imgs/1.png"
    assert first.manifest.file(first.manifest.items[0]).is_file()
    assert read_manifest(out) == first.manifest
    stamp = (out / NAME).stat().st_mtime_ns
    again = prepare("ucm", out, sounds=None, **small)
    assert (again.changed, again.manifest) == (False, first.manifest)
    assert (out / NAME).stat().st_mtime_ns == stamp


def test_prepare_keeps_what_was_spoken_until_inputs_change(tmp_path: Path, small: dict[str, Path]) -> None:
    out = tmp_path / "out"
    made = prepare("ucm", out, **small).manifest
    spoken = made.replaced(replace(i, path=i.path or f"sounds/{i.id}.flac", speaker="anna") for i in made)
    write_manifest(spoken)
    os.utime(small["captions"])
    assert prepare("ucm", out, **small).manifest == spoken
    picture(small["images"] / "1.png")
    rebuilt = prepare("ucm", out, **small)
    assert rebuilt.changed
    assert rebuilt.manifest.items == made.items
    captioned(small["captions"], "1.tif", "2.tif")
    assert len(prepare("ucm", out, **small).manifest) == 6


def test_prepare_again_where_arguments_differ_or_the_manifest_is_damaged(
    tmp_path: Path, small: dict[str, Path]
) -> None:
    out = tmp_path / "out"
    prepare("ucm", out, **small)
    assert prepare("sydney", out, **small).changed
    assert prepare("ucm", out, **small).changed
    (out / NAME).write_text("{")
    assert prepare("ucm", out, **small).changed
    assert not prepare("ucm", out, **small).changed


def test_prepare_lists_all_problems_and_writes_nothing(tmp_path: Path, small: dict[str, Path]) -> None:
    (small["images"] / "1.png").write_bytes(b"")
    (small["images"] / "2.png").write_bytes(b"no picture")
    text = problems(lambda: prepare("ucm", tmp_path / "out", **small))
    assert "1.png: empty" in text
    assert "2.png: no image" in text
    assert not (tmp_path / "out").exists()


def test_strict_takes_no_warnings_even_when_up_to_date(tmp_path: Path, small: dict[str, Path]) -> None:
    (small["images"] / "2.png").write_bytes((small["images"] / "1.png").read_bytes())
    out = tmp_path / "out"
    with pytest.raises(DataError, match=r"1 warning, and --strict takes none\n  - the same image 2 times: 1 "):
        prepare("ucm", out, strict=True, **small)
    assert not out.exists()
    made = prepare("ucm", out, **small)
    assert len(made.warnings) == 1
    assert prepare("ucm", out, **small).warnings == made.warnings
    with pytest.raises(DataError, match="--strict takes none"):
        prepare("ucm", out, strict=True, **small)


def test_prepare_table_without_labels_warns(tmp_path: Path) -> None:
    picture(tmp_path / "a.png")
    clip(tmp_path / "a.wav")
    (tmp_path / "t.csv").write_text("image,sound\na.png,a.wav\n")
    made = prepare("table", tmp_path, path=tmp_path / "t.csv")
    assert [item.path for item in made.manifest] == ["a.png", "a.wav"]
    assert made.warnings[0].startswith("2 without a label")
    assert not prepare("table", tmp_path, path=tmp_path / "t.csv").changed


def test_prepare_with_the_wrong_arguments(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="unknown source 'ucn'; there are dlrsd, folders, hf, rsicd, sydney"):
        prepare("ucn", tmp_path)
    with pytest.raises(DataError, match=r"takes no classes\n.*needs images\n.*needs captions"):
        prepare("ucm", tmp_path, classes=tmp_path)


# --- the real thing


def test_real_captions(shared_data: Path) -> None:
    items = ucm(shared_data / "ucm" / "Images", shared_data / "captions" / "dataset_ucm.json")
    assert (len(items), len({item.label for item in items})) == (12600, 21)
    assert all(Path(item.path).parent.name == item.label for item in items if item.path)
