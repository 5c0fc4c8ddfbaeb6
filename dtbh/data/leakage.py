"""What of test stands in training: sentences that are said there too, and voices that speak there."""

from __future__ import annotations

from dataclasses import asdict, dataclass

from dtbh.data.manifest import Manifest
from dtbh.data.transcripts import said


@dataclass(frozen=True)
class Leakage:
    """What of the test sounds training has met already.

    Attributes:
        test_sounds: Sounds in the test split.
        test_captions_in_train: Test sounds whose transcript stands in training word for word, case,
            punctuation and spacing aside.
        test_speakers_in_train: Test sounds whose speaker also speaks in training.
        unknown_captions: Test sounds without a transcript: they may leak or not.
        unknown_speakers: Test sounds without a speaker: they may leak or not.
        n_speakers: Different known speakers of the test sounds.
    """

    test_sounds: int
    test_captions_in_train: int
    test_speakers_in_train: int
    unknown_captions: int
    unknown_speakers: int
    n_speakers: int

    def to_dict(self) -> dict[str, int]:
        """The counts by name, for a report."""
        return asdict(self)

    def describe(self) -> str:
        """One line for people."""
        n = self.test_sounds
        if not n:
            return "no test sounds"
        captions = f"{self.test_captions_in_train} ({self.test_captions_in_train / n:.0%}) say what training says"
        speakers = f"{self.test_speakers_in_train} ({self.test_speakers_in_train / n:.0%}) in a voice of training"
        if self.unknown_captions:
            captions += f", {self.unknown_captions} without a transcript"
        if self.unknown_speakers:
            speakers += f", {self.unknown_speakers} of unknown speaker"
        return f"of {n} test sounds, {captions}; {speakers}"


def leakage(manifest: Manifest) -> Leakage:
    """How many test sounds repeat a sentence or a speaker of training, word for word."""
    train = [item for item in manifest.sounds if item.split == "train"]
    test = [item for item in manifest.sounds if item.split == "test"]
    captions = {said(item) for item in train} - {None}
    speakers = {item.speaker for item in train} - {None}
    return Leakage(
        test_sounds=len(test),
        test_captions_in_train=sum(said(item) in captions for item in test),
        test_speakers_in_train=sum(item.speaker in speakers for item in test),
        unknown_captions=sum(said(item) is None for item in test),
        unknown_speakers=sum(item.speaker is None for item in test),
        n_speakers=len({item.speaker for item in test} - {None}),
    )
