"""Items with several labels: counts, figures and reports against sets, loops and every order of the ties."""

from __future__ import annotations

import json
from dataclasses import replace
from itertools import product

import numpy as np
import pytest

from dtbh.codes import Embeddings, HashCodes, unpack
from dtbh.errors import DataError
from dtbh.evaluation.describe import describe
from dtbh.evaluation.evaluate import evaluate
from dtbh.evaluation.metrics import counts as counting
from dtbh.evaluation.metrics import embeddings, ranking
from dtbh.evaluation.metrics.labels import classes_of
from dtbh.evaluation.report import read_report, rewrite_page, write_report
from dtbh.evaluation.results.folds import over_folds
from dtbh.evaluation.results.values import RELEVANCE, SEVERAL
from dtbh.evaluation.schema import report_schema
from tests.evaluation.conftest import SETTING, make_codes
from tests.reference import labels as sets
from tests.reference import ranking as naive

BITS = 5
KS = [1, 2, 3, 6]
TEXTS = ["dock", "dock;sea", "dock;sea", "dock;sea;ship", "dock;sea;ship", "sea;ship", "grass;tree", "lone", None]


def drawn(seed, n_queries=7, n_gallery=9):
    """Codes of few bits, so that most items tie, and labels of both sides; of some queries the row in the gallery."""
    rng = np.random.default_rng(seed)
    codes = [rng.integers(0, 4, (n, 1), dtype=np.uint64) for n in (n_queries, n_gallery)]
    texts = [[TEXTS[i] for i in rng.integers(0, len(TEXTS), n)] for n in (n_queries, n_gallery)]
    own = np.where(np.arange(n_queries) < 2, np.arange(n_queries), -1)
    codes[0][:2], texts[0][:2] = codes[1][:2], texts[1][:2]
    return *codes, *texts, own


def rows_of(problem):
    """For each query its rows of (distances, gains), by loops, without the query itself."""
    queries, gallery, asked, found, own = problem
    for i in range(len(queries)):
        kept = [j for j in range(len(gallery)) if j != own[i]]
        distances = [int(queries[i, 0] ^ gallery[j, 0]).bit_count() for j in kept]
        yield distances, [sets.shared(asked[i], found[j]) for j in kept]


def blocks(problem):
    queries, gallery, asked, found, own = problem
    classes = classes_of(asked, found)
    args = queries, gallery, classes.queries, classes.gallery, BITS
    more = {"own": own, "shared": classes.shared, "classes": classes.combinations}
    return list(counting.each_block(lambda block: block, *args, **more))


def tables(problem):
    """Relevant, total, gains and grades of all queries."""
    (block,) = blocks(problem)
    return block.relevant, block.total, block.gains, block.grades


def test_labels_become_numbers_and_what_they_share_is_counted():
    classes = classes_of(["sea;ship", None, "dock"], ["dock;sea;ship", "dock", "tree", None])
    assert classes.names == ("dock", "sea", "ship", "tree")
    assert (classes.queries.tolist(), classes.gallery.tolist()) == ([2, -1, 0], [1, 0, 3, -1])
    assert classes.holds.tolist() == [
        [True, False, False, False], [True, True, True, False], [False, True, True, False], [False, False, False, True]
    ]  # fmt: skip
    assert classes.shared.between(classes.queries, classes.gallery).tolist() == [[2, 0, 0, 0], [0] * 4, [1, 1, 0, 0]]
    grades = classes.shared.grades(classes.queries, classes.gallery, np.array([-1, -1, 1]))
    assert grades.tolist() == [[0, 1, 0], [0, 0, 0], [1, 0, 0]]
    assert classes.having(classes.gallery[:3], 0).tolist() == [True, True, False]
    single = classes_of(["sea"], ["ship", None, "sea"])
    assert (single.names, single.combinations, single.holds, single.shared) == (("sea", "ship"), 2, None, None)
    assert single.having(single.gallery[[0, 2]], 0).tolist() == [False, True]


