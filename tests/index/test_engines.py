"""What every engine answers, whatever it is made of: each test runs over each engine, against plain loops.

An engine more is a function more in ENGINES of conftest.py: from codes to an index that holds them, and nothing else.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from dtbh.codes import HashCodes
from dtbh.data.manifest import Item
from dtbh.errors import CodesError, ConfigError
from dtbh.index.archive.archive import create_archive
from tests.index.conftest import QUERIES, WHERE, cut, expected, found, inside, passes
from tests.index.made import make_codes

NAMED = ("modality", "split", "speaker", "sensor")


def test_what_goes_in_comes_out(make) -> None:
    codes = make_codes()
    index = make(codes)
    assert (index.bits, index.encoder, len(index), index.model) == (20, "e1", 60, None)
    assert (index.labels(), index.counts()) == (("beach", "river"), {"image": 30, "sound": 30})
    for name in NAMED:
        held = {item.fields.get(name, getattr(item, name, None)) for item in codes.items} - {None}
        assert set(index.values(name)) == held, name
    assert index.values("label") == index.labels()
    assert index.items([5, 0, 5]) == (codes.items[5], codes.items[0], codes.items[5])
    assert index.items(index.rows()) == codes.items
    assert index.item("i7") == codes.items[7]
    np.testing.assert_array_equal(index.at(range(60)).words, codes.words)
    asked = index.codes(["i7", "i3", "i7"])
    np.testing.assert_array_equal(asked.words, codes.words[[7, 3, 7]])
    assert asked.items == tuple(codes.items[row] for row in (7, 3, 7))
    assert index.codes([]).words.shape == index.at([]).words.shape == (0, 1)


def test_what_is_not_there_is_named(make) -> None:
    index = make(make_codes())
    with pytest.raises(CodesError, match="rows go from 0 to 59, asked for 3 to 60"):
        index.items([3, 60])
    with pytest.raises(CodesError, match="rows go from 0 to 59, asked for -1"):
        index.at([-1])
    for ask in (index.item, lambda id: index.codes(["i1", id]), lambda id: index.remove(["i1", id])):
        with pytest.raises(CodesError, match="no item has the id 'nobody'"):
            ask("nobody")
    assert len(index) == 60


@pytest.mark.parametrize("find", ["image", "sound", "any"])
def test_filters_are_exact(make, find) -> None:
    codes = make_codes()
    index = make(codes)
    for where in WHERE:
        answers = expected(codes, QUERIES, find, where)
        for k in (1, 4, 1000):
            result = index.search(QUERIES, k, find=find, where=where)
            assert found(result) == cut(answers, k), where
            assert result.items == tuple(tuple(codes.items[row] for row in rows) for rows in result.rows)
        for radius in (0, 5, 20):
            results = index.within(QUERIES, radius, find=find, where=where)
            assert [found(result)[0] for result in results] == inside(answers, radius), where
        wanted = [row for row, item in enumerate(codes.items) if passes(item, "any", where)]
        assert index.rows(where).tolist() == wanted


BOXES = [
    "-180,-90,180,90",
    "0,0,90,60",
    "-10.5,-20,-10,40",
    "170,-80,-150,80",
    "178,-90,179,90",
    "-180,0,-179,1",
    "40,0,41,0",
]


def touches(footprint, box: str) -> bool:
    """Whether any point of a fine grid over the footprint lies in the box, or any of the box's in it."""
    west, south, east, north = map(float, box.split(","))
    (left, top), (right, bottom) = footprint[0], footprint[2]
    right, east = right + 360 * (right < left), east + 360 * (east < west)
    across = any(max(left + turn, west) <= min(right + turn, east) for turn in (-360, 0, 360))
    return across and max(bottom, south) <= min(top, north)


@pytest.mark.parametrize("box", BOXES)
def test_boxes_are_exact(make, box) -> None:
    codes = make_codes()
    index = make(codes)
    wanted = [row for row, item in enumerate(codes.items) if item.footprint and touches(item.footprint, box)]
    assert index.rows({"bbox": box}).tolist() == wanted
    beach = [row for row in wanted if codes.items[row].label == "beach"]
    result = index.search(QUERIES, 60, find="any", where={"bbox": box, "label": "beach"})
    assert sorted(result.rows[0].tolist()) == beach


