"""Lists of words by which images are named: the one that comes with dtbh, and those of files."""

from __future__ import annotations

import csv
from importlib.resources import files
from pathlib import Path

from dtbh.errors import DataError

LAND_USE = "land_use_words.tsv"
MOST_WORDS = 10_000
LONGEST = 100  # characters of a word
BETWEEN = ";"  # stands between the words of an item, so that it is in none
TITLE = "a word list has one word, or a few, a line"


def land_use_words() -> tuple[str, ...]:
    """Some hundred nouns for what is seen from above, as one says them; they stand by groups in the file."""
    with files("dtbh.media").joinpath(LAND_USE).open(encoding="utf-8") as file:
        return tuple(row["word"] for row in csv.DictReader(file, delimiter="\t"))


def read_words(path: str | Path) -> tuple[str, ...]:
    """The words of a text file, a line each, in order; blank lines and words that came before are left out.

    A byte order mark and blanks around and between words mean nothing. At most `MOST_WORDS` lines are read, each of at
    most `LONGEST` characters, so that memory is bounded whatever the file is.

    Args:
        path: The file, UTF-8.

    Raises:
        DataError: No such file, not UTF-8, no word in it, too many lines, or a line that can be no word.
    """
    path = Path(path)
    found: dict[str, None] = {}
    try:
        with path.open(encoding="utf-8-sig") as file:
            number = 0
            while line := file.readline(LONGEST + 2):
                number += 1
                if number > MOST_WORDS:
                    raise DataError(f"{path}: over {MOST_WORDS:,} lines, more than can be told apart; shorten it")
                if word := " ".join(line.split()):
                    found[_checked(word, path, number)] = None
    except UnicodeDecodeError as error:
        raise DataError(
            f"{path}: not a text in UTF-8 ({error.reason} at byte {error.start}); save it as UTF-8"
        ) from None
    except OSError as error:
        raise DataError(f"{path}: can't be read ({error.strerror}); {TITLE}") from None
    if not found:
        raise DataError(f"{path}: holds no word; {TITLE}")
    return tuple(found)


def _checked(word: str, path: Path, number: int) -> str:
    """The word, if it can be one."""
    if len(word) > LONGEST:
        raise DataError(f"{path}: line {number} has over {LONGEST} characters; {TITLE}")
    if BETWEEN in word or not any(char.isalnum() for char in word) or not word.isprintable():
        raise DataError(f"{path}: line {number}, {word[:40]!r}, is no word that could be typed in a filter; {TITLE}")
    return word
