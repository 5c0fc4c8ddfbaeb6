"""What paraphrases say, and where they may train."""

from __future__ import annotations

from pathlib import Path

import pytest

from dtbh.data.leakage import leakage
from dtbh.data.manifest import Item, Manifest
from dtbh.data.paraphrases import FRAMES, OPENINGS, original, originals, paraphrased
from dtbh.data.splits import PROTOCOLS, assign
from dtbh.data.transcripts import said
from dtbh.errors import ConfigError

THINGS = {"harbor": "boats", "airport": "planes", "farm": "fields"}


def manifest(*, labels: bool = True, each: int = 12) -> Manifest:
    """Images of three classes, each with two sounds in the voices of its number; every caption is its own."""
    items = []
    for number, (label, thing) in enumerate(sorted(THINGS.items()) * each):
        pair = f"{label}{number}"
        known = label if labels else None
        items.append(Item(f"image-{pair}", "image", f"{pair}.png", label=known, pair=pair))
        for half in (0, 1):
            text = f"There are {number + 2 + 100 * half} {thing} with some things beside the {label} ."
            speaker = f"v{number % 12}"
            items.append(Item(f"{pair}-{half}", "sound", None, known, pair, transcript=text, speaker=speaker))
    return Manifest(tuple(items), Path(), "made")


def test_the_same_seed_gives_the_same_words_and_another_does_not() -> None:
    assert paraphrased(manifest(), 2, seed=3) == paraphrased(manifest(), 2, seed=3)
    assert paraphrased(manifest(), 2, seed=3) != paraphrased(manifest(), 2, seed=4)


def test_each_says_words_of_its_original_in_their_order_within_a_frame() -> None:
    whole = paraphrased(manifest(), 4)
    by_id = {item.id: item for item in whole}
    found = [item for item in whole if original(item)]
    assert len(found) > 3 * len(manifest().sounds)
    for item in found:
        source = by_id[original(item) or ""]
        assert (item.label, item.pair, item.path, item.speaker) == (source.label, source.pair, None, None)
        text = said(item) or ""
        assert text != said(source)
        assert any(_within(text, frame, said(source) or "") for frame in FRAMES), (text, said(source))


def _within(text: str, frame: str, source: str) -> bool:
    """Whether the text is the frame around words of the source, which stand there in that order."""
    before = frame.removesuffix("{}")
    if not text.startswith(before):
        return False
    opening = next((o for o in OPENINGS if source.startswith(o)), "")
    left = iter(source.removeprefix(opening).split())
    return all(word in left for word in text.removeprefix(before).split())


@pytest.mark.parametrize("labels", [True, False])
def test_the_telling_word_is_never_left_out(labels: bool) -> None:
    for item in paraphrased(manifest(labels=labels), 6).sounds:
        words = (said(item) or "").split()
        tellings = {*THINGS, *THINGS.values()} if labels else {*THINGS, *THINGS.values(), *map(str, range(200))}
        assert tellings & set(words), item.transcript


def test_those_of_an_earlier_call_go() -> None:
    assert paraphrased(paraphrased(manifest(), 3), 1) == paraphrased(manifest(), 1)
    assert paraphrased(paraphrased(manifest(), 3), 0) == manifest() == originals(paraphrased(manifest(), 3))


def test_a_caption_that_is_an_opening_alone_or_unknown_has_none() -> None:
    sounds = [Item("a", "sound", "a.wav"), Item("b", "sound", "b.wav", transcript="There is")]
    assert len(paraphrased(Manifest(tuple(sounds), Path(), "made"), 2).items) == 2


@pytest.mark.parametrize("protocol", [p for p in PROTOCOLS if p != "files"])
def test_they_train_where_their_original_does_and_change_no_other_split(protocol: str) -> None:
    plain = assign(manifest(), protocol, test=0.25, val=0.2)
    whole = assign(paraphrased(manifest(), 3), protocol, test=0.25, val=0.2)
    assert originals(whole) == plain
    sides = {item.id: item.split for item in plain}
    held = {said(item) for item in plain.sounds if item.split in ("val", "test")}
    for item in whole.sounds:
        source = original(item)
        if source is not None:
            assert item.split == ("train" if sides[source] == "train" and said(item) not in held else None)
    assert leakage(whole) == leakage(plain)


def test_one_that_says_what_a_held_out_sound_says_is_left_out() -> None:
    taken = paraphrased(manifest(), 1)
    split = assign(taken, "random", test=0.25, val=0.2)
    trains = next(item for item in split.sounds if original(item) and item.split == "train")
    tested = next(item for item in split.sounds if item.split == "test")
    same = [Item(**{**_fields(i), "transcript": trains.transcript}) if i.id == tested.id else i for i in taken]
    again = assign(taken.replaced(same), "random", test=0.25, val=0.2)
    assert next(item for item in again if item.id == trains.id).split is None


def _fields(item: Item) -> dict[str, object]:
    return {name: getattr(item, name) for name in item.__slots__}


def test_splits_of_the_source_keep_them_in_training_alone() -> None:
    filed = [Item(**{**_fields(i), "split": "test" if "harbor" in i.id else "train"}) for i in manifest()]
    whole = assign(paraphrased(manifest().replaced(filed), 2), "files")
    assert {i.split for i in whole.sounds if original(i) and "harbor" in i.id} == {None}
    assert {i.split for i in whole.sounds if original(i) and "harbor" not in i.id} == {"train"}


def test_numbers_below_zero_are_refused() -> None:
    with pytest.raises(ConfigError, match="0 or more"):
        paraphrased(manifest(), -1)
