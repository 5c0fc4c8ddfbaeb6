"""What an archive holds by its words: counted, and drawn whole and safe whatever the words say."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest
from PIL import Image

from dtbh.cli.main import main
from dtbh.data.item_words import best, own_fields, word_fields
from dtbh.errors import ConfigError
from dtbh.index.archive.archive import create_archive
from dtbh.search.holdings import holdings
from dtbh.search.holdings_page import shapes, write_holdings
from tests.index.made import make_codes
from tests.search.test_contact_sheet import EVIL, Reader

PLAIN = EVIL.replace(";", "")


@pytest.fixture
def archive(tmp_path):
    """Thirty images, a third of which are unnamed; the likelier a word, the higher the number."""
    codes = make_codes()
    items = []
    for row, item in enumerate(codes.items):
        path = tmp_path / f"{row}.png"
        if item.modality == "image" and row % 3:
            Image.new("RGB", (8, 8), (4 * row, 90, 90)).save(path)
            word = "river" if row > 20 else PLAIN
            fields = {**item.fields, **word_fields([word, "sea"], [row / 60, 0], "x")}
            item = replace(item, path=str(path), window=None, fields=fields)
        items.append(item)
    return create_archive(tmp_path / "archive", replace(codes, items=tuple(items)))


def test_counts_and_examples(archive):
    found = holdings(archive, pictures=True)
    assert dict(found.counts) == {"river": 13, PLAIN: 7}
    assert [*found.counts] == ["river", PLAIN]
    assert (found.images, found.named, dict(found.lists)) == (30, 20, {"x": 20})
    assert [item.id for item in found.examples["river"]] == ["i58", "i56", "i52", "i50"]
    assert "unnamed   10 images; dtbh label" in found.describe()
    assert found.placed
    assert all(item.footprint and "word" in item.fields for item in found.placed)
    assert not holdings(archive, pictures=False).examples


def test_the_page_is_whole_and_safe(archive, tmp_path):
    page = write_holdings(holdings(archive, pictures=True), tmp_path / "out" / "x.html").read_text()
    read = Reader(re.sub(r'<path style="[^"]*" d="[^"]*">', "", page).replace("</title></path>", "</title>"))
    assert "script" not in read.tags
    assert PLAIN in read.text
    assert page.count("<img") == 8
    assert all(source.startswith("data:") for source in read.sources)
    assert len(re.findall("<path style", page)) == len(holdings(archive, pictures=True).placed)


def test_a_picture(archive, tmp_path):
    pytest.importorskip("matplotlib", reason="matplotlib is not installed: pip install 'dtbh[plots]'")
    path = write_holdings(holdings(archive, pictures=True), tmp_path / "x.png")
    with Image.open(path) as image:
        assert image.width > 1000
        assert len(image.convert("RGB").getcolors(1 << 20)) > 50


def test_a_footprint_beyond_the_180th_meridian_hangs_together():
    item = make_codes(2).items[0]
    over = ((179.0, 10.0), (-179.0, 10.0), (-179.0, 8.0), (179.0, 8.0))
    (shape,) = shapes([replace(item, footprint=over, fields={"word": "sea"})])
    xs = [x for x, _ in shape.corners]
    assert max(xs) - min(xs) == pytest.approx(2 * 0.985, abs=0.01)


def test_what_it_says_where_there_is_nothing(tmp_path, archive, capsys):
    bare = create_archive(tmp_path / "bare", make_codes())
    with pytest.raises(ConfigError, match="no image has a word yet; give them some: dtbh label"):
        holdings(bare, pictures=False)
    assert main(["info", str(archive.path), "--out", "x.html"]) == 2
    assert "goes with --words" in capsys.readouterr().err
    assert main(["info", str(archive.path), "--words", "--out", "x.gif"]) == 2
    assert "ends in .html or .png" in capsys.readouterr().err
    assert main(["info", str(archive.path), "--words"]) == 0
    assert "          13  river" in capsys.readouterr().out


def test_fields_that_are_not_ours_are_let_be():
    item = make_codes(1).items[0]
    mine = replace(item, fields={"word": "Hafen", "word_probabilities": "much"})
    assert own_fields(mine) == mine.fields
    assert best(mine) == best(replace(mine, fields={**mine.fields, "named_by": "x"})) == 0
