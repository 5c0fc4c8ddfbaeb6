from __future__ import annotations

import json
import os
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from dtbh.data.manifest import Item
from dtbh.data.sources.caption_tables import read_caption_table
from dtbh.data.sources.table import table
from dtbh.evaluation.metrics.pairs import links_of
from tests.data.test_sources import problems


def test_table_csv(tmp_path: Path) -> None:
    path = tmp_path / "pairs.csv"
    path.write_text(
        "image,sound,label,transcript,speaker,split\r\n"
        'i/a.png,s/1.wav,beach,"Sand, and sea",anna,train\r\n'
        "./i/a.png,s/2.wav,,,,\r\n"
        "i/b.png,,river,,,test\r\n"
        ",s/3.wav,river,,ben,test\r\n"
        "i/c.png,,beach,To be spoken,,val\r\n",
        encoding="utf-8-sig",
    )
    here = tmp_path.resolve()
    assert table(path) == [
        Item("i/a.png", "image", str(here / "i/a.png"), "beach", "i/a.png", "train"),
        Item("i/b.png", "image", str(here / "i/b.png"), "river", None, "test"),
        Item("i/c.png", "image", str(here / "i/c.png"), "beach", "i/c.png", "val"),
        Item("s/1.wav", "sound", str(here / "s/1.wav"), "beach", "i/a.png", "train", "anna", "Sand, and sea"),
        Item("s/2.wav", "sound", str(here / "s/2.wav"), "beach", "i/a.png", "train"),
        Item("s/3.wav", "sound", str(here / "s/3.wav"), "river", None, "test", "ben"),
        Item("i/c.pngS1", "sound", None, "beach", "i/c.png", "val", None, "To be spoken"),
    ]


