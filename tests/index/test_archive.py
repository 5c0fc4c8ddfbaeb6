"""The archive on disk: its files, what it moves with, and how damage is named. `test_engines` asks what it answers."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest

from dtbh.errors import CodesError
from dtbh.index.archive.archive import create_archive, open_archive
from dtbh.index.exact import SEARCHERS
from tests.index.made import make_codes

FILES = ["archive.json", "codes.bin", "items.sqlite"]


def names(folder):
    return sorted(path.name for path in folder.iterdir())


@pytest.fixture
def codes():
    return make_codes()


@pytest.fixture
def archive(tmp_path, codes):
    return create_archive(tmp_path / "archive", codes, model=tmp_path / "runs" / "x")


def test_what_lies_on_disk(archive, codes, tmp_path):
    assert names(archive.path) == FILES
    assert (archive.path / "codes.bin").read_bytes() == codes.words.astype("<u8").tobytes()
    assert archive.model == tmp_path / "runs" / "x"
    assert not archive.words.flags.writeable
    archive.verify()


def test_more_rows_than_one_statement_takes(tmp_path):
    codes = make_codes(1300)
    archive = create_archive(tmp_path / "a", codes)
    order = np.random.default_rng(0).permutation(1300)
    assert archive.items(order) == tuple(codes.items[row] for row in order)


def test_more_rows_than_one_segment_takes(tmp_path, monkeypatch):
    for room in ("dtbh.index.archive.writing", "dtbh.index.archive.snapshot"):
        monkeypatch.setattr(f"{room}.SEGMENT", 7)
    codes = make_codes()
    archive = create_archive(tmp_path / "a", codes)
    archive.verify()
    assert archive.info().segments == 9
    for where in ({"label": "beach"}, {"sensor": "S2"}, {"pair": "p11"}, {"modality": "sound", "split": "test"}):
        wanted = [
            row
            for row, item in enumerate(codes.items)
            if all(item.fields.get(name, getattr(item, name, None)) == value for name, value in where.items())
        ]
        assert archive.rows(where).tolist() == wanted
        assert wanted
    archive.remove([f"i{row}" for row in range(0, 60, 2)])
    archive.compact()
    assert archive.info().segments == 5
    assert archive.items(archive.rows()) == codes.items[1::2]


def test_it_moves_with_its_media(archive, tmp_path):
    (tmp_path / "deep").mkdir()
    (tmp_path / "archive").rename(tmp_path / "deep" / "archive")
    moved = open_archive(tmp_path / "deep" / "archive")
    assert moved.model == tmp_path / "deep" / "runs" / "x"
    assert moved.items([0])[0].path != "/media/i0.bin"
    (tmp_path / "deep" / "archive").rename(tmp_path / "back")
    assert open_archive(tmp_path / "back").items([0])[0].path == "/media/i0.bin"


def test_through_a_link_paths_hold(archive, codes, tmp_path):
    (tmp_path / "far").mkdir()
    (tmp_path / "far" / "link").symlink_to(archive.path)
    linked = open_archive(tmp_path / "far" / "link")
    linked.add(make_codes(3, prefix="n"))
    assert open_archive(archive.path).item("n0").path == "/media/n0.bin"
    assert linked.rows({"path": "/media/n1.bin"}).tolist() == [61]
    create_archive(tmp_path / "far" / "link", codes)
    assert open_archive(archive.path).item("i0").path == "/media/i0.bin"


def test_more_filters_than_are_kept(archive, codes):
    for _ in range(2):
        for pair in range(25):
            result = archive.search(codes.select([0]), 5, find="any", where={"pair": f"p{pair}"})
            assert {item.id for item in result.items[0]} == {f"i{2 * pair}", f"i{2 * pair + 1}"}
            assert archive.rows({"pair": f"p{pair}"}).tolist() == [2 * pair, 2 * pair + 1]
            archive.rows({"sensor": "S2"})
    assert len(archive._view()._kept) > 1
    assert len(archive._view()._searchers) == SEARCHERS


def test_a_filter_in_use_keeps_its_searcher(archive, codes):
    archive.search(codes.select([0]), 5, find="any")
    searcher = archive._view().searcher([])
    for pair in range(10):
        archive.search(codes.select([0]), 5, find="any", where={"pair": f"p{pair}"})
        assert archive._view().searcher([]) is searcher


def test_bytes_beyond_what_was_committed_are_ignored(archive, codes):
    with (archive.path / "codes.bin").open("ab") as file:
        file.write(b"half a co")
    again = open_archive(archive.path)
    assert len(again) == 60
    assert (again.words == codes.words).all()
    again.verify()
    again.add(make_codes(5, prefix="n"))
    again.verify()
    assert (archive.path / "codes.bin").stat().st_size == 65 * 8


def test_writing_again_replaces_an_archive_and_nothing_else(archive, tmp_path):
    before = archive.items([0])
    (archive.path / "notes.txt").write_text("mine")
    create_archive(archive.path, make_codes(7, prefix="n"))
    assert len(open_archive(archive.path)) == 7
    assert archive.items([0]) == before, "an open archive shows what it was opened on"
    assert names(archive.path) == ["archive.json", "codes-1.bin", "items-1.sqlite", "notes.txt"]
    assert names(tmp_path) == ["archive"]
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "a.tif").write_bytes(b"x")
    with pytest.raises(CodesError, match="photos: the folder is in use and holds no archive"):
        create_archive(tmp_path / "photos", make_codes(7))
    with pytest.raises(CodesError, match="ids stand more than once"):
        create_archive(tmp_path / "new", make_codes(7).select([1, 1]))
    assert not (tmp_path / "new").exists()


VERSION_1 = """
CREATE TABLE segments (first INTEGER PRIMARY KEY, count INTEGER NOT NULL, sha256 TEXT NOT NULL);
CREATE TABLE items (row INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, modality TEXT NOT NULL, path TEXT,
                    label TEXT, pair TEXT, split TEXT, speaker TEXT, transcript TEXT);
