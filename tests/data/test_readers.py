from __future__ import annotations

import json
from pathlib import Path

import pytest

from dtbh.data.manifest import Item
from dtbh.data.sources.table import table
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
        ("image,sound,label\n,,x\n", "line 2 has neither image nor sound"),
        ("image,sound,label\na.png,a.wav,x,y\n", "line 2 has more fields"),
        ("image,sound,split\na.png,a.wav,dev\n", "line 2: item a.png: split must be train, val or test"),
        ("image,sound,label\na.png,a.wav,x\na.png,b.wav,y\n", "line 3: label 'y' of a.png, which an earlier"),
        ("image,sound,label\na.png,a.wav,x\nb.png,./a.wav,x\n", "line 3: sound ./a.wav stands on an earlier"),
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
    assert "can't be read as UTF-8" in problems(lambda: table(tmp_path / "t.csv"))
    assert "can't be read" in problems(lambda: table(tmp_path))
