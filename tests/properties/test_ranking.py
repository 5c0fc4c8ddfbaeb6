"""What must hold of the measures whatever the codes are."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dtbh.evaluation.metrics import counts, radius, ranking
from dtbh.evaluation.metrics.labels import classes_of
from dtbh.evaluation.metrics.map_variants import CONVENTIONS
from tests.reference import ranking as naive

BITS = 12
MEASURES = (ranking.precision_at, ranking.recall_at, ranking.hit_at, ranking.f1_at, ranking.ndcg_at)
CONVENED = [one.at_k for one in CONVENTIONS.values() if one.at_k is not None]


@st.composite
def problems(draw):
    """Few bits, so that ties are many: query words, gallery words and labels of both."""
    n_queries, n_gallery = draw(st.integers(1, 6)), draw(st.integers(1, 30))
    seed = draw(st.integers(0, 2**32 - 1))
    high = draw(st.sampled_from([1, 2, 16, 2**BITS]))
    rng = np.random.default_rng(seed)
    words = rng.integers(0, high, (n_queries + n_gallery, 1), dtype=np.uint64)
    labels = rng.integers(0, draw(st.integers(1, 4)), n_queries + n_gallery)
    labels[n_queries] = labels[0]  # one query at least has something to find
    return words[:n_queries], words[n_queries:], labels[:n_queries], labels[n_queries:]


def measures(queries, gallery, query_labels, gallery_labels):
    """Every measure of a problem in one row."""
    tables = counts.distance_counts(queries, gallery, query_labels, gallery_labels, BITS)
    ks = sorted({1, len(gallery) // 2 + 1, len(gallery)})
    points = radius.within_radius(*tables)
    return np.concatenate([
        ranking.average_precision(*tables),
        *(f(*tables, ks).ravel() for f in MEASURES),
        ranking.first_rank(*tables),
        ranking.nmrr(*tables),
        *(f(*tables, ks[len(ks) // 2]) for f in CONVENED),
        [point.precision for point in points],
        [point.recall for point in points],
    ])  # fmt: skip


@given(problems(), st.integers(0, 1000))
@settings(max_examples=60, deadline=None)
def test_shuffling_the_gallery_changes_nothing(problem, seed):
    queries, gallery, query_labels, gallery_labels = problem
    order = np.random.default_rng(seed).permutation(len(gallery))
    shuffled = measures(queries, gallery[order], query_labels, gallery_labels[order])
    np.testing.assert_array_equal(measures(*problem), shuffled)


def test_one_stable_order_does_not_survive_shuffling():
    """The property above would catch the field's loop: here it gives two figures for one gallery."""
    distances, relevant = [1, 1, 1, 2], [True, False, False, True]
    order = [2, 1, 0, 3]
    first = naive.stable(naive.average_precision, distances, relevant)
    second = naive.stable(naive.average_precision, [distances[i] for i in order], [relevant[i] for i in order])
    assert abs(first - second) > 0.1


