"""The archive: what it gives back, its filters against a plain loop, and how damage is named."""

from __future__ import annotations

import json
import sqlite3
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from dtbh.codes import HashCodes
from dtbh.data.manifest import Item
from dtbh.errors import CodesError, ConfigError
from dtbh.index.archive import create_archive, open_archive
from tests.reference import hamming as reference

LABELS, SPLITS, SPEAKERS = ("beach", "river", None), ("train", "test", None), ("ann", "ben")


FILES = ["archive.json", "codes.bin", "items.sqlite"]


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def make_codes(n=60, bits=20, seed=0, encoder="e1", modalities=("image", "sound"), prefix="i"):
    rng = np.random.default_rng(seed)
    values = rng.normal(size=(5, bits))[rng.integers(0, 5, n)]  # few distinct codes: many ties
    items = []
    for row in range(n):
        modality = modalities[row % len(modalities)]
        speaker = SPEAKERS[row % 3 % 2] if modality == "sound" else None
        items.append(
            Item(
                f"{prefix}{row}",
                modality,
                f"/media/{prefix}{row}.bin",
                LABELS[rng.integers(3)],
                f"p{row // 2}",
                SPLITS[rng.integers(3)],
                speaker,
                f"words of {row}" if speaker else None,
            )
        )
    return HashCodes.from_values(values, encoder=encoder, items=items)


@pytest.fixture
def codes():
    return make_codes()


@pytest.fixture
def archive(tmp_path, codes):
    return create_archive(tmp_path / "archive", codes, model=tmp_path / "runs" / "x")


def expected(codes, queries, k, passes):
    """Distances and ids by loops."""
    gallery = [(row, item) for row, item in enumerate(codes.items) if passes(item)]
    found = reference.nearest(
        [reference.code_of_words(words) for words in queries.words],
        [reference.code_of_words(codes.words[row]) for row, _ in gallery],
        k,
    )
    return [[(distance, gallery[place][1].id) for distance, place in pairs] for pairs in found]


def found(result):
    return [[(hit.distance, hit.item.id) for hit in hits] for hits in result]


def test_what_goes_in_comes_out(archive, codes, tmp_path):
    assert (archive.bits, archive.encoder, len(archive)) == (20, "e1", 60)
    assert archive.model == tmp_path / "runs" / "x"
    assert archive.labels() == ("beach", "river")
    assert archive.items([5, 0, 5]) == (codes.items[5], codes.items[0], codes.items[5])
    assert archive.items(range(60)) == codes.items
    assert archive.item("i7") == codes.items[7]
    assert (archive.words == codes.words).all()
    assert not archive.words.flags.writeable
    archive.verify()


def test_more_rows_than_one_statement_takes(tmp_path):
    codes = make_codes(1300)
    archive = create_archive(tmp_path / "a", codes)
    order = np.random.default_rng(0).permutation(1300)
    assert archive.items(order) == tuple(codes.items[row] for row in order)
    assert archive.model is None


def test_wrong_rows_and_ids(archive):
    with pytest.raises(CodesError, match="rows go from 0 to 59, asked for 3 to 60"):
        archive.items([3, 60])
    with pytest.raises(CodesError, match="no item has the id 'nobody'"):
        archive.item("nobody")


def test_an_item_is_itself_a_query(archive, codes):
    asked = archive.codes(["i7", "i3", "i7"])
    np.testing.assert_array_equal(asked.words, codes.words[[7, 3, 7]])
    assert [item.id for item in asked.items] == ["i7", "i3", "i7"]
    assert [hits[0].distance for hits in archive.search(asked, k=1, find="any")] == [0, 0, 0]
    assert archive.codes([]).words.shape == (0, 1)
    with pytest.raises(CodesError, match="no item has the id 'nobody'"):
        archive.codes(["i1", "nobody"])


def test_counts(archive, tmp_path):
    assert archive.counts() == {"image": 30, "sound": 30}
    assert create_archive(tmp_path / "images", make_codes(modalities=("image",))).counts() == {"image": 60}


def test_it_moves_with_its_media(archive, tmp_path):
    (tmp_path / "deep").mkdir()
    (tmp_path / "archive").rename(tmp_path / "deep" / "archive")
    moved = open_archive(tmp_path / "deep" / "archive")
    assert moved.model == tmp_path / "deep" / "runs" / "x"
    assert moved.items([0])[0].path != "/media/i0.bin"
    (tmp_path / "deep" / "archive").rename(tmp_path / "back")
    assert open_archive(tmp_path / "back").items([0])[0].path == "/media/i0.bin"


WHERE = [
    {},
    {"label": "beach"},
    {"split": "test"},
    {"label": "river", "split": "train"},
    {"speaker": "ann"},
    {"pair": "p3"},
    {"label": "nowhere"},
]


@pytest.mark.parametrize("where", WHERE)
@pytest.mark.parametrize("find", ["image", "sound", "any"])
@pytest.mark.parametrize("k", [1, 4, 1000])
def test_filters_are_exact(archive, codes, where, find, k):
    queries = make_codes(7, seed=5, prefix="q")
    result = archive.search(queries, k, find=find, where=where)

    def passes(item):
        return find in ("any", item.modality) and all(getattr(item, f) == v for f, v in where.items())

    assert found(result) == expected(codes, queries, k, passes)
    assert result.items == tuple(tuple(codes.items[row] for row in rows) for rows in result.rows)


def test_the_filter_cases_are_not_empty(codes):
    hits = [sum(all(getattr(i, f) == v for f, v in where.items()) for i in codes.items) for where in WHERE]
    assert [count > 0 for count in hits] == [True] * 6 + [False]
    assert max(hits[1:]) < len(codes)


