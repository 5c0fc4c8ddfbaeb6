"""A text as the backbone of a text tower takes it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from dtbh.media.any_language import sentence_vector
from dtbh.media.text import token_numbers


def text_row(text: str, backbone: str, tokenizer: Path | None = None) -> NDArray[Any]:
    """Token numbers int64 [t] for ``minilm_l6``, a vector float32 [384] for ``multilingual_e5_small``.

    ``tokenizer`` is that of `token_numbers`.

    Raises:
        MediaError: The text says nothing, or far too much.
        MissingExtraError: What the backbone needs is not installed.
    """
    return token_numbers(text, tokenizer) if backbone == "minilm_l6" else sentence_vector(text)