def test_the_boxes_are_not_vacuous() -> None:
    footprints = [item.footprint for item in make_codes().items if item.footprint]
    hits = [sum(touches(footprint, box) for footprint in footprints) for box in BOXES]
    assert hits[0] == len(footprints)
    assert 0 < min(hits[1], hits[3]) <= max(hits[1:]) < len(footprints)
    assert any(corners[0][0] > corners[1][0] for corners in footprints)


def test_the_filter_cases_are_not_vacuous() -> None:
    items = make_codes().items
    hits = [sum(passes(item, "any", where) for item in items) for where in WHERE]
    assert [count > 0 for count in hits] == [True] * 12 + [False] * 2
    assert max(hits[1:]) < len(items)
    assert len({tuple(words) for words in make_codes().words}) == 5


@pytest.mark.parametrize("bits", [1, 8, 64, 65, 130])
def test_every_length(make, bits) -> None:
    codes, queries = make_codes(40, bits), make_codes(3, bits, seed=2, prefix="q")
    index, answers = make(codes), expected(codes, queries, "any", {})
    assert found(index.search(queries, 9, find="any")) == cut(answers, 9)
    assert [found(result)[0] for result in index.within(queries, 3, find="any")] == inside(answers, 3)


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
def test_what_a_query_finds_by_itself(make, held, asked, gets) -> None:
    index = make(make_codes(modalities=held))
    queries = make_codes(3, seed=2, modalities=(asked,), prefix="q")
    result = index.search(queries, 60)
    assert {item.modality for items in result.items for item in items} == gets
    assert result.rows.shape == (3, 60 // len(held))
    assert {item.modality for result in index.within(queries, 20) for item in result.items[0]} == gets


def test_a_modality_in_where_decides_alone(make) -> None:
    index = make(make_codes())
    queries = make_codes(1, modalities=("sound",), prefix="q")
    assert {item.modality for item in index.search(queries, 3, where={"modality": "sound"}).items[0]} == {"sound"}
    assert index.search(queries, 3, find="image", where={"modality": "sound"}).rows.shape == (1, 0)


def test_texts_ask_for_images_and_are_found(make) -> None:
    codes = make_codes()
    typed = [replace(item, id=f"{item.id}.txt", modality="text", path=None) for item in codes.of("sound").items]
    texts = replace(codes.of("sound"), items=tuple(typed))
    index = make(HashCodes.concatenate([codes, texts]))
    asked, spoken = texts.select([0, 1, 2]), codes.of("sound").select([0, 1, 2])
    found = index.search(asked, 4)
    assert {item.modality for items in found.items for item in items} == {"image"}
    assert found.rows.tolist() == index.search(spoken, 4).rows.tolist()
    back = index.search(codes.of("image").select([0]), 4, find="text")
    assert {item.modality for item in back.items[0]} == {"text"}
    assert back.distances.tolist() == index.search(codes.of("image").select([0]), 4).distances.tolist()


def test_mixed_queries_say_what_to_find(make) -> None:
    index = make(make_codes())
    with pytest.raises(ConfigError, match="say what to find: image, sound, text or any"):
        index.search(QUERIES)
    assert index.search(QUERIES, 3, find="any").rows.shape == (7, 3)


def test_no_queries_and_no_items(make) -> None:
    index = make(make_codes())
    assert index.search(QUERIES.select([]), 3).rows.shape == (0, 3)
    assert index.within(QUERIES.select([]), 3) == ()
    empty = make(QUERIES.select([]))
    assert (len(empty), empty.labels(), empty.counts(), empty.rows().tolist()) == (0, (), {}, [])
    assert empty.search(QUERIES.select([1]), 3).rows.shape == (1, 0)
    assert empty.within(QUERIES.select([1]), 3)[0].rows.shape == (1, 0)


def test_other_codes_are_refused(make) -> None:
    index = make(make_codes())
    for ask in (index.search, lambda codes: index.within(codes, 2), index.add):
        with pytest.raises(CodesError, match=r"of encoder e2, .* of e1"):
            ask(make_codes(1, encoder="e2", prefix="q"))
        with pytest.raises(CodesError, match=r"have 21 bits, .* 20"):
            ask(make_codes(1, bits=21, prefix="q"))
    assert len(index) == 60


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"k": 0}, "k, the number of hits, must be a whole number from 1, found 0"),
        ({"where": {"lable": "beach"}}, "unknown filter field 'lable'; did you mean label"),
        ({"where": {"senzor": "S2"}}, "unknown filter field 'senzor'; did you mean sensor"),
        ({"where": {"x": "beach"}}, "unknown filter field 'x'; known are id, .*, bbox, sensor, écluse"),
        ({"where": {"row = 0 OR label": "beach"}}, "unknown filter field"),
        ({"where": {"split": "tset"}}, "unknown split 'tset'; did you mean test"),
        ({"where": {"modality": "any"}}, "unknown modality 'any'"),
        ({"where": {"bbox": "1,2,3"}}, "bbox '1,2,3': wanted west,south,east,north"),
        ({"where": {"bbox": "1,9,3,2"}}, "longitudes lie in -180..180"),
        ({"find": "images"}, "unknown find 'images'; did you mean image"),
    ],
)
def test_wrong_questions(make, arguments, message) -> None:
    index = make(make_codes())
    with pytest.raises(ConfigError, match=message):
        index.search(QUERIES.select([0]), **arguments)
    if "k" not in arguments:
        with pytest.raises(ConfigError, match=message):
            index.within(QUERIES.select([0]), 3, **arguments)