def test_more_filters_than_are_kept(archive, codes):
    for _ in range(2):
        for pair in range(25):
            result = archive.search(codes.select([0]), 5, find="any", where={"pair": f"p{pair}"})
            assert {item.id for item in result.items[0]} == {f"i{2 * pair}", f"i{2 * pair + 1}"}


@pytest.mark.parametrize(
    ("held", "asked", "gets"),
    [
        (("image", "sound"), "sound", {"image"}),
        (("image", "sound"), "image", {"sound"}),
        (("image",), "image", {"image"}),
        (("image",), "sound", {"image"}),
        (("sound",), "sound", {"sound"}),
    ],
)
def test_what_a_query_finds_by_itself(tmp_path, held, asked, gets):
    archive = create_archive(tmp_path / "a", make_codes(modalities=held))
    queries = make_codes(3, seed=2, modalities=(asked,), prefix="q")
    result = archive.search(queries, 60)
    assert {item.modality for items in result.items for item in items} == gets
    assert result.rows.shape == (3, 60 // len(held))


def test_a_modality_in_where_decides_alone(archive):
    queries = make_codes(1, modalities=("sound",), prefix="q")
    result = archive.search(queries, 3, where={"modality": "sound"})
    assert {item.modality for item in result.items[0]} == {"sound"}
    assert archive.search(queries, 3, find="image", where={"modality": "sound"}).rows.shape == (1, 0)


def test_mixed_queries_say_what_to_find(archive, codes):
    with pytest.raises(ConfigError, match="say what to find: image, sound or any"):
        archive.search(codes.select([0, 1]))
    assert archive.search(codes.select([0, 1]), 3, find="any").rows.shape == (2, 3)


def test_no_queries_and_no_items(archive, codes, tmp_path):
    assert archive.search(codes.select([]), 3).rows.shape == (0, 3)
    empty = create_archive(tmp_path / "empty", codes.select([]))
    assert (len(empty), empty.labels()) == (0, ())
    assert open_archive(tmp_path / "empty").search(codes.select([1]), 3).rows.shape == (1, 0)
    empty.verify()


def test_other_codes_are_refused(archive):
    with pytest.raises(CodesError, match=r"of encoder e2, the archive .*archive of e1"):
        archive.search(make_codes(1, encoder="e2"))
    with pytest.raises(CodesError, match=r"have 21 bits, the archive .*archive 20"):
        archive.search(make_codes(1, bits=21))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"k": 0}, "k, the number of hits, must be a whole number from 1, found 0"),
        ({"where": {"lable": "beach"}}, "unknown filter field 'lable'; did you mean label"),
        ({"where": {"x": "beach"}}, "unknown filter field 'x'; known are id, modality, path, label"),
        ({"where": {"row = 0 OR label": "beach"}}, "unknown filter field"),
        ({"where": {"split": "tset"}}, "unknown split 'tset'; did you mean test"),
        ({"where": {"modality": "any"}}, "unknown modality 'any'"),
        ({"find": "images"}, "unknown find 'images'; did you mean image"),
    ],
)
def test_wrong_questions(archive, codes, arguments, message):
    with pytest.raises(ConfigError, match=message):
        archive.search(codes.select([0]), **arguments)


def test_threads_read_the_same(archive, codes):
    def ask(seed):
        queries = make_codes(2, seed=seed, prefix="q")
        return found(archive.search(queries, 9, find="any", where=WHERE[seed % len(WHERE)]))

    with ThreadPoolExecutor(8) as pool:
        together = list(pool.map(ask, range(40)))
    assert together == [ask(seed) for seed in range(40)]


def test_bytes_beyond_what_was_committed_are_ignored(archive, codes):
    with (archive.path / "codes.bin").open("ab") as file:
        file.write(b"half a co")
    again = open_archive(archive.path)
    assert len(again) == 60
    assert (again.words == codes.words).all()
    again.verify()


def test_writing_again_replaces_an_archive_and_nothing_else(archive, tmp_path):
    before = archive.items([0])
    create_archive(archive.path, make_codes(7, prefix="n"))
    assert len(open_archive(archive.path)) == 7
    assert archive.items([0]) == before, "an open archive shows what it was opened on"
    assert names(tmp_path) == ["archive"]
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "a.tif").write_bytes(b"x")
    with pytest.raises(CodesError, match="photos: the folder is in use and holds no archive"):
        create_archive(tmp_path / "photos", make_codes(7))
    with pytest.raises(CodesError, match="ids stand more than once"):
        create_archive(tmp_path / "new", make_codes(7).select([1, 1]))
    assert not (tmp_path / "new").exists()


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
        lambda path: edit(path, version=3),
        r"archive\.json: version 3, this dtbh reads 1 and 2; update",
    ),
    ("archive.json", lambda path: path.write_text("{"), r"archive\.json: can't be read as JSON"),
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


def test_a_filter_is_not_taken_for_another(archive, codes):
    counts = [
        archive.search(codes.select([0]), 60, find="any", where=where).rows.shape[1]
        for where in ({"label": "river"}, {"label": "river", "split": "train"}, {"label": "beach"})
    ]
    rivers = [item for item in codes.items if item.label == "river"]
    beaches = [item for item in codes.items if item.label == "beach"]
    assert counts == [len(rivers), sum(item.split == "train" for item in rivers), len(beaches)]


def test_reading_writes_nothing(archive, codes):
    with pytest.raises(sqlite3.OperationalError, match="readonly"):
        archive._view()._sqlite.execute("DELETE FROM items")
    before = [(archive.path / name).stat().st_mtime_ns for name in sorted(FILES)]
    again = open_archive(archive.path)
    again.search(codes.select([0]), 3)
    again.verify()
    assert names(archive.path) == FILES
    assert [(archive.path / name).stat().st_mtime_ns for name in sorted(FILES)] == before
