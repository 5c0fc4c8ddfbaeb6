"""Word lists: what is one, and what is refused in a line."""

from __future__ import annotations

import re

import pytest

from dtbh.errors import DataError
from dtbh.media.word_list import LONGEST, MOST_WORDS, land_use_words, read_words


def written(tmp_path, data):
    path = tmp_path / "words.txt"
    path.write_bytes(data if isinstance(data, bytes) else data.encode())
    return path


def test_the_list_of_land_use_could_be_a_file(tmp_path):
    words = land_use_words()
    assert 200 <= len(words) <= 300
    assert read_words(written(tmp_path, "\n".join(words))) == words
    assert {"harbor", "tennis courts", "mobile home park", "clouds"} <= {*words}


def test_marks_blanks_and_twins_are_left_out(tmp_path):
    data = b"\xef\xbb\xbfharbor\r\n\r\n  open   water \n\t\nharbor\n\xc3\xa9cluse"
    assert read_words(written(tmp_path, data)) == ("harbor", "open water", "écluse")
    assert read_words(written(tmp_path, f"{'a' * LONGEST}\r\nb\n")) == ("a" * LONGEST, "b")


@pytest.mark.parametrize(
    ("data", "why"),
    [
        ("", "holds no word"),
        ("\ufeff\n \n\t\n", "holds no word"),
        ("harbor\n" * (MOST_WORDS + 1), "over 10,000 lines"),
        ("harbor\n" + "a" * 1_000_000, f"line 2 has over {LONGEST} characters"),
        (b"harbor\n\xff\xfe", "not a text in UTF-8"),
        ("harbor;dock\n", "line 1, 'harbor;dock', is no word"),
        ("harbor\n--\n", "line 2, '--', is no word"),
        ("har\x00bor", "is no word"),
    ],
)
def test_what_is_no_list_is_refused_in_one_line(tmp_path, data, why):
    path = written(tmp_path, data)
    with pytest.raises(DataError, match=re.escape(why)) as refused:
        read_words(path)
    assert str(path) in str(refused.value)
    assert "\n" not in str(refused.value)


def test_no_file(tmp_path):
    with pytest.raises(DataError, match="can't be read"):
        read_words(tmp_path / "none.txt")
    with pytest.raises(DataError, match="can't be read"):
        read_words(tmp_path)