@pytest.mark.parametrize("many", [1, 10**9])
@pytest.mark.parametrize("seed", range(4))
def test_counts_equal_loops_over_sets(seed, many, monkeypatch):
    if many == 1:
        pytest.importorskip("numba", reason="the extra search is not installed")
    monkeypatch.setattr(counting, "MANY", many)
    monkeypatch.setattr(counting, "QUERIES", 4)
    problem = drawn(seed)
    found = blocks(problem)
    relevant, total, gains, grades, shares, stable = (
        np.concatenate([getattr(block, name) for block in found])
        for name in ("relevant", "total", "gains", "grades", "classes", "stable")
    )
    gallery = [problem[3], problem[4]]
    for i, (distances, shared) in enumerate(rows_of(problem)):
        for d in range(BITS + 1):
            here = [gain for distance, gain in zip(distances, shared, strict=True) if distance == d]
            assert (total[i, d], relevant[i, d], gains[i, d]) == (len(here), sum(g > 0 for g in here), sum(here))
        assert grades[i].tolist() == [shared.count(grade) for grade in range(1, grades.shape[1] + 1)]
        if any(shared):
            wanted = naive.stable(naive.average_precision, distances, [gain > 0 for gain in shared])
            assert stable[i] == pytest.approx(wanted, abs=1e-12)
        else:
            assert np.isnan(stable[i])
        kept = [text for j, text in enumerate(gallery[0]) if j != gallery[1][i]]
        nearest = sum(gain > 0 for gain in shared)
        for c, text in enumerate(sorted({*problem[2], *problem[3]} - {None})):
            wanted = share_in_front(distances, [one == text for one in kept], nearest)
            assert shares[i, c] == pytest.approx(wanted, abs=1e-12)
    assert (gains > relevant).any()
    assert len(found) == 2


def share_in_front(distances, wanted, k):
    """The expected share of the wanted ones among the first k, by places: each of a bucket's counts as its mean."""
    if k == 0:
        return 0.0
    places = []
    for distance in sorted(set(distances)):
        here = [good for other, good in zip(distances, wanted, strict=True) if other == distance]
        places += [sum(here) / len(here)] * len(here)
    return sum(places[:k]) / k


@pytest.mark.parametrize("seed", range(3))
def test_embeddings_count_alike(seed):
    problem = drawn(seed)
    asked, found = classes_of(*problem[2:4]), [np.unpackbits(one.astype(np.uint8), axis=1) for one in problem[:2]]
    (block,) = embeddings.each_block(
        lambda block: block, *(one.astype(np.float32) for one in found), "euclidean", asked.queries, asked.gallery,
        own=problem[4], shared=asked.shared,
    )  # fmt: skip
    codes = tables(problem)
    for name, of_codes in zip(("relevant", "total", "gains"), codes[:3], strict=True):
        table = getattr(block, name)
        for row, (mine, theirs) in enumerate(zip(table, of_codes, strict=True)):  # without columns where nothing stands
            there = codes[1][row] > 0
            assert mine[: there.sum()].tolist() == theirs[there].tolist()
            assert not mine[there.sum() :].any()
    np.testing.assert_array_equal(block.grades, codes[3])


def check_ndcg(whole, at):
    """Raise AssertionError unless both are the mean over every order of the ties, of every query of some problems."""
    graded = 0
    for seed in range(4):
        problem = drawn(seed, n_gallery=6)
        relevant, total, gains, grades = tables(problem)
        ks = [k for k in KS if k <= total.sum(axis=1).min()]
        for i, (distances, shared) in enumerate(rows_of(problem)):
            row = slice(i, i + 1)
            args = relevant[row], total[row]
            more = {"gains": gains[row], "grades": grades[row]}
            if not any(shared):
                assert np.isnan(whole(*args, **more)[0])
                assert np.isnan(at(*args, ks, **more)).all()
                continue
            graded += len({*shared} - {0}) > 1
            wanted = naive.over_orders(naive.ndcg, distances, shared, len(shared))
            assert whole(*args, **more)[0] == pytest.approx(wanted, abs=1e-12)
            for value, k in zip(at(*args, ks, **more)[0], ks, strict=True):
                assert value == pytest.approx(naive.over_orders(naive.ndcg, distances, shared, k), abs=1e-12)
    assert graded > 5, "few gains differ: nothing is tested"


def test_ndcg_is_the_mean_over_every_order_of_the_ties():
    check_ndcg(ranking.ndcg, ranking.ndcg_at)


def test_the_same_check_rejects_gains_of_one_and_an_ideal_of_one():
    with pytest.raises(AssertionError):
        check_ndcg(lambda r, n, gains, grades: ranking.ndcg(r, n), ranking.ndcg_at)
    with pytest.raises(AssertionError):
        check_ndcg(lambda r, n, gains, grades: ranking.ndcg(r, n, gains=gains), ranking.ndcg_at)
    with pytest.raises(AssertionError):
        check_ndcg(ranking.ndcg, lambda r, n, k, gains, grades: ranking.ndcg_at(r, n, k, gains=gains))


