"""evaluate() against a plain loop, and what it refuses."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

from dtbh.codes import HashCodes, unpack
from dtbh.errors import CodesError, ConfigError, DataError
from dtbh.evaluation.describe import describe
from dtbh.evaluation.direction import bit_correlation
from dtbh.evaluation.evaluate import evaluate
from dtbh.evaluation.results.values import CROSS, TYPED, WITHIN, Confusion, DirectionReport, RetrievalReport
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


def test_within_a_modality_a_query_is_no_part_of_its_own_ranking():
    images, sounds = make_codes(per_class=2)
    report = evaluate(images, sounds, **SETTING, directions=CROSS + WITHIN)
    assert tuple(report.directions) == CROSS + WITHIN
    for name, codes in (("image->image", images), ("sound->sound", sounds)):
        direction = report.directions[name]
        rows = []
        for row, (distances, relevant) in enumerate(loops(codes, codes, "label")):
            del distances[row], relevant[row]
            rows.append((distances, relevant))
        wanted = [naive.over_orders(naive.average_precision, *row) for row in rows]
        assert direction.map == pytest.approx(np.mean(wanted), abs=1e-12)
        assert direction.n_gallery == len(codes) - 1
        alone = evaluate(*((codes, None) if name[0] == "i" else (None, codes)), **SETTING)
        assert alone.directions == {name: direction}
    assert report.directions["image->image"].pairs is None, "an image's pair is sounds"
    assert report.directions["sound->sound"].pairs.n_queries == len(sounds)
    assert max(map(len, describe(report).splitlines())) <= 80
    assert RetrievalReport.from_dict(json.loads(json.dumps(report.to_dict()))) == report


def test_texts_ask_and_are_found_beside_sounds(codes):
    images, sounds = codes
    typed = tuple(replace(item, id=f"{item.id}.txt", modality="text", path=None) for item in sounds.items)
    texts = replace(sounds, items=typed)
    report = evaluate(images, sounds, texts, **SETTING)
    assert tuple(report.directions) == CROSS + TYPED
    for typing, saying in zip(TYPED, CROSS, strict=True):
        assert report.directions[typing].map == report.directions[saying].map
    assert tuple(evaluate(images, None, texts, **SETTING).directions) == TYPED
    both = HashCodes.concatenate([images, sounds, texts])
    searched = evaluate(images, sounds, texts, **SETTING, gallery="all", searched=both)
    assert searched.directions["image->text"].map == report.directions["image->text"].map
    assert "text->image" in describe(report)
    assert max(map(len, describe(report).splitlines())) <= 80


def test_the_gallery_may_be_another_split(codes):
    images, sounds = codes
    both = HashCodes.concatenate(codes)
    half = sounds.select(np.arange(0, 24, 2))
    same = evaluate(images, half, **SETTING, gallery="all", searched=both)
    assert same.directions["sound->image"].map == evaluate(images, half, **SETTING).directions["sound->image"].map
    assert same.directions["image->sound"].n_gallery == 24
    assert same.directions["image->sound"].gallery == "all"
    assert "12 (all)" in describe(same)
    with pytest.raises(DataError, match="no image codes: the gallery is empty"):
        evaluate(images, sounds, **SETTING, gallery="train", searched=sounds)
    with pytest.raises(CodesError, match="encoder"):
        evaluate(images, sounds, **SETTING, gallery="train", searched=replace(both, encoder="other"))


def test_queries_without_relevant_items_may_count_as_zero(codes):
    images, sounds = codes
    fewer = images.select([i.label != "river" for i in images.items])
    drop, zero = (evaluate(fewer, sounds, **SETTING, without=way) for way in ("drop", "zero"))
    one, two = drop.directions["sound->image"], zero.directions["sound->image"]
    for name in ("map", "chance_map"):
        assert getattr(two, name) == pytest.approx(getattr(one, name) * 16 / 24)
    assert two.ndcg_at[5] == pytest.approx(one.ndcg_at[5] * 16 / 24)
    assert two.precision_curve[3].recall == pytest.approx(one.precision_curve[3].recall * 16 / 24)
    assert two.interval[0] < two.map < two.interval[1]
    assert zero.without == "zero"
    assert one.queries_without_relevant == two.queries_without_relevant == 8


def test_the_interval_draws_images_with_all_their_sounds(codes):
    """Saying everything twice teaches nothing: the interval stays, where one over single sounds would shrink."""
    images, sounds = codes
    again = relabelled(sounds, lambda row, item: {"id": f"again {item.id}"})
    once = evaluate(images, sounds, **SETTING).directions["sound->image"]
    twice = evaluate(images, HashCodes.concatenate([sounds, again]), **SETTING).directions["sound->image"]
    assert twice.map == pytest.approx(once.map)
    assert twice.interval == pytest.approx(once.interval)
    alone = [relabelled(some, lambda row, item: {"pair": None}) for some in (sounds, again)]
    single = evaluate(images, HashCodes.concatenate(alone), **SETTING).directions["sound->image"]
    assert single.interval[1] - single.interval[0] < 0.8 * (twice.interval[1] - twice.interval[0])
    assert once.per_class["beach"].interval[0] <= once.per_class["beach"].map <= once.per_class["beach"].interval[1]


def test_confusion_says_which_classes_stand_in_front(report):
    for direction in report.directions.values():
        confusion = direction.confusion
        assert confusion.labels == ("beach", "forest", "river")
        assert np.sum(confusion.rows, axis=1) == pytest.approx(1.0)
        for i, label in enumerate(confusion.labels):
            assert confusion.rows[i][i] == max(confusion.rows[i]), label
    with pytest.raises(DataError, match="must be square"):
        Confusion(("a", "b"), ((1.0,),))


def test_curves_end_with_the_whole_gallery(report):
    for direction in report.directions.values():
        assert direction.precision_curve[0].precision == direction.precision_at[1]
        last, radius = direction.precision_curve[-1], direction.within_radius[-1]
        assert (last.k, last.recall, radius.recall) == (direction.n_gallery, pytest.approx(1), 1)
        assert last.precision == pytest.approx(radius.precision)
        assert last.precision == pytest.approx(1 / 3)


def test_bits_that_repeat_each_other_show():
    rng = np.random.default_rng(0)
    bits = rng.random((500, 4)) < 0.5
    assert bit_correlation(bits) < 0.1
    assert bit_correlation(np.hstack([bits[:, :1], ~bits[:, :1]])) == pytest.approx(1.0)
    assert bit_correlation(np.hstack([bits[:, :1], np.ones((500, 3), bool)])) is None


def test_the_same_codes_and_seed_give_the_same_report(codes, report):
    assert evaluate(*codes, **SETTING) == report
    other = evaluate(*codes, **SETTING, seed=1)
    name = CROSS[0]
    assert other.directions[name].interval != report.directions[name].interval
    assert other.directions[name].map == report.directions[name].map


def test_the_order_of_the_codes_changes_no_figure(codes, report):
    rng = np.random.default_rng(3)
    shuffled = evaluate(*(c.select(rng.permutation(len(c))) for c in codes), **SETTING)
    for name in CROSS:
        one, two = report.directions[name], shuffled.directions[name]
        assert one.map == pytest.approx(two.map, abs=1e-12)
        assert one.distances == two.distances
        assert one.pairs.median_rank == two.pairs.median_rank


def test_a_report_goes_to_json_and_back(report):
    assert RetrievalReport.from_dict(json.loads(json.dumps(report.to_dict(), allow_nan=False))) == report
    entry = report.to_dict()
    for key in ("version", "bits", "protocol", "splits", "leakage", "ties", "checkpoint_rule", "relevance"):
        assert key in entry
    for name in CROSS:
        for key in ("map", "chance_map", "n_queries", "n_gallery", "interval"):
            assert key in entry["directions"][name]


def test_items_without_a_label_are_counted_and_left_out_by_class_only(codes, report, capsys):
    images, sounds = codes
    unlabelled = relabelled(images, lambda row, item: {"label": None} if row < 3 else {})
    changed = evaluate(unlabelled, sounds, **SETTING)
    said = capsys.readouterr().err.splitlines()
    assert len(said) == 1, "what is asked and found is named once"
    assert "3 of 12 images have no label" in said[0]
    assert said[0].endswith("where the class decides: i-beach-0, i-beach-1, i-beach-2")
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
    assert "8 queries without anything relevant" in " ".join(describe(only).split())


def test_unknown_pairs_are_said(codes):
    images, sounds = codes
    report = evaluate(images, relabelled(sounds, lambda row, item: {"pair": None}), **SETTING)
    assert report.directions["sound->image"].pairs is None
    assert "pair R@" not in describe(report)
    assert report.mean_recall == {}
    known = evaluate(*codes, **SETTING)
    assert "pair R@k" in describe(known)
    figures = [known.directions[name].pairs for name in ("sound->image", "image->sound")]
    by_hand = [sum(one.hit_at[k] for one in figures for k in (1, 5, 10)) / 6]
    by_hand += [sum(one.chance_hit_at[k] for one in figures for k in (1, 5, 10)) / 6]
    assert known.mean_recall == {"sound": pytest.approx(tuple(by_hand))}
    assert f"mR of sounds, the mean of pair R@1, 5 and 10 both ways: {by_hand[0]:.3f}" in " ".join(
        describe(known).split()
    )
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
    with pytest.raises(DataError, match="no image codes: there are no queries"):
        evaluate(images.select([]), sounds, **SETTING)
    with pytest.raises(DataError, match="no sound codes: there are no queries"):
        evaluate(images, sounds.select([]), **SETTING)
    with pytest.raises(DataError, match="24 of the image codes are not of images, the first is s-beach-0-0"):
        evaluate(sounds, sounds, **SETTING)
    with pytest.raises(DataError, match="ids of images that stand more than once: 1, the first is i-beach-2"):
        evaluate(images.select([*range(12), 2]), sounds, **SETTING)
    with pytest.raises(DataError, match="nothing to evaluate"):
        evaluate(None, None, **SETTING)
    with pytest.raises(DataError, match="sound->image needs sound codes"):
        evaluate(images, None, **SETTING, directions=["sound->image"])
    with pytest.raises(ConfigError, match="there are sound->image"):
        evaluate(images, sounds, **SETTING, directions=["up"])
    with pytest.raises(DataError, match="gallery must be one of test, val, train, all, found 'other'"):
        evaluate(images, sounds, **SETTING, gallery="other")
    with pytest.raises(DataError, match=r"8 of 24 queries have no relevant item(.|\n)*- s-river-0-0: class river"):
        evaluate(images.select([i.label != "river" for i in images.items]), sounds, **SETTING, without="error")
    with pytest.raises(CodesError, match="encoder"):
        evaluate(images, replace(sounds, encoder="other"), **SETTING)
    with pytest.raises(CodesError, match="bits"):
        evaluate(images, replace(sounds, weights=None, bits=BITS + 1), **SETTING)
    with pytest.raises(DataError, match="none of 12 images has a label"):
        evaluate(relabelled(images, lambda row, item: {"label": None}), sounds, **SETTING)
    with pytest.raises(DataError, match="of one class, beach"):
        evaluate(*(c.select([i.label == "beach" for i in c.items]) for c in codes), **SETTING)
    with pytest.raises(DataError, match="no relevant item"):
        evaluate(relabelled(images, lambda row, item: {"label": "other " + item.label}), sounds, **SETTING)
    with pytest.raises(DataError, match="nothing but the query i-beach-0 itself"):
        evaluate(images.select([0, 5]), None, **SETTING, gallery="all", searched=images.select([0]))
    with pytest.raises(DataError, match=r"Leakage\.to_dict"):
        evaluate(images, sounds, **{**SETTING, "leakage": {"leaks": 3}})


def test_one_query_has_no_interval(codes):
    images, sounds = codes
    report = evaluate(images, sounds.select([0]), **SETTING)
    assert report.directions["sound->image"].interval is None
    assert report.directions["image->sound"].queries_without_relevant == 8
    assert "None" not in describe(report)


def test_a_gallery_of_one_class_is_said(codes, capsys):
    images, sounds = codes
    report = evaluate(images, sounds.select([0, 1]), **SETTING)
    assert "warning: all labelled sounds of the gallery are of one class, beach" in capsys.readouterr().err
    direction = report.directions["image->sound"]
    assert (direction.map, direction.chance_map, direction.queries_without_relevant) == (1.0, 1.0, 8)
    evaluate(images, sounds, **SETTING)
    assert "warning" not in capsys.readouterr().err


def test_other_definitions_have_their_own_chance(codes, report):
    one = report.directions["image->sound"]
    assert set(one.chance_conventions) == set(one.conventions)
    assert one.chance_conventions["stable_order"] == one.chance_map
    same = [replace(side, words=np.zeros_like(side.words)) for side in codes]
    collapsed = evaluate(*same, **SETTING).directions["image->sound"]
    for name, chance in one.chance_conventions.items():
        if name != "stable_order":  # one order, of which the mean is not taken
            assert collapsed.conventions[name] == pytest.approx(chance, abs=1e-12)
    assert len({round(chance, 6) for chance in one.chance_conventions.values()}) > 2


def test_classes_with_long_names_are_told_apart(codes):
    long = "a_class_name_without_any_blank_that_is_long_"
    told = describe(evaluate(*(relabelled(side, lambda row, item: {"label": long + item.label}) for side in codes),
                             **SETTING), classes=True)  # fmt: skip
    assert max(map(len, told.splitlines())) <= 80
    assert all(any(line.startswith("a_class_name") and f"{name} " in line for line in told.splitlines())
               for name in ("beach", "forest", "river"))  # fmt: skip


def test_leaks_stand_beside_every_direction_with_sounds(codes):
    images, sounds = codes
    parts = describe(evaluate(images, sounds, **SETTING, directions=CROSS + WITHIN)).split("-" * 80)
    assert [("leaks: of 24 test sounds" in part) for part in parts[1:5]] == [True, True, False, True]


def test_what_became_of_queries_without_relevant_items_is_said(codes):
    images, sounds = codes
    fewer = images.select([i.label != "river" for i in images.items])
    for without, words in (("drop", "left out"), ("zero", "counted as 0")):
        text = " ".join(describe(evaluate(fewer, sounds, **SETTING, without=without)).split())
        assert f"8 queries without anything relevant, {words}" in text


def test_describe_fits_80_columns_and_says_what_it_must(report):
    text = describe(report)
    assert max(map(len, text.splitlines())) <= 80
    for name in CROSS:
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
        ({"directions": {}}, "has directions of"),
        ({"directions": {"up": direction.__dict__}}, "not a report"),
        ({"directions": None}, "not a report"),
        ({"bits": 21}, r"must be 0\.\.21"),
    ]:
        with pytest.raises(DataError, match=message):
            RetrievalReport.from_dict({**entry, **change})