def test_table_json_lines_says_the_same(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("image,sound,label\na.png,a.wav,beach\n,b.wav,river\n")
    rows = [
        {"image": "a.png", "sound": "a.wav", "label": "beach"},
        {"image": None, "sound": "b.wav", "label": "river"},
    ]
    (tmp_path / "t.jsonl").write_text("\n\n".join(map(json.dumps, rows)) + "\n")
    assert table(tmp_path / "t.jsonl") == table(tmp_path / "t.csv")


def test_a_label_may_be_several_in_any_order_also_between_semicolons(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text(
        "image,sound,label\na.png,a.wav,residential; harbor\na.png,b.wav,harbor;residential\nb.png,,harbor\n"
    )
    assert [item.label for item in table(tmp_path / "t.csv")] == [
        "harbor;residential", "harbor", "harbor;residential", "harbor;residential"
    ]  # fmt: skip
    (tmp_path / "s.csv").write_text('image;label\na.png;"residential;harbor"\nb.png;harbor\n')
    assert [item.labels for item in table(tmp_path / "s.csv")] == [("harbor", "residential"), ("harbor",)]


def test_further_columns_are_fields(tmp_path: Path) -> None:
    path = tmp_path / "pairs.csv"
    path.write_text(
        "image,sound,label,sensor,month,mic\n"
        "a.png,1.wav,beach,S2,May,near\n"
        "a.png,2.wav,beach,S2,,far\n"
        "b.png,,beach,,June,\n"
        ",3.wav,beach,,,far\n"
    )
    assert {item.id: item.fields for item in table(path)} == {
        "a.png": {"sensor": "S2", "month": "May"},  # its rows do not agree on the microphone
        "b.png": {"month": "June"},
        "1.wav": {"sensor": "S2", "month": "May", "mic": "near"},
        "2.wav": {"sensor": "S2", "mic": "far"},
        "3.wav": {"mic": "far"},
    }


@pytest.mark.parametrize(
    ("text", "found"),
    [
        (
            "image,sound,lable\na.png,a.wav,x\nb.png,b.wav,x\n",
            "unknown column 'lable', the nearest is 'label'",
        ),
        ("image,sound,pair\na.png,a.wav,x\n", "column 'pair' can't be a field of one's own"),
        ("image,sound,a=b\na.png,a.wav,x\n", "column 'a=b' can't be a field"),
        ("", "no rows"),
        ("image,sound,label\n", "no rows"),
        ("image,sound,label\n,,x\n", "line 2: names no image and no sound; found label 'x'"),
        ("image,sound,label\na.png,a.wav,x,y\n", "line 2 has more fields"),
        ("image,sound,split\na.png,a.wav,dev\n", "line 2: split must be train, val or test"),
        ("image,sound,label\na.png,a.wav,x\na.png,b.wav,y\n", "line 3: label 'y' of a.png, which an earlier"),
        ("image,sound,image\na.png,a.wav,x\n", "no CSV after line 1 (column 'image' stands twice"),
        ("a.png,a.wav,x\nb.png,b.wav,x\n", "no column image or sound; found a.png, a.wav, x (read as utf-8, separator"),
        ("sound,speaker\na.wav,eva\na.wav,ida\n", "line 3: speaker 'ida' of a.wav, which an earlier line calls 'eva'"),
        (",sound,label\n,a.wav,x\n,a.wav,y\n", "lines of its own call it 'x' and 'y'"),
        ("image,sound,split\na.png,s.wav,train\nb.png,,test\nb.png,s.wav,\n", "describes images of several splits"),
        ("image,sound,label\na.png,a.png,x\n", "both as an image and as a sound"),
        ('image,sound\n"a.png,a.wav\n', "no CSV after line 1 (unexpected end of data)"),
    ],
)
def test_bad_tables(tmp_path: Path, text: str, found: str) -> None:
    path = tmp_path / "t.csv"
    path.write_text(text)
    assert found in problems(lambda: table(path))


@pytest.mark.parametrize(
    ("text", "found"),
    [("{\n", "line 1 is no JSON"), ("[1]\n", "wanted an object"), ('{"image": 1}\n', "strings or null"),
     ('{"imgae": "a.png"}\n', "the nearest is 'image'")],
)  # fmt: skip
def test_bad_json_lines(tmp_path: Path, text: str, found: str) -> None:
    (tmp_path / "t.jsonl").write_text(text)
    assert found in problems(lambda: table(tmp_path / "t.jsonl"))


def test_tables_that_are_no_text(tmp_path: Path) -> None:
    assert "no such table" in problems(lambda: table(tmp_path / "t.csv"))
    (tmp_path / "t.csv").write_bytes(b"\xff\xfe\x00")
    assert "can't be read as text" in problems(lambda: table(tmp_path / "t.csv"))
    (tmp_path / "t.csv").write_bytes(b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR")
    assert "can't be read as text (it holds zero bytes)" in problems(lambda: table(tmp_path / "t.csv"))
    assert "can't be read" in problems(lambda: table(tmp_path))


@pytest.mark.parametrize("suffix", [".csv", ".jsonl", ".parquet"])
def test_a_table_that_is_a_device_or_a_pipe_is_refused_unread(tmp_path: Path, suffix: str) -> None:
    device, pipe = tmp_path / f"device{suffix}", tmp_path / f"pipe{suffix}"
    device.symlink_to("/dev/null")
    os.mkfifo(pipe)
    for path in (device, pipe):  # in this order: nothing is ever told of a pipe that is opened
        assert f"{path}: a {path.stem}, not a regular file, a table wanted" in problems(partial(table, path))
        told: list[str] = []
        assert not [*read_caption_table(path, told)]
        assert "not a regular file, a table wanted" in told[0]


def test_a_row_is_a_pair_and_an_item_is_a_file(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text(
        "image,sound,label,mic\n"
        "a.png,1.wav,beach,near\n"
        "b.png,1.wav,river,near\n"
        "b.png,2.wav,,far\n"
        "c.png,,beach,\n"
        "d.png,3.wav,,\n"
        ",3.wav,forest,\n"
        ",4.wav,beach,\n"
        "b.png,./1.wav,,\n"
    )
    assert [(item.id, item.label, item.pair, item.fields) for item in table(tmp_path / "t.csv")] == [
        ("a.png", "beach", "a.png", {"mic": "near"}), ("b.png", "river", "a.png", {}),
        ("c.png", "beach", None, {}), ("d.png", None, "d.png", {}),
        ("1.wav", "beach;river", "a.png", {"mic": "near"}), ("2.wav", "river", "a.png", {"mic": "far"}),
        ("3.wav", "forest", "d.png", {}), ("4.wav", "beach", None, {}),
    ]  # fmt: skip


def test_any_paired_file_counts_as_right(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("image,sound\na.png,1.wav\nb.png,1.wav\nb.png,2.wav\nc.png,3.wav\n")
    items = table(tmp_path / "t.csv")
    images, sounds = items[:3], items[3:]
    found = links_of(sounds, images, np.full(3, -1))
    assert {(sounds[query].id, images[row].id) for query, row in zip(found.queries, found.gallery, strict=True)} == {
        ("1.wav", "a.png"), ("1.wav", "b.png"), ("2.wav", "a.png"), ("2.wav", "b.png"), ("3.wav", "c.png"),
    }  # fmt: skip


WANTED = "image,sound,label,transcript\ni/grün.png,s/1.wav,beach,Sand und Düne; und Meer\ni/b.png,,river,\n"


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "cp1252"])
@pytest.mark.parametrize("separator", [",", ";", "\t", "|"])
def test_what_spreadsheets_write_is_the_same_table(tmp_path: Path, encoding: str, separator: str) -> None:
    """Headers in capitals, quotes where needed, empty columns and lines at the end."""
    (tmp_path / "wanted.csv").write_text(WANTED, encoding="utf-8")
    lines = []
    for number, fields in enumerate(line.split(",") for line in WANTED.splitlines()):
        cells = [f'"{cell}"' if separator in cell else cell for cell in fields]
        cells = [cell.capitalize() for cell in cells] if number == 0 else cells
        lines.append(separator.join([*cells, "", ""]))
    text = "\r\n".join([*lines, separator * 5, ""])
    (tmp_path / "t.csv").write_bytes(text.encode(encoding))
    assert table(tmp_path / "t.csv") == table(tmp_path / "wanted.csv")


def test_decimal_commas_between_semicolons_in_utf_16(tmp_path: Path) -> None:
    """As Excel saves a German sheet as Unicode text."""
    text = "Image;Sound;Label;Höhe;Breite\r\ni\\a.png;s/1.wav;beach;12,5;1.234,75\r\ni\\b.png;;river;;-0,5\r\n"
    for encoding in ("utf-16", "utf-16-le", "utf-16-be"):
        (tmp_path / "t.csv").write_bytes(text.encode(encoding))
        assert [(item.id, item.label, item.fields) for item in table(tmp_path / "t.csv")] == [
            ("i/a.png", "beach", {"Höhe": "12,5", "Breite": "1.234,75"}), ("i/b.png", "river", {"Breite": "-0,5"}),
            ("s/1.wav", "beach", {"Höhe": "12,5", "Breite": "1.234,75"}),
        ]  # fmt: skip


def test_paths_of_windows_are_read_here(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("image;sound;label\ntiles\\a.png;said\\1.wav;beach\n")
    here = tmp_path.resolve()
    assert [(item.id, item.path) for item in table(tmp_path / "t.csv")] == [
        ("tiles/a.png", str(here / "tiles/a.png")), ("said/1.wav", str(here / "said/1.wav")),
    ]  # fmt: skip
    (tmp_path / "odd\\name.png").touch()
    (tmp_path / "t.csv").write_text("image,label\nodd\\name.png,beach\n")
    assert table(tmp_path / "t.csv")[0].path == str(here / "odd\\name.png")  # there is such a file


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("Bild;Ton;Klasse\na.png;1.wav;x\n", "no column image or sound; found Bild, Ton, Klasse (read as utf-8"),
        ("image,label\nhttps://a.b/c.png,x\n", "line 2: https://a.b/c.png is an address; download it"),
        ("image,label\ns3:/b/c.png,x\n", "line 2: s3:/b/c.png is an address; download it (nothing is fetched here)"),
        ("image,label\n\\\\nas\\tiles\\a.png,x\n", "is on a share of another machine; mount it"),
        ("image,label\nbroken.png,x\n", "broken.png is a link to gone.png, where nothing is; mend the link"),
        ("image,label\ncircle.png,x\n", "a link that leads to itself"),
        ("image,label\na\0b.png,x\n", "it holds zero bytes"),
        ("image,label\nC:\\tiles\\a.png,x\n", "is a path of a Windows machine; name it relative to the table"),
        ("image;label\nD:/tiles/a.png;x\n", "D:/tiles/a.png is a path of a Windows machine"),
        ("image,label\n\\tiles\\a.png,x\n", "is a path of a Windows machine"),
    ],
)
def test_what_can_not_be_meant_is_said(tmp_path: Path, text: str, found: str) -> None:
    (tmp_path / "broken.png").symlink_to("gone.png")
    (tmp_path / "circle.png").symlink_to("circle.png")
    (tmp_path / "t.csv").write_text(text)
    assert found in problems(lambda: table(tmp_path / "t.csv"))


@pytest.mark.parametrize(
    ("data", "found"),
    [
        (b"PK\x03\x04rest", "an Excel workbook, or another zip: save its sheet as CSV"),
        (b"\xd0\xcf\x11\xe0", "an old Excel workbook"),
        (b"\x1f\x8b\x08", "compressed with gzip: unpack it"),
    ],
)
def test_what_is_not_text_is_named(tmp_path: Path, data: bytes, found: str) -> None:
    (tmp_path / "t.csv").write_bytes(data)
    assert found in problems(lambda: table(tmp_path / "t.csv"))


def test_what_excel_writes_is_read(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_bytes(
        b'sep=;\r\n Image ;"Sound";LABEL;height;;\r\n"a ""1"".png";a.wav;beach;12,5;;\r\n  ; ;;;;\r\n;;;;;\r\n'
    )
    items = table(tmp_path / "t.csv")
    assert [(item.id, item.label, item.fields) for item in items] == [
        ('a "1".png', "beach", {"height": "12,5"}), ("a.wav", "beach", {"height": "12,5"})
    ]  # fmt: skip
    (tmp_path / "t.csv").write_text("sep=;\nimage;label\na.png;x;y\n")
    said = problems(lambda: table(tmp_path / "t.csv"))
    assert "line 3 has more fields than the first line has columns, with 'y' in them (read as utf-8, separator " in said
