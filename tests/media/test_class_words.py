"""Names of classes as one says them."""

from __future__ import annotations

import pytest

from dtbh.media.class_words import class_words

WORDS = ("the", "field", "base", "ball", "track", "baseball", "solar", "panel", "land", "over", "pass")
RANKS = {word: rank for rank, word in enumerate(WORDS)}


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("baseball_field", "baseball field"),
        ("BaseballField", "baseball field"),
        ("baseballfield", "baseball field"),  # in as few words as can be: not base, ball and field
        ("solar-panel_07", "solar panel"),
        ("mobilehomepark", "mobile home park"),  # of the list of land use
        ("overpass", "overpass"),  # likewise, though its parts are words
        ("fieldtrack;beach", "field track and beach"),
        ("xqzzt", "xqzzt"),
        ("GTFTrack", "gtf track"),
        ("07", "07"),
        ("", ""),
    ],
)
def test_a_name_in_words(name, said):
    assert class_words(name, RANKS) == said
