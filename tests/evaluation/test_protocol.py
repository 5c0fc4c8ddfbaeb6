"""evaluate() against a plain loop, and what it refuses."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

from dtbh.codes import HashCodes, unpack
from dtbh.errors import CodesError, DataError
from dtbh.evaluation.protocol import describe, evaluate
from dtbh.evaluation.values import DIRECTIONS, DirectionReport, RetrievalReport
from tests.evaluation.conftest import BITS, SETTING, make_codes
from tests.reference import ranking as naive


def loops(queries, gallery, field):
    """For each query its (distance, relevant) rows, by the field ``label`` or ``pair``."""
    query_bits, gallery_bits = (unpack(codes.words, codes.bits).tolist() for codes in (queries, gallery))
    for bits, query in zip(query_bits, queries.items, strict=True):
        distances = [naive.hamming(bits, other) for other in gallery_bits]
        wanted = getattr(query, field)
        yield distances, [getattr(item, field) == wanted and wanted is not None for item in gallery.items]


def relabelled(codes, change):
    """The codes with each item changed: ``change(row, item)`` gives the new fields."""
    return replace(codes, items=tuple(replace(item, **change(row, item)) for row, item in enumerate(codes.items)))


def test_both_directions_equal_a_loop_over_every_order():
    images, sounds = make_codes(per_class=2)
    report = evaluate(images, sounds, **SETTING)
    for name, queries, gallery in (("sound->image", sounds, images), ("image->sound", images, sounds)):
        direction = report.directions[name]
        rows = list(loops(queries, gallery, "label"))
        assert min(len(set(distances)) for distances, _ in rows) < len(gallery), "no ties: nothing is tested"
        precisions = [naive.over_orders(naive.average_precision, *row) for row in rows]
        assert direction.map == pytest.approx(np.mean(precisions), abs=1e-12)
        assert direction.precision_at[1] == pytest.approx(
            np.mean([naive.over_orders(naive.precision, *row, 1) for row in rows])
        )
        assert direction.recall_at[5] == pytest.approx(
            np.mean([naive.over_orders(naive.recall, *row, 5) for row in rows])
        )
        pairs = list(loops(queries, gallery, "pair"))
        assert direction.pairs.hit_at[1] == pytest.approx(
            np.mean([naive.over_orders(naive.hit, *row, 1) for row in pairs])
        )
        assert direction.pairs.median_rank == pytest.approx(
            np.median([naive.over_orders(naive.first, *row) for row in pairs])
        )
        low, high = direction.interval
        assert low < direction.map < high
        assert direction.chance_map < direction.map
        assert (direction.n_queries, direction.n_gallery) == (len(queries), len(gallery))
        assert direction.best[0].average_precision == pytest.approx(max(precisions))
        assert direction.worst[0].average_precision == pytest.approx(min(precisions))
        weighted = sum(c.map * c.n_queries for c in direction.per_class.values()) / len(queries)
        assert weighted == pytest.approx(direction.map)
        assert sum(map(sum, direction.distances.values())) == len(queries) * len(gallery)
        assert sum(direction.distances["relevant"]) == sum(sum(relevant) for _, relevant in rows)


def test_the_same_codes_and_seed_give_the_same_report(codes, report):
    assert evaluate(*codes, **SETTING) == report
    other = evaluate(*codes, **SETTING, seed=1)
    name = DIRECTIONS[0]
    assert other.directions[name].interval != report.directions[name].interval
    assert other.directions[name].map == report.directions[name].map


def test_the_order_of_the_codes_changes_no_figure(codes, report):
    rng = np.random.default_rng(3)
    shuffled = evaluate(*(c.select(rng.permutation(len(c))) for c in codes), **SETTING)
    for name in DIRECTIONS:
        one, two = report.directions[name], shuffled.directions[name]
        assert one.map == pytest.approx(two.map, abs=1e-12)
        assert one.distances == two.distances
        assert one.pairs.median_rank == two.pairs.median_rank


def test_a_report_goes_to_json_and_back(report):
    assert RetrievalReport.from_dict(json.loads(json.dumps(report.to_dict(), allow_nan=False))) == report
    entry = report.to_dict()
    for key in ("version", "bits", "protocol", "splits", "leakage", "ties", "checkpoint_rule", "relevance"):
        assert key in entry
    for name in DIRECTIONS:
        for key in ("map", "chance_map", "n_queries", "n_gallery", "interval"):
            assert key in entry["directions"][name]


def test_items_without_a_label_are_counted_and_left_out_by_class_only(codes, report):
    images, sounds = codes
    unlabelled = relabelled(images, lambda row, item: {"label": None} if row < 3 else {})
    changed = evaluate(unlabelled, sounds, **SETTING)
    kept = evaluate(images.select(np.arange(3, len(images))), sounds, **SETTING)
    one, two = changed.directions["sound->image"], kept.directions["sound->image"]
    assert one.unlabelled == {"queries": 0, "gallery": 3}
    assert (one.map, one.n_gallery) == (two.map, len(images) - 3)
    assert one.pairs == report.directions["sound->image"].pairs
    assert changed.directions["image->sound"].unlabelled == {"queries": 3, "gallery": 0}


def test_queries_without_relevant_items_are_counted(codes):
    images, sounds = codes
    only = evaluate(images.select([i.label != "river" for i in images.items]), sounds, **SETTING)
    direction = only.directions["sound->image"]
    assert direction.queries_without_relevant == 8
    assert direction.per_class["river"].map is None
    assert direction.pairs.queries_without_pair == 8
    assert "8" in next(line for line in describe(only).splitlines() if line.startswith("without relevant"))


def test_unknown_pairs_are_said(codes):
    images, sounds = codes
    report = evaluate(images, relabelled(sounds, lambda row, item: {"pair": None}), **SETTING)
    assert report.directions["sound->image"].pairs is None
    assert "true pair R@" not in describe(report)
    assert "true pair R@1" in describe(evaluate(*codes, **SETTING))
    assert RetrievalReport.from_dict(report.to_dict()) == report


def test_a_collapse_shows(codes):
    same = [HashCodes.from_values(np.ones((len(c), BITS)), encoder="abc", items=c.items) for c in codes]
    for direction in evaluate(*same, **SETTING).directions.values():
        assert direction.distinct_codes == {"queries": 1, "gallery": 1}
        assert direction.bits_constant["gallery"] == tuple(range(BITS))
        assert direction.bit_balance["queries"] == (1.0,) * BITS
        assert direction.map == pytest.approx(direction.chance_map, abs=1e-12)
        assert direction.precision_at == pytest.approx(direction.chance_precision_at)
        assert direction.pairs.hit_at == pytest.approx(direction.pairs.chance_hit_at)
        assert direction.pairs.median_rank == direction.pairs.chance_median_rank


def test_what_can_not_be_evaluated_is_named(codes):
    images, sounds = codes
    with pytest.raises(DataError, match="no image codes: the gallery is empty"):
        evaluate(images.select([]), sounds, **SETTING)
    with pytest.raises(DataError, match="no sound codes"):
        evaluate(images, sounds.select([]), **SETTING)
    with pytest.raises(DataError, match="24 of the image codes are not of images, the first is s-beach-0-0"):
        evaluate(sounds, sounds, **SETTING)
    with pytest.raises(CodesError, match="encoder"):
        evaluate(images, replace(sounds, encoder="other"), **SETTING)
    with pytest.raises(CodesError, match="bits"):
        evaluate(images, replace(sounds, bits=BITS + 1), **SETTING)
    with pytest.raises(DataError, match="none of 12 images has a label"):
        evaluate(relabelled(images, lambda row, item: {"label": None}), sounds, **SETTING)
    with pytest.raises(DataError, match="of one class, beach"):
        evaluate(*(c.select([i.label == "beach" for i in c.items]) for c in codes), **SETTING)
    with pytest.raises(DataError, match="no relevant item"):
        evaluate(relabelled(images, lambda row, item: {"label": "other " + item.label}), sounds, **SETTING)
    with pytest.raises(DataError, match=r"Leakage\.to_dict"):
        evaluate(images, sounds, **{**SETTING, "leakage": {"leaks": 3}})


def test_one_query_has_no_interval(codes):
    images, sounds = codes
    report = evaluate(images, sounds.select([0]), **SETTING)
    assert report.directions["sound->image"].interval is None
    assert report.directions["image->sound"].queries_without_relevant == 8
    assert "None" not in describe(report)


def test_describe_fits_80_columns_and_says_what_it_must(report):
    text = describe(report)
    assert max(map(len, text.splitlines())) <= 80
    for name in DIRECTIONS:
        direction = report.directions[name]
        assert name in text
        assert f"{direction.map:.3f} [{direction.interval[0]:.3f}" in text
        assert f"({direction.chance_map:.3f})" in text
    for words in ("averaged over all orders", "6 (25%)", "12 (50%)", "best mean mAP on", "test 12 images"):
        assert words in " ".join(text.split())


def test_values_out_of_range_are_refused(report):
    direction = report.directions["sound->image"]
    for change, message in [
        ({"map": 1.5}, "map must be from 0 to 1, found 1.5"),
        ({"map": float("nan")}, "map must be from 0 to 1, found nan"),
        ({"interval": (0.9, 0.1)}, "interval"),
        ({"n_gallery": 0}, "n_gallery must be at least 1"),
        ({"queries_without_relevant": direction.n_queries}, "queries_without_relevant"),
        ({"distinct_codes": {"queries": 1}}, "queries and gallery"),
    ]:
        with pytest.raises(DataError, match=message):
            replace(direction, **change)
    assert isinstance(replace(direction, map=0.5), DirectionReport)
    entry = report.to_dict()
    for change, message in [
        ({"version": 99}, "version 99"),
        ({"surprise": 1}, "no field surprise"),
        ({"directions": {}}, "directions"),
        ({"directions": None}, "not a report"),
        ({"bits": 21}, r"must be 0\.\.21"),
    ]:
        with pytest.raises(DataError, match=message):
            RetrievalReport.from_dict({**entry, **change})
