"""Leak counts in plain loops, over (modality, split, transcript, speaker) tuples."""

from __future__ import annotations

import string

Row = tuple[str, "str | None", "str | None", "str | None"]


def fold(text: str) -> str:
    """Folding for ASCII: case, punctuation and spacing."""
    for mark in string.punctuation:
        text = text.replace(mark, " ")
    return " ".join(text.lower().split())


def leaks(rows: list[Row]) -> tuple[int, int, int]:
    """Test sounds; those whose sentence, and those whose speaker, training has too."""
    sounds = captions = speakers = 0
    for modality, split, transcript, speaker in rows:
        if modality != "sound" or split != "test":
            continue
        sounds += 1
        same_caption = same_speaker = False
        for other_modality, other_split, other_transcript, other_speaker in rows:
            if other_modality != "sound" or other_split != "train":
                continue
            if transcript and other_transcript and fold(transcript) == fold(other_transcript):
                same_caption = True
            if speaker and speaker == other_speaker:
                same_speaker = True
        captions += same_caption
        speakers += same_speaker
    return sounds, captions, speakers
