"""Archives that grow by what is not there. The encoder is a stand-in that counts."""

from __future__ import annotations

import shutil

import pytest

from dtbh.errors import CodesError, MediaError
from dtbh.index.archive.archive import open_archive
from dtbh.stages.index import grow, index
from tests.stages.conftest import N, killed


def test_growing_adds_what_is_not_there(model, media, tmp_path):
    out = tmp_path / "out"
    index("x", media, out=out)
    model.encoded.clear()
    for n in range(6):
        (media / f"new{n}.png").write_bytes(f"new {n}".encode())
    (media / "new3.png").write_bytes(b"bad")
    done = grow("x", media, out=out)
    assert (done.count, done.new, len(done.failures)) == (N + 5, 5, 1)
    assert model.encoded == [f"new{n}.png" for n in range(6)]
    assert grow("x", media, out=out).new == 0
    archive = open_archive(out)
    assert [item.id for item in archive.items(archive.rows())][N:] == [f"new{n}.png" for n in (0, 1, 2, 4, 5)]
    assert len(archive._view().segments) == 3


def test_a_killed_growth_goes_on_where_it_was(model, media, tmp_path):
    out = tmp_path / "out"
    (tmp_path / "some").mkdir()
    shutil.copy2(media / "000.png", tmp_path / "some" / "a.png")
    index("x", tmp_path / "some", out=out)
    model.encoded.clear()
    assert killed(model, 10, lambda: grow("x", media, out=out))
    assert len(open_archive(out)) == 9
    grow("x", media, out=out)
    assert model.encoded == [f"{n:03}.png" for n in range(8, N)]
    assert len(open_archive(out)) == N + 1


def test_growing_refuses_what_does_not_fit(model, media, tmp_path):
    out, other = tmp_path / "out", tmp_path / "other"
    index("x", media, out=out)
    other.mkdir()
    (other / "003.png").write_bytes(b"another")
    with pytest.raises(CodesError, match=r"1 ids stand for other files there, the first is 003\.png: .*media.*other"):
        grow("x", other, out=out)
    with pytest.raises(CodesError, match="no archive here"):
        grow("x", media, out=tmp_path / "nowhere")
    model.fingerprint = "e2"
    with pytest.raises(CodesError, match=r"made by encoder e1, .* is e2; add with"):
        grow("x", media, out=out)
    assert len(open_archive(out)) == N


def test_growing_leaves_out_a_name_that_is_not_utf8(model, media, tmp_path):
    try:
        (media / "zz\udce9.png").write_bytes(b"tile")
    except OSError:
        pytest.skip("the file system takes names in UTF-8 alone")
    with pytest.raises(MediaError, match="is not UTF-8"):
        grow("x", media, out=tmp_path / "out", make=True, strict=True)
    assert model.encoded == []
    done = grow("x", media, out=tmp_path / "out", make=True)
    assert (done.count, len(done.failures), len(model.encoded)) == (N, 1, N)