def test_average_precision_is_the_mean_over_every_order_of_the_ties():
    for seed in range(4):
        problem = drawn(seed, n_gallery=6)
        relevant, total, _, _ = tables(problem)
        found = ranking.average_precision(relevant, total)
        for value, (distances, shared) in zip(found, rows_of(problem), strict=True):
            good = [gain > 0 for gain in shared]
            wanted = naive.over_orders(naive.average_precision, distances, good) if any(good) else np.nan
            assert value == pytest.approx(wanted, abs=1e-12, nan_ok=True)


def test_chance_is_the_mean_over_every_order_of_everything():
    relevant, total, gains, grades = tables(drawn(1, n_gallery=6))
    everything = [one.sum(axis=1, keepdims=True) for one in (relevant, total, gains)]
    found = ranking.ndcg(*everything[:2], gains=everything[2], grades=grades)
    for value, (_, shared) in zip(found, rows_of(drawn(1, n_gallery=6)), strict=True):
        if any(shared):
            wanted = naive.over_orders(naive.ndcg, [0] * len(shared), shared, len(shared))
            assert value == pytest.approx(wanted, abs=1e-12)


def test_with_single_labels_both_ways_to_count_are_one():
    """A table of what single labels share gives the very numbers of the path that has none."""
    queries, gallery, _, _, own = drawn(3)
    asked, found = (["ab"[i % 2] if i % 5 else None for i in range(len(side))] for side in (queries, gallery))
    plain = classes_of(asked, found)
    assert plain.shared is None
    forced = replace(plain, shared=classes_of([*asked, "x;y"], found).shared)
    args = queries, gallery, plain.queries, plain.gallery, BITS
    (one,), (other,) = (
        list(counting.each_block(lambda block: block, *args, own=own, classes=2, shared=classes.shared))
        for classes in (plain, forced)
    )
    for name in ("relevant", "total", "classes", "stable"):
        np.testing.assert_array_equal(getattr(one, name), getattr(other, name))
    assert one.gains is None
    np.testing.assert_array_equal(other.gains, other.relevant)
    graded = ranking.ndcg_at(other.relevant, other.total, [1, 3], gains=other.gains, grades=other.grades)
    np.testing.assert_array_equal(graded, ranking.ndcg_at(one.relevant, one.total, [1, 3]))


# --- reports


def with_several(codes):
    """Codes of the small world whose items have labels beside their class: water for two classes, trees for some."""
    water = {"beach": ";water", "river": ";water", "forest": ""}
    items = []
    for item in codes.items:
        more = ";trees" if item.pair.endswith("1") else ""
        items.append(replace(item, label=f"{item.label}{water[item.label]}{more}"))
    return HashCodes(codes.words, codes.bits, codes.encoder, tuple(items))


@pytest.fixture(scope="module")
def world():
    return [with_several(codes) for codes in make_codes(per_class=2)]


@pytest.fixture(scope="module")
def both(world):
    """Their report, with real values beside."""
    values = np.concatenate([unpack(codes.words, codes.bits).astype(np.float32) for codes in world])
    return evaluate(*world, **SETTING, embeddings=Embeddings(values, (*world[0].items, *world[1].items)))


def ranked(queries, gallery):
    """For each query its item, distances and gains."""
    bits = [unpack(codes.words, codes.bits).tolist() for codes in (queries, gallery)]
    for code, query in zip(bits[0], queries.items, strict=True):
        distances = [naive.hamming(code, other) for other in bits[1]]
        yield query, distances, [sets.shared(query.label, item.label) for item in gallery.items]


