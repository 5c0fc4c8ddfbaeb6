"""The contact sheet: whole, self-contained and safe whatever the items say."""

from __future__ import annotations

import base64
import io
import re
from html.parser import HTMLParser

import numpy as np
import pytest
from PIL import Image

from dtbh.codes import HashCodes
from dtbh.data.inline import SOUND_BYTES
from dtbh.data.manifest import Item
from dtbh.errors import CodesError
from dtbh.index.archive.archive import create_archive
from dtbh.media.image import THUMBNAIL
from dtbh.search.contact_sheet import write_sheet

EVIL = "<script>alert('x')</script>\"&"


class Reader(HTMLParser):
    """Collects tags, text and what the page would load; unbalanced tags fail."""

    def __init__(self, text):
        super().__init__()
        self.open, self.tags, self.sources, self.text = [], [], [], ""
        self.feed(text)
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.sources += [value for name, value in attrs if name in ("src", "href")]
        if tag not in ("meta", "img", "path", "br"):
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text += data


@pytest.fixture
def items(tmp_path):
    rng = np.random.default_rng(0)
    Image.fromarray(rng.integers(0, 255, (300, 200, 3), np.uint8)).save(tmp_path / "a.tif")
    Image.fromarray(rng.integers(0, 60000, (64, 64)).astype(np.uint16)).save(tmp_path / "deep.tif")
    (tmp_path / "broken.jpg").write_bytes(b"\xff\xd8\xff nothing")
    (tmp_path / "s.flac").write_bytes(b"fLaC and so on")
    (tmp_path / "long.wav").write_bytes(bytes(SOUND_BYTES))
    return [
        Item("a", "image", str(tmp_path / "a.tif"), "beach"),
        Item("deep", "image", str(tmp_path / "deep.tif"), EVIL),
        Item("broken", "image", str(tmp_path / "broken.jpg")),
        Item("gone", "image", str(tmp_path / f"{EVIL.replace('/', '')}.tif"), EVIL),
        Item("s" + EVIL, "sound", str(tmp_path / "s.flac"), EVIL, transcript=EVIL),
        Item("long", "sound", str(tmp_path / "long.wav")),
        Item("unspoken", "sound", transcript="a beach"),
    ]


@pytest.fixture
def codes(items):
    values = np.random.default_rng(1).normal(size=(len(items), 70))
    return HashCodes.from_values(values, encoder="e", items=items)


def sheet(tmp_path, codes, queries, *, bits=False, **how):
    archive = create_archive(tmp_path / "archive", codes)
    result = archive.search(queries, **how)
    words = archive.words[result.rows] if bits else None
    path = write_sheet(result, queries, tmp_path / "sheet.html", hit_words=words)
    return result, path.read_text(encoding="utf-8")


def test_everything_shows_and_nothing_is_fetched(tmp_path, codes):
    _, page = sheet(tmp_path, codes, codes.select([4]), find="any")
    reader = Reader(page)
    assert reader.tags.count("li") == 7
    assert reader.tags.count("img") == 2
    assert reader.tags.count("audio") == 2  # the query, and itself among the hits
    assert all(source.startswith(("data:image/jpeg;base64,", "data:audio/flac;base64,")) for source in reader.sources)
    assert not re.search(r"https?:|url\(|@import", page)
    for words in (
        "file is gone:",
        "can't be read",
        "too long to be put into this page",
        "no file",
        "distance 0",
    ):
        assert words in reader.text
    assert "prefers-color-scheme: dark" in page
    assert 'name="viewport"' in page


def test_texts_are_escaped(tmp_path, codes):
    _, page = sheet(tmp_path, codes, codes.select([4]), find="any")
    reader = Reader(page)
    assert "script" not in reader.tags
    assert reader.text.count(EVIL) >= 6
    assert EVIL not in page


def test_pictures_are_small_and_deep_ones_are_stretched(tmp_path, codes):
    _, page = sheet(tmp_path, codes.select([0, 1]), codes.select([6]), k=2)
    pictures = [
        Image.open(io.BytesIO(base64.b64decode(data))) for data in re.findall(r"data:image/jpeg;base64,([^\"]+)", page)
    ]
    assert sorted(picture.size for picture in pictures) == [(64, 64), (107, THUMBNAIL)]
    deep = next(picture for picture in pictures if picture.size == (64, 64))
    assert 60 < np.asarray(deep).mean() < 200


def test_bits_that_differ_are_marked(tmp_path, codes):
    result, page = sheet(tmp_path, codes, codes.select([0]), bits=True, find="any", k=3)
    names = re.findall(r'aria-label="(\d+) of 70 bits differ', page)
    assert [int(name) for name in names] == [0, *result.distances[0].tolist()]
    marked = [path.count("M") for path in re.findall(r'class="differs" d="([^"]*)"', page)]
    assert marked == [distance for distance in result.distances[0].tolist() if distance]
    assert len(marked) == 2
    on = [path.count("M") for path in re.findall(r'class="on" d="([^"]*)"', page)]
    shown = [0, *result.rows[0].tolist()]
    assert on == [sum(int(word).bit_count() for word in codes.words[row]) for row in shown]
    assert len(set(on)) > 1


def test_no_bits_without_codes_and_no_hits(tmp_path, codes):
    _, page = sheet(tmp_path, codes, codes.select([0]), find="any", where={"label": "none"})
    assert "Nothing passes." in page
    assert "svg" not in Reader(page).tags


def test_what_does_not_fit_is_refused(tmp_path, codes):
    archive = create_archive(tmp_path / "archive", codes)
    result = archive.search(codes.select([0]), 2, find="any")
    with pytest.raises(CodesError, match="the result has 1 queries, but 2 were given"):
        write_sheet(result, codes.select([0, 1]), tmp_path / "x.html")
    with pytest.raises(CodesError, match=r"must be \[1, 2, 2\], found \[1, 2\]"):
        write_sheet(result, codes.select([0]), tmp_path / "x.html", hit_words=archive.words[:1])
    assert not (tmp_path / "x.html").exists()


def test_a_real_image(tmp_path, shared_data):
    path = next((shared_data / "ucm" / "Images" / "airplane").iterdir())
    codes = HashCodes.from_values([[1.0] * 8], encoder="e", items=[Item("real", "image", str(path))])
    _, page = sheet(tmp_path, codes, codes)
    assert Reader(page).tags.count("img") == 2
