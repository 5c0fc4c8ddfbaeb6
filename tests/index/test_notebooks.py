"""What notebooks show of results and archives: small, and no text of a file's becomes markup."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

from dtbh.codes import HashCodes
from dtbh.data.manifest import Item
from dtbh.index.archive.archive import create_archive
from dtbh.index.result import SHOWN, SearchResult

EVIL = '<script>alert("x")</script>'


def result(items: list[Item], queries: int = 1) -> SearchResult:
    rows = np.tile(np.arange(len(items)), (queries, 1)).astype(np.int64)
    return SearchResult(rows.astype(np.int32) + 3, rows, (tuple(items),) * queries)


def test_tiles_have_distances_and_sounds_a_player(tmp_path: Path) -> None:
    Image.new("RGB", (9, 9), "navy").save(tmp_path / "a.png")
    (tmp_path / "b.wav").write_bytes(b"RIFF")
    items = [
        Item("a", "image", str(tmp_path / "a.png"), "harbor"),
        Item("b", "sound", str(tmp_path / "b.wav")),
        Item("c", "image", str(tmp_path / "gone.png")),
        Item("d", "text", transcript="boats"),
    ]
    html = result(items)._repr_html_()
    assert html.count('<img src="data:image/jpeg;base64,') == 1
    assert html.count("<audio controls") == 1
    assert "file is gone" in html
    assert [f"distance {n}" in html for n in (3, 4, 5, 6, 7)] == [True] * 4 + [False]
    assert "harbor" in html


def test_texts_are_escaped(tmp_path: Path) -> None:
    items = [Item(f"{EVIL}{n}", "image", f"/{EVIL}{n}.png", label) for n, label in enumerate((None, EVIL))]
    codes = HashCodes(np.zeros((2, 1), np.uint64), 12, "e1", tuple(items))
    archive = create_archive(tmp_path / "archive", codes)
    for html in (result(items)._repr_html_(), archive._repr_html_()):
        assert "&lt;script&gt;" in html
        assert "<script" not in html


def test_of_many_the_first_are_shown(tmp_path: Path) -> None:
    html = result([Item(f"i{n}", "image") for n in range(2 * SHOWN)], queries=SHOWN + 2)._repr_html_()
    assert html.count("distance") == SHOWN * SHOWN
    assert html.endswith("<p>and 2 queries more</p>")
