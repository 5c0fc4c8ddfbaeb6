from __future__ import annotations

import tempfile
from dataclasses import replace
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from dtbh.data.leakage import leakage
from dtbh.data.manifest import Item, Manifest, read_manifest, write_manifest
from dtbh.data.splits import PROTOCOLS, assign
from dtbh.data.transcripts import said
from tests.reference.splits import leaks

LABELS = st.sampled_from(["beach", "river", "forest", "beach;river", "forest;river", None])
# Line separators inside a value are left out: a manifest has one item a line.
TEXT = st.text(st.characters(exclude_categories=("Cs",)), max_size=20)


@st.composite
def manifests(draw: st.DrawFn) -> Manifest:
    """Pairs and unpaired items in any number, with at least three captions and speakers in all."""
    items: list[Item] = []
    captions = st.one_of(st.none(), st.integers(0, 12).map(lambda n: f"Words, no. {n} !"))
    speakers = st.one_of(st.none(), st.integers(0, 5).map(lambda n: f"voice{n}"))
    for i in range(draw(st.integers(0, 12))):
        label, paired = draw(LABELS), draw(st.booleans())
        items.append(Item(f"i{i}", "image", "x", label, f"i{i}" if paired else None))
        for k in range(draw(st.integers(0, 3)) if paired else 0):
            items.append(Item(f"i{i}S{k}", "sound", "x", label, f"i{i}", None, draw(speakers), draw(captions)))
    for s in range(draw(st.integers(3, 9))):
        own = (f"voice{s}", f"words no {s}") if s < 3 else (draw(speakers), draw(captions))
        items.append(Item(f"s{s}", "sound", "x", draw(LABELS), None, None, *own))
    return Manifest(tuple(items), Path("here"), "made")


SEEDS = st.integers(0, 5)
DRAWN = st.sampled_from(PROTOCOLS[1:])


@given(manifests(), DRAWN, SEEDS)
def test_assign_parts_the_items_and_changes_nothing_else(made: Manifest, protocol: str, seed: int) -> None:
    split = assign(made, protocol, seed=seed)
    assert [replace(item, split=None) for item in split] == list(made)
    left_out = [item for item in split if item.split is None]
    assert not left_out if protocol == "random" else all(item.modality == "sound" for item in left_out)
    sides = {item.pair: item.split for item in split.images if item.pair}
    for sound in split.sounds:
        assert sound.split is None or sound.pair is None or sound.split == sides[sound.pair]


@given(manifests(), DRAWN, SEEDS, st.randoms(use_true_random=False))
def test_assign_does_not_see_the_order(made: Manifest, protocol: str, seed: int, random) -> None:  # type: ignore[no-untyped-def]
    shuffled = list(made)
    random.shuffle(shuffled)
    one = {item.id: item.split for item in assign(made, protocol, seed=seed)}
    assert one == {item.id: item.split for item in assign(made.replaced(shuffled), protocol, seed=seed)}


@given(manifests(), DRAWN, SEEDS)
def test_disjoint_protocols_leak_nothing(made: Manifest, protocol: str, seed: int) -> None:
    split = assign(made, protocol, seed=seed)
    rows = [(item.modality, item.split, item.transcript, item.speaker) for item in split]
    found = leakage(split)
    assert (found.test_sounds, found.test_captions_in_train, found.test_speakers_in_train) == leaks(rows)
    for name, key in (("caption", said), ("speaker", lambda item: item.speaker)):
        if name in protocol:
            sides: dict[str | None, str] = {}
            for sound in split.sounds:
                if sound.split is not None:
                    assert key(sound) is not None
                    assert sides.setdefault(key(sound), sound.split) == sound.split


@given(st.lists(st.sampled_from("abcdefgh"), min_size=1, max_size=60), SEEDS)
def test_random_is_stratified(labels: list[str], seed: int) -> None:
    items = tuple(Item(str(n), "image", "x", label) for n, label in enumerate(labels))
    split = assign(Manifest(items, Path(), "made"), "random", seed=seed)
    for label in set(labels):
        n = labels.count(label)
        test = sum(item.split == "test" for item in split if item.label == label)
        assert test == min(-(-n // 5), n - 1)


@settings(deadline=None)
@given(st.dictionaries(TEXT.filter(bool), st.tuples(*[st.none() | TEXT] * 5), max_size=6))
def test_manifest_round_trip(rows: dict[str, tuple[str | None, ...]]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        items = tuple(
            Item(id_, "sound", path, label, pair, "val", speaker, transcript)
            for id_, (path, label, pair, speaker, transcript) in rows.items()
        )
        made = Manifest(items, Path(folder), "made", {"n": 1})
        assert read_manifest(write_manifest(made)) == made


@given(st.lists(TEXT, max_size=5), st.randoms(use_true_random=False))
def test_several_labels_are_the_same_in_any_order_and_twice_read(given_: list[str], random) -> None:  # type: ignore[no-untyped-def]
    item = Item("a", "image", label=[*given_, "x", "y"])  # type: ignore[arg-type]
    again = [*given_, "y", "x", "y"]
    random.shuffle(again)
    assert item == Item("a", "image", label=again) == Item("a", "image", label=item.label)  # type: ignore[arg-type]
    assert item.labels == tuple(sorted(set(item.labels)))
    assert all(label == label.strip() != "" for label in item.labels)
    assert {"x", "y"} <= set(item.labels)