def test_a_report_equals_loops_over_every_order(world, both):
    images, sounds = world
    assert both.relevance == SEVERAL
    for name, queries, gallery in (("sound->image", sounds, images), ("image->sound", images, sounds)):
        direction, rows = both.directions[name], list(ranked(queries, gallery))
        precise = [naive.over_orders(naive.average_precision, d, [gain > 0 for gain in g]) for _, d, g in rows]
        assert direction.map == pytest.approx(np.mean(precise), abs=1e-12)
        at = {k: [naive.over_orders(naive.ndcg, d, g, k) for _, d, g in rows] for k in (1, 5, len(gallery))}
        assert direction.ndcg == pytest.approx(np.mean(at[len(gallery)]), abs=1e-12)
        assert direction.ndcg_at[1] == pytest.approx(np.mean(at[1]), abs=1e-12)
        assert direction.ndcg_at[5] == pytest.approx(np.mean(at[5]), abs=1e-12)
        low, high = direction.ndcg_interval
        assert low <= direction.ndcg <= high
        assert direction.chance_ndcg < direction.ndcg
        assert direction.chance_ndcg == pytest.approx(np.mean([all_tied(g) for _, _, g in rows]), abs=1e-12)
        assert set(direction.per_class) == {"beach", "forest", "river", "trees", "water"}
        for label, one in direction.per_class.items():
            mine = [value for value, (query, _, _) in zip(precise, rows, strict=True) if label in query.labels]
            assert one.n_queries == len(mine)
            assert one.map == pytest.approx(np.mean(mine), abs=1e-12)
        names = direction.confusion.labels
        for i, j in product(range(len(names)), repeat=2):
            shares = [
                share_in_front(d, [names[j] in item.labels for item in gallery.items], sum(gain > 0 for gain in g))
                for query, d, g in rows
                if names[i] in query.labels
            ]
            assert direction.confusion.rows[i][j] == pytest.approx(np.mean(shares), abs=1e-12)
        for one in direction.embeddings.values():
            assert one.ndcg_at.keys() == direction.ndcg_at.keys()
        assert direction.embeddings["euclidean"].map == pytest.approx(direction.map)  # of bits these are the same ranks
        assert direction.embeddings["euclidean"].ndcg_at == pytest.approx(direction.ndcg_at)


def all_tied(gains):
    """NDCG of a random order: at each place the mean gain."""
    mean, best = sum(gains) / len(gains), sorted(gains, reverse=True)
    discount = [1 / np.log2(1 + rank) for rank in range(1, len(gains) + 1)]
    return sum(mean * d for d in discount) / sum(gain * d for gain, d in zip(best, discount, strict=True))


def test_a_report_goes_to_json_and_page_and_single_labels_have_no_such_figures(world, both, report, tmp_path):
    from jsonschema import validate

    page = write_report(both, tmp_path, images=world[0], sounds=world[1])
    assert read_report(tmp_path) == both
    entry = json.loads((tmp_path / "report.json").read_text())
    validate(entry, report_schema())
    one = entry["directions"]["sound->image"]
    assert {"ndcg", "chance_ndcg", "ndcg_interval"} <= one.keys() & entry["definitions"].keys()
    assert "labels in common as gain" in entry["definitions"]["ndcg_at"]
    hits = [hit for example in entry["examples"]["sound->image"]["worst"] for hit in example["hits"]]
    assert all(
        hit["right"] == (sets.shared(hit["item"]["label"], example["query"]["label"]) > 0)
        for example in entry["examples"]["sound->image"]["worst"]
        for hit in example["hits"]
    )
    assert any(hit["right"] for hit in hits)
    assert "A label in common: among the first k" in page.read_text()
    assert rewrite_page(tmp_path).read_text() == page.read_text()
    assert "NDCG" in describe(both)
    assert "one label in common or more" in " ".join(describe(both).split())
    assert "NDCG" in over_folds([both, both])["sound->image"]
    assert report.relevance == RELEVANCE
    single = report.to_dict()["directions"]["sound->image"]
    assert not {"ndcg", "chance_ndcg", "ndcg_interval"} & single.keys()
    assert "labels in common" not in describe(report)


def test_a_label_that_all_have_makes_every_ranking_perfect(world):
    images, sounds = ([replace(item, label=f"{item.label};x") for item in codes.items] for codes in world)
    both = [replace(codes, items=tuple(items)) for codes, items in zip(world, (images, sounds), strict=True)]
    with pytest.raises(DataError, match="all labelled items are of one class, x"):
        evaluate(*both, **SETTING)


def test_a_query_of_other_labels_than_all_has_nothing_relevant(world):
    images, sounds = world
    lone = replace(sounds.items[0], label="moon;star")
    report = evaluate(images, replace(sounds, items=(lone, *sounds.items[1:])), **SETTING, without="zero")
    direction = report.directions["sound->image"]
    assert direction.queries_without_relevant == 1
    assert direction.per_class["moon"].map is None
    rest = evaluate(images, replace(sounds, words=sounds.words[1:], items=sounds.items[1:]), **SETTING)
    n = len(sounds.items)
    assert direction.ndcg * n == pytest.approx(rest.directions["sound->image"].ndcg * (n - 1))