CREATE INDEX items_modality ON items (modality);
CREATE INDEX items_label ON items (label);
"""


def write_version_1(path, codes):
    """An archive as dtbh 0.1.0 wrote it."""
    import hashlib

    path.mkdir()
    data = codes.words.astype("<u8").tobytes()
    (path / "codes.bin").write_bytes(data)
    (path / "archive.json").write_text('{"version": 1, "bits": 20, "encoder": "e1", "model": "../runs/x"}')
    with closing(sqlite3.connect(path / "items.sqlite")) as sqlite, sqlite:
        sqlite.executescript(VERSION_1)
        sqlite.execute("INSERT INTO segments VALUES (0, ?, ?)", [len(codes), hashlib.sha256(data).hexdigest()])
        for row, i in enumerate(codes.items):
            file = i.path and f"../../media/{i.path[7:]}"
            values = (row, i.id, i.modality, file, i.label, i.pair, i.split, i.speaker, i.transcript)
            sqlite.execute("INSERT INTO items VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)", values)


def test_an_older_archive_reads_and_is_brought_up_to_date(tmp_path):
    codes = make_codes()
    write_version_1(tmp_path / "old", codes)
    old, new = open_archive(tmp_path / "old"), create_archive(tmp_path / "new", codes)
    old.verify()
    queries = make_codes(3, modalities=("image",), prefix="q")
    for where in ({}, {"label": "beach"}, {"speaker": "ann", "split": "test"}, {"id": "i3"}):
        found, wanted = old.search(queries, 9, where=where), new.search(queries, 9, where=where)
        assert (found.distances.tolist(), found.rows.tolist()) == (wanted.distances.tolist(), wanted.rows.tolist())
    assert (old.labels(), old.counts()) == (new.labels(), new.counts())
    assert [item.transcript for item in old.items(old.rows())] == [item.transcript for item in codes.items]
    with pytest.raises(CodesError, match=r"written by an older dtbh; bring it up to date first: dtbh compact .*old"):
        old.add(make_codes(2, prefix="n"))
    old.compact()
    assert (old.info().version, old.model) == (2, tmp_path / "runs" / "x")
    assert old.add(make_codes(2, prefix="n")) == 2
    old.verify()
    assert old.rows({"label": "beach"}).size >= new.rows({"label": "beach"}).size > 0


def cut(path: Path):
    path.write_bytes(path.read_bytes()[:-1])


def edit(path: Path, **changes):
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


def forget(path: Path):
    with sqlite3.connect(path) as sqlite:
        sqlite.execute("DELETE FROM items WHERE row = 3")
    sqlite.close()


def no_database(path: Path):
    path.write_bytes(b"this is not a database, and long enough to look at" * 100)


OPENING = [
    ("codes.bin", cut, r"codes\.bin: was cut: 479 bytes, wanted 480 for 60 codes"),
    ("codes.bin", Path.unlink, r"codes\.bin: can't be read \(No such file"),
    ("items.sqlite", Path.unlink, r"items\.sqlite: is missing"),
    ("items.sqlite", no_database, r"items\.sqlite: can't be read \(file is not a database\)"),
    ("archive.json", Path.unlink, r"archive: no archive here, archive\.json is missing"),
    (
        "archive.json",
        lambda path: edit(path, version=4),
        r"archive\.json: version 4, this dtbh reads 1 and 2 and 3; update",
    ),
    ("archive.json", lambda path: path.write_text("{"), r"archive\.json: can't be read as JSON"),
    ("archive.json", lambda path: path.write_text("[" * 100_000), r"archive\.json: can't be read as JSON"),
    ("archive.json", lambda path: path.write_text('{"version": 1}'), r"lacks bits, encoder, model"),
]


@pytest.mark.parametrize(("name", "damage", "message"), OPENING)
def test_damage_seen_at_opening(archive, name, damage, message):
    damage(archive.path / name)
    with pytest.raises(CodesError, match=message) as caught:
        open_archive(archive.path)
    assert "\n" not in str(caught.value)


def test_damage_seen_by_verifying(archive):
    path = archive.path / "codes.bin"
    data = bytearray(path.read_bytes())
    data[100] ^= 4
    path.write_bytes(data)
    altered = open_archive(archive.path)
    with pytest.raises(CodesError, match=r"codes\.bin: codes 0 to 59 were altered: SHA-256 \w{16}, wanted \w{16}"):
        altered.verify()


def test_items_that_were_lost(archive):
    forget(archive.path / "items.sqlite")
    damaged = open_archive(archive.path)
    with pytest.raises(CodesError, match="damaged: 59 of 60 items"):
        damaged.verify()
    with pytest.raises(CodesError, match="lacks 1 items"):
        damaged.items([2, 3])


def test_reading_writes_nothing(archive, codes):
    with pytest.raises(sqlite3.OperationalError, match="readonly"):
        archive._view()._database._sqlite.execute("DELETE FROM items")
    before = [(archive.path / name).stat().st_mtime_ns for name in sorted(FILES)]
    again = open_archive(archive.path)
    again.search(codes.select([0]), 3)
    again.verify()
    assert names(archive.path) == FILES
    assert [(archive.path / name).stat().st_mtime_ns for name in sorted(FILES)] == before
