"""UC Merced with 17 labels: tiny stand-ins for its images, the table that circulates, and every way to get it wrong."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

from dtbh.cli.main import main
from dtbh.data.manifest import read_manifest
from dtbh.data.sources.dlrsd import LABELS, dlrsd
from dtbh.stages.prepare import prepare
from tests.data.test_sources import captioned, clip, picture, problems

HEAD = ["IMAGE\\LABEL", *LABELS]
TOLD = {
    "agricultural00": ["field"],
    "airplane07": ["airplane", "pavement", "cars"],
    "tenniscourt99": ["court", "trees"],
}


@pytest.fixture
def images(tmp_path: Path) -> Path:
    for name in TOLD:
        picture(tmp_path / "Images" / name[:-2] / f"{name}.tif")
    return tmp_path / "Images"


def rows(told: Mapping[str, Sequence[str]] = TOLD) -> list[list[str]]:
    return [[name, *("1" if label in own else "0" for label in LABELS)] for name, own in told.items()]


def table(path: Path, lines: Sequence[Sequence[str]], between: str = "\t", head: Sequence[str] = HEAD) -> Path:
    path.write_text("".join(between.join(line) + "\n" for line in [head, *lines]))
    return path


@pytest.mark.parametrize(("between", "name"), [("\t", "multilabels.txt"), (";", "multilabels.csv"), (",", "m.csv")])
def test_images_have_the_labels_of_their_line(images: Path, tmp_path: Path, between: str, name: str) -> None:
    items = dlrsd(images, table(tmp_path / name, rows(), between))
    assert [(item.id, item.label) for item in items] == [
        ("agricultural00", "field"), ("airplane07", "airplane;cars;pavement"), ("tenniscourt99", "court;trees")
    ]  # fmt: skip
    assert items[1].path == str((images / "airplane" / "airplane07.tif").resolve())
    assert {item.pair for item in items} == {item.split for item in items} == {None}


def test_names_and_columns_as_other_hands_write_them(tmp_path: Path) -> None:
    """Numbered images, types in the names, blanks in the labels, columns in another order, empty ones at the end."""
    picture(tmp_path / "imgs" / "108.png")
    order = [0, *range(len(LABELS), 0, -1)]
    head = [HEAD[i].replace("-", " ").upper() for i in order]
    (row,) = rows({"Airplane07.tif": ["bare-soil", "mobile-home", "water"]})
    path = table(tmp_path / "m.txt", [[row[i] for i in order] + ["", ""]], head=[*head, "", ""])
    assert [(item.id, item.label) for item in dlrsd(tmp_path / "imgs", path)] == [
        ("airplane07", "bare-soil;mobile-home;water")
    ]


def test_sounds_have_the_labels_of_their_image(images: Path, tmp_path: Path) -> None:
    path, captions = table(tmp_path / "m.txt", rows()), captioned(tmp_path / "c.json", "108.tif", "2100.tif")
    for k in (1, 2):
        clip(tmp_path / "clips" / f"108S{k}.wav")
        clip(tmp_path / "clips" / f"2100S{k}.wav")
    items = dlrsd(images, path, captions, tmp_path / "clips")
    assert [(item.id, item.modality, item.label, item.pair) for item in items[2:4]] == [
        ("108S2", "sound", "airplane;cars;pavement", "108"), ("2100", "image", "court;trees", "2100")
    ]  # fmt: skip
    assert items[1].transcript == "Words 0 ."
    out = tmp_path / "data"
    assert prepare("dlrsd", out, images=images, labels=path, captions=captions).changed
    assert read_manifest(out).labels == ("airplane", "cars", "court", "pavement", "trees")


def test_from_the_command_line(images: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = table(tmp_path / "m.txt", [*rows(), *rows({"beach00": []})])
    picture(images / "beach" / "beach00.tif")
    given = ["prepare", "dlrsd", "--images", str(images), "--labels", str(path), "--out", str(tmp_path / "data")]
    assert main(given) == 0
    out, err = capsys.readouterr()
    assert "4 images, 0 sounds, 6 classes" in out
    assert "1 without a label" in out + err


def test_what_is_wrong_is_told_with_its_line_and_column(images: Path, tmp_path: Path) -> None:
    lines = rows({**TOLD, "beach01": ["sand"]})
    lines[1][1 + LABELS.index("cars")] = "yes"
    lines[2][1 + LABELS.index("court")] = ""
    lines.append(lines[0])
    lines.append(lines[0][:17])
    lines[-1][0] = "agricultural00"
    found = problems(lambda: dlrsd(images, table(tmp_path / "m.txt", lines)))
    assert f"{tmp_path / 'm.txt'}: line 3, column cars: wanted 0 or 1, found yes" in found
    assert "line 4, column court: wanted 0 or 1, found nothing" in found
    assert "line 5: beach01 is not among the images of" in found
    assert "line 6: agricultural00 stands on line 2 already" in found
    assert "line 7, column water: wanted 0 or 1, found nothing" in found


def test_columns_that_lack_or_are_strange_are_told_at_once(images: Path, tmp_path: Path) -> None:
    head = ["x", *LABELS[:5], "curt", *LABELS[6:], "sand", "lava"]
    found = problems(lambda: dlrsd(images, table(tmp_path / "m.txt", rows(), head=head)))
    assert "line 1 has no column court; is it curt?" in found
    assert "line 1: no label is called curt" in found
    assert "line 1: no label is called lava" in found
    assert "line 1: column sand stands 2 times" in found


@pytest.mark.parametrize(
    ("content", "found"),
    [
        (None, "no such table of labels"),
        (b"PK\x03\x04\x00\x00\x01", "wanted LandUse_Multilabeled.txt"),
        (b'a\t"b\n', "can't be read as a table of text"),
        (b"\n", "line 1 has no column airplane"),
        ("\t".join(HEAD).encode(), "no line after the first"),
    ],
)
def test_what_is_no_table(images: Path, tmp_path: Path, content: bytes | None, found: str) -> None:
    if content is not None:
        (tmp_path / "m.txt").write_bytes(content)
    assert found in problems(lambda: dlrsd(images, tmp_path / "m.txt"))


def test_images_and_captions_that_do_not_fit_the_table(images: Path, tmp_path: Path) -> None:
    path = table(tmp_path / "m.txt", rows({"agricultural00": ["field"]}))
    captions = captioned(tmp_path / "c.json", "1.tif", "108.tif")
    assert f"{path}: no line for image airplane07" in problems(lambda: dlrsd(images, path, captions))
    assert "3.tif is not among the images" in problems(lambda: dlrsd(images, path, captioned(captions, "3.tif")))
    assert "give the caption file" in problems(lambda: dlrsd(images, path, sounds=tmp_path))
    assert "no such folder" in problems(lambda: dlrsd(tmp_path / "none", path))
    picture(images / "agricultural" / "agricultural00.png")
    assert "line 2: agricultural00 fits several files" in problems(lambda: dlrsd(images, path))