def test_a_wrong_radius(make) -> None:
    with pytest.raises(ConfigError, match="radius must be a whole number from 0, found -1"):
        make(make_codes()).within(QUERIES, -1, find="any")


def test_threads_read_the_same(make) -> None:
    index = make(make_codes())

    def ask(seed: int):
        queries = make_codes(2, seed=seed, prefix="q")
        return found(index.search(queries, 9, find="any", where=WHERE[seed % len(WHERE)]))

    with ThreadPoolExecutor(8) as pool:
        together = list(pool.map(ask, range(40)))
    assert together == [ask(seed) for seed in range(40)]


def several(row: int, item: Item) -> Item:
    return replace(item, label=("dock", "dock;sea", "sea;ship;water", None, "sea", "ship;wreck")[row % 6])


def test_a_label_finds_what_holds_it_among_others(make) -> None:
    codes = make_codes()
    codes = replace(codes, items=tuple(several(row, item) for row, item in enumerate(codes.items)))
    index = make(codes)
    assert index.labels() == ("dock", "sea", "ship", "water", "wreck")
    for label in ("dock", "sea", "ship", "water", "nowhere", "hip"):
        wanted = [row for row, item in enumerate(codes.items) if label in item.labels]
        assert index.rows({"label": label}).tolist() == wanted
        answer = index.search(QUERIES, 60, find="any", where={"label": label})
        assert found(answer) == expected(codes, QUERIES, "any", {"label": label})
    for label in ("dock;sea", "sea; dock;", "sea;ship;water"):
        wanted = [row for row, item in enumerate(codes.items) if item.label == Item("x", "image", label=label).label]
        assert len(wanted) == 10
        assert index.rows({"label": label}).tolist() == wanted
    assert index.rows({"label": "sea;ship"}).tolist() == []  # several together are all of an item's labels
    index.remove([item.id for item in codes.items if "wreck" in item.labels])
    assert index.labels() == ("dock", "sea", "ship", "water")
    index.add(HashCodes(codes.words[:1], codes.bits, codes.encoder, (Item("new", "image", label="crane;dock"),)))
    assert index.labels() == ("crane", "dock", "sea", "ship", "water")
    assert index.rows({"label": "dock"}).tolist()[-1] == 60


def test_an_archive_counts_each_label(tmp_path: Path) -> None:
    codes = make_codes()
    codes = replace(codes, items=tuple(several(row, item) for row, item in enumerate(codes.items)))
    archive = create_archive(tmp_path / "a", codes)
    assert archive.info().labels == {"dock": 20, "sea": 30, "ship": 20, "water": 10, "wreck": 10}
    archive.verify()
