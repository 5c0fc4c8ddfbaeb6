"""From distances on validation to how far a hit can be believed."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dtbh.codes import pack
from dtbh.errors import RunError
from dtbh.models.confidence import (
    STRONG,
    TRUST,
    WEAK,
    WORDLESS,
    Confidence,
    likeliest,
    read_confidence,
    strength,
    trust,
)
from dtbh.models.run_files import CONFIDENCE
from dtbh.search.confidence import Belief, hit_probabilities
from dtbh.training.confidence import fit_confidence
from tests.reference.hamming import code_of_words, distance

BITS = 6


@given(st.integers(0, 2**32 - 1), st.integers(1, 12), st.integers(1, 12), st.integers(1, 4))
def test_tables_are_the_shares_where_those_fall_and_fall_where_they_do_not(seed, images, sounds, classes):
    rng = np.random.default_rng(seed)
    bits = {"image": rng.random((images, BITS)) < 0.5, "sound": rng.random((sounds, BITS)) < 0.5}
    labels = {name: rng.integers(classes, size=len(own)) for name, own in bits.items()}
    words = {name: pack(own) for name, own in bits.items()}
    tables = fit_confidence(words, labels, BITS).right
    assert set(tables) == {"image->image", "image->sound", "sound->image", "sound->sound"}
    for way, table in tables.items():
        query, gallery = way.split("->")
        right, total = np.zeros(BITS + 1), np.zeros(BITS + 1)
        for a, (word, label) in enumerate(zip(words[query], labels[query], strict=True)):
            for b, (other, own) in enumerate(zip(words[gallery], labels[gallery], strict=True)):
                if query != gallery or a != b:
                    apart = distance(code_of_words(word), code_of_words(other))
                    total[apart] += 1
                    right[apart] += label == own
        share = right.sum() / max(1, total.sum())
        smooth = (right + share) / (total + 1)
        assert (np.diff(table) <= 1e-12).all()
        assert 0 <= table.min() <= table.max() <= 1
        if (np.diff(smooth) <= 0).all():
            assert table == pytest.approx(smooth)


@pytest.mark.parametrize("backbone", TRUST)
def test_familiar_words_are_trusted(backbone):
    values = [trust(x, backbone) for x in np.linspace(-1, 1, 21)]
    assert values == sorted(values)
    assert values[0] < 0.001
    assert values[-1] > 0.99


def test_an_answer_in_a_word():
    assert [strength(x) for x in (None, 0.0, WEAK - 0.001, WEAK, STRONG - 0.001, STRONG, 1.0)] == [
        None, "nothing close", "nothing close", "weak", "weak", "strong", "strong",
    ]  # fmt: skip
    assert strength(WORDLESS) == "weak"  # what has no words is never strong
    assert [likeliest(x) for x in ([], [None], [0.2, None, 0.7, 0.1])] == [None, None, 0.7]


def test_hits_beyond_a_table_and_without_one():
    known = Confidence({"text->image": np.array([0.8, 0.4, 0.2])})
    hits = [("image", 0), ("image", 2), ("image", 9), ("sound", 0)]
    assert hit_probabilities(known, Belief("text", 0.5), hits) == [0.4, 0.1, 0.1, None]
    assert hit_probabilities(None, Belief("text"), hits) == [None] * 4


def test_it_is_kept_and_damage_is_told(tmp_path):
    assert read_confidence(tmp_path) is None
    Confidence({"text->image": np.array([0.75, 0.5])}).write(tmp_path)
    found = read_confidence(tmp_path)
    assert found is not None
    assert found.right["text->image"].tolist() == [0.75, 0.5]
    assert found.probability("image", "text", 0) is None
    (tmp_path / CONFIDENCE).write_text('{"version": 1, "right": [')
    with pytest.raises(RunError, match=r"confidence\.json: damaged"):
        read_confidence(tmp_path)
    (tmp_path / CONFIDENCE).write_text('{"version": 9}')
    with pytest.raises(RunError, match="version 9, this dtbh reads 1"):
        read_confidence(tmp_path)
