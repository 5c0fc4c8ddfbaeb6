"""Texts that are spoken for training."""

from __future__ import annotations

from itertools import islice

import pytest

from dtbh.data.speech.phrases import FRAMES, phrases
from dtbh.errors import DataError

NOUNS = """  1 This software and database is being provided to you
00001 06 n 02 pier 0 dock 0 001 @ 00002 n 0000 | a platform built out from the shore
00003 17 n 01 gravel_pit 0 000 | a hole
00004 09 n 01 thought 0 000 | not a thing
00005 18 n 01 Napoleon 0 000 | a name
"""


@pytest.fixture
def wordnet(tmp_path):
    (tmp_path / "data.noun").write_text(NOUNS)
    (tmp_path / "cntlist.rev").write_text("pier%1:06:00:: 1 24\npier%2:06:00:: 1 9\nthought%1:09:00:: 1 99\n")
    return tmp_path


def test_captions_their_parts_and_other_words(wordnet):
    captions = [["many boats are docked in the harbor ."], ["there is a river", "a dense forest beside a lake"]]
    found = [*islice(phrases(captions, 0, wordnet), 2000)]
    assert found == [*islice(phrases(captions, 0, wordnet), 2000)]
    assert found != [*islice(phrases(captions, 1, wordnet), 2000)]
    whole = [text for text in found if text in {*captions[0], *captions[1]}]
    assert whole.count(captions[0][0]) == pytest.approx(2000 * 0.15, abs=60), "each data set as often"
    other = [text for text in found if "pier" in text or "dock " in f"{text} " or "gravel pit" in text]
    assert len(other) > 700
    assert sum("pier" in text for text in other) > 2 * sum("gravel" in text for text in other), "used more often"
    assert not any("thought" in text or "apoleon" in text for text in found)
    assert any(text == frame.format("boats are docked") for text in found for frame in FRAMES)
    assert not any("  " in text for text in found)


def test_without_wordnet(tmp_path):
    with pytest.raises(DataError, match=r"no WordNet .*; apt-get install wordnet-base"):
        next(phrases([["a"]], 0, tmp_path))