@given(problems())
@settings(max_examples=60, deadline=None)
def test_every_measure_stays_in_its_range(problem):
    queries, gallery, query_labels, gallery_labels = problem
    tables = counts.distance_counts(queries, gallery, query_labels, gallery_labels, BITS)
    has = tables[0].sum(axis=1) > 0
    for values in (
        ranking.average_precision(*tables),
        ranking.nmrr(*tables),
        *(f(*tables, k) for f in CONVENED for k in (1, len(gallery) // 2 + 1)),
        *(values for measure in MEASURES for values in measure(*tables, [1, len(gallery)]).T),
    ):
        np.testing.assert_array_equal(np.isnan(values), ~has)
        assert ((values[has] >= 0) & (values[has] <= 1)).all()
    assert ranking.recall_at(*tables, [len(gallery)])[has] == pytest.approx(1.0)
    assert ranking.hit_at(*tables, [len(gallery)])[has] == pytest.approx(1.0)
    ranks = ranking.first_rank(*tables)[has]
    assert ((ranks >= 1) & (ranks <= len(gallery))).all()


@given(problems(), st.integers(1, 30))
@settings(max_examples=60, deadline=None)
def test_what_is_divided_by_more_is_less(problem, k):
    """The same sum over the hits, over min(R, k) and over all R; and all agree where k is the whole ranking."""
    queries, gallery, query_labels, gallery_labels = problem
    tables = counts.distance_counts(queries, gallery, query_labels, gallery_labels, BITS)
    has, k = tables[0].sum(axis=1) > 0, min(k, len(gallery))
    hits, bounded, everything = (CONVENTIONS[name].at_k(*tables, k)[has] for name in
                                 ("hits_in_top_k", "min_r_k", "all_relevant"))  # fmt: skip
    assert (hits >= bounded - 1e-12).all()
    assert (bounded >= everything - 1e-12).all()
    for convention in CONVENED:
        np.testing.assert_allclose(convention(*tables, len(gallery)), ranking.average_precision(*tables), atol=1e-12)


@given(problems())
@settings(max_examples=60, deadline=None)
def test_a_gallery_of_one_class_gives_one(problem):
    queries, gallery, query_labels, gallery_labels = problem
    same = counts.distance_counts(queries, gallery, 0 * query_labels, 0 * gallery_labels, BITS)
    assert ranking.average_precision(*same) == pytest.approx(1.0, abs=1e-12)


@given(st.integers(2, 6), st.integers(1, 40), st.integers(0, 1000))
@settings(max_examples=40, deadline=None)
def test_perfect_codes_give_one(classes, n_gallery, seed):
    rng = np.random.default_rng(seed)
    words = rng.choice(2**BITS, classes, replace=False).astype(np.uint64)[:, None]
    labels = np.concatenate([np.arange(classes), rng.integers(0, classes, n_gallery)])
    tables = counts.distance_counts(words, words[labels], np.arange(classes), labels, BITS)
    assert ranking.mean_average_precision(*tables) == pytest.approx(1.0, abs=1e-12)
    assert ranking.median_rank(*tables) == 1.0
    assert ranking.recall_at(*tables, [len(labels)]) == pytest.approx(1.0)
    assert ranking.ndcg_at(*tables, [1, len(labels)]) == pytest.approx(1.0)


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_random_codes_are_near_chance(seed):
    rng = np.random.default_rng(seed)
    queries, gallery = (rng.integers(0, 2**BITS, (n, 1), dtype=np.uint64) for n in (300, 500))
    query_labels, gallery_labels = rng.integers(0, 10, 300), rng.integers(0, 10, 500)
    tables = counts.distance_counts(queries, gallery, query_labels, gallery_labels, BITS)
    chance = ranking.mean_average_precision(*ranking.all_tied(*tables))
    assert 0.1 < chance < 0.13
    assert ranking.mean_average_precision(*tables) == pytest.approx(chance, abs=0.01)


@given(problems())
@settings(max_examples=40, deadline=None)
def test_doubling_the_gallery_keeps_precision_and_recall_within_each_radius(problem):
    queries, gallery, query_labels, gallery_labels = problem
    once = counts.distance_counts(queries, gallery, query_labels, gallery_labels, BITS)
    twice = counts.distance_counts(
        queries, np.concatenate([gallery] * 2), query_labels, np.concatenate([gallery_labels] * 2), BITS
    )
    np.testing.assert_array_equal(2 * once[0], twice[0])
    for one, two in zip(radius.within_radius(*once), radius.within_radius(*twice), strict=True):
        assert one == two


# --- items with several labels


@st.composite
def labelled(draw):
    """Few bits, and up to four of five labels each: query words, gallery words and the labels of both as texts."""
    n_queries, n_gallery = draw(st.integers(1, 5)), draw(st.integers(1, 25))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    words = rng.integers(0, draw(st.sampled_from([1, 4, 64])), (n_queries + n_gallery, 1), dtype=np.uint64)
    most = draw(st.integers(1, 4))
    texts = [";".join(sorted(rng.choice(list("abcde"), rng.integers(0, most + 1), replace=False))) or None
             for _ in range(n_queries + n_gallery)]  # fmt: skip
    texts[0] = texts[n_queries] = "a;b"
    return words[:n_queries], words[n_queries:], texts[:n_queries], texts[n_queries:]


def graded(queries, gallery, asked, found):
    """Counts with gains: relevant, total, gains, grades."""
    classes = classes_of(asked, found)
    args = queries, gallery, classes.queries, classes.gallery, BITS
    (block,) = counts.each_block(lambda block: block, *args, shared=classes.shared)
    return block.relevant, block.total, block.gains, block.grades


def graded_measures(*problem):
    relevant, total, gains, grades = graded(*problem)
    ks = sorted({1, len(problem[1]) // 2 + 1, len(problem[1])})
    return np.concatenate([
        ranking.average_precision(relevant, total),
        ranking.ndcg(relevant, total, gains=gains, grades=grades),
        *ranking.ndcg_at(relevant, total, ks, gains=gains, grades=grades).T,
    ])  # fmt: skip


@given(labelled(), st.integers(0, 1000))
@settings(max_examples=60, deadline=None)
def test_shuffling_the_gallery_changes_nothing_for_several_labels(problem, seed):
    queries, gallery, asked, found = problem
    order = np.random.default_rng(seed).permutation(len(gallery))
    shuffled = graded_measures(queries, gallery[order], asked, [found[i] for i in order])
    np.testing.assert_array_equal(graded_measures(*problem), shuffled)


@given(labelled())
@settings(max_examples=60, deadline=None)
def test_graded_figures_stay_in_their_range_and_end_where_the_whole_ranking_does(problem):
    relevant, total, gains, grades = graded(*problem)
    has, graded_by = relevant.sum(axis=1) > 0, {"gains": gains, "grades": grades}
    whole = ranking.ndcg(relevant, total, **graded_by)
    assert (gains >= relevant).all()
    np.testing.assert_array_equal(grades.sum(axis=1), relevant.sum(axis=1))
    np.testing.assert_array_equal(grades @ np.arange(1, grades.shape[1] + 1), gains.sum(axis=1))
    np.testing.assert_array_equal(np.isnan(whole), ~has)
    assert ((whole[has] > 0) & (whole[has] <= 1)).all()
    np.testing.assert_array_equal(ranking.ndcg_at(relevant, total, [len(problem[1])], **graded_by)[:, 0], whole)


@given(labelled())
@settings(max_examples=40, deadline=None)
def test_the_order_of_the_gains_is_perfect_and_its_reverse_is_the_worst(problem):
    relevant, total, gains, grades = graded(*problem)
    best = grades[:, ::-1]  # a bucket a gain, the largest first
    each = best * np.arange(grades.shape[1], 0, -1)
    rest = (total.sum(axis=1) - best.sum(axis=1))[:, None]
    ordered = [np.hstack([part, np.zeros_like(rest)]) for part in (best, each)]
    all_ranked = np.hstack([best, rest])
    has = relevant.sum(axis=1) > 0
    perfect = ranking.ndcg(ordered[0], all_ranked, gains=ordered[1], grades=grades)
    assert perfect[has] == pytest.approx(1.0)
    worst = ranking.ndcg(ordered[0][:, ::-1], all_ranked[:, ::-1], gains=ordered[1][:, ::-1], grades=grades)
    assert (ranking.ndcg(relevant, total, gains=gains, grades=grades)[has] >= worst[has] - 1e-12).all()
