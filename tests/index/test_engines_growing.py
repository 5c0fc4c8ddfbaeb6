"""What every engine does that grows and shrinks, against plain loops."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dtbh.codes import HashCodes
from dtbh.errors import CodesError
from tests.index.conftest import QUERIES, WHERE, cut, expected, found, inside
from tests.index.made import make_codes


def test_it_grows(make) -> None:
    first, more = make_codes(40), make_codes(30, seed=1, prefix="n")
    both = HashCodes.concatenate([first, more])
    index = make(first)
    assert index.add(more) == 30
    assert (len(index), index.items(index.rows())) == (70, both.items)
    for where in WHERE:
        answers = expected(both, QUERIES, "any", where)
        assert found(index.search(QUERIES, 12, find="any", where=where)) == cut(answers, 12)
    assert index.add(more.select([])) == 0


def test_it_starts_from_nothing(make) -> None:
    codes = make_codes()
    index = make(codes.select([]))
    index.add(codes)
    assert found(index.search(QUERIES, 9, find="any")) == cut(expected(codes, QUERIES, "any", {}), 9)


def test_an_id_that_is_there_is_refused_and_nothing_added(make) -> None:
    index = make(make_codes())
    more = make_codes(3, seed=1, prefix="n")
    clash = replace(more, items=(*more.items[:2], replace(more.items[2], id="i8")))
    with pytest.raises(CodesError, match="1 ids are there already, the first is i8; nothing was added"):
        index.add(clash)
    twice = replace(more, items=(more.items[0],) * 3)
    with pytest.raises(CodesError, match=r"n0.*more than once|more than once.*n0"):
        index.add(twice)
    assert len(index) == 60
    index.add(more)
    assert len(index) == 63


def test_what_is_removed_is_not_found(make) -> None:
    codes = make_codes()
    index = make(codes)
    gone = [f"i{row}" for row in range(60) if row % 3 == 0 or codes.items[row].label == "beach"]
    assert index.remove(iter([*gone, gone[0]])) == len(gone)
    left = codes.select([item.id not in gone for item in codes.items])
    assert (len(index), index.labels()) == (len(left), ("river",))
    assert index.items(index.rows()) == left.items
    for where in WHERE:
        for find in ("image", "any"):
            answers = expected(left, QUERIES, find, where)
            assert found(index.search(QUERIES, 7, find=find, where=where)) == cut(answers, 7)
            results = index.within(QUERIES, 6, find=find, where=where)
            assert [found(result)[0] for result in results] == inside(answers, 6)
    for ask in (index.item, lambda id: index.remove([id])):
        with pytest.raises(CodesError, match="no item has the id 'i0'"):
            ask("i0")
    with pytest.raises(CodesError, match="row 3 was removed"):
        index.items([1, 3])
    assert index.remove([]) == 0


def test_an_id_may_come_back(make) -> None:
    codes = make_codes()
    index = make(codes)
    for label in ("lake", "sea"):
        index.remove(["i5"])
        index.add(replace(codes.select([5]), items=(replace(codes.items[5], label=label),)))
        assert (len(index), index.item("i5").label) == (60, label)
        assert index.items(index.rows())[-1].label == label
    assert index.labels() == ("beach", "river", "sea")
    with pytest.raises(CodesError, match="1 ids are there already, the first is i5"):
        index.add(codes.select([5]))


def test_a_modality_may_go_altogether(make) -> None:
    index = make(make_codes())
    index.remove(item.id for item in index.items(index.rows({"modality": "sound"})))
    assert index.counts() == {"image": 30}
    images = make_codes(1, modalities=("image",), prefix="q")
    assert {item.modality for item in index.search(images, 60).items[0]} == {"image"}


@st.composite
def histories(draw: st.DrawFn) -> Iterator[list[tuple[str, int]]]:
    """Additions (how many) and removals (which of those left), in any order."""
    return draw(st.lists(st.tuples(st.sampled_from(["add", "remove"]), st.integers(0, 9)), max_size=8))


@given(history=histories())
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_history_is_what_a_list_would_be(make, history) -> None:
    pool = make_codes(100, seed=3)
    left: list[int] = []
    index, taken = make(pool.select([])), 0
    for what, number in history:
        if what == "add":
            index.add(pool.select(range(taken, taken + number)))
            left += range(taken, taken + number)
            taken += number
        else:
            gone = left[:: number + 1][:5]
            index.remove([pool.items[row].id for row in gone])
            left = [row for row in left if row not in gone]
    codes = pool.select(left)
    assert index.items(index.rows()) == codes.items
    assert found(index.search(QUERIES, 5, find="any")) == cut(expected(codes, QUERIES, "any", {}), 5)
    where = {"sensor": "S1"} if any("sensor" in item.fields for item in codes.items) else {"label": "beach"}
    assert found(index.search(QUERIES, 5, find="any", where=where)) == cut(expected(codes, QUERIES, "any", where), 5)
