from __future__ import annotations

import json
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest

from dtbh.data.leakage import Leakage, leakage
from dtbh.data.manifest import Item, Manifest
from dtbh.data.splits import PROTOCOLS, _caption_sides, _Draw, _filled, assign
from dtbh.data.transcripts import said
from dtbh.errors import ConfigError, DataError
from tests.reference.splits import leaks

DISJOINT = PROTOCOLS[2:]


def made(classes: int = 3, images: int = 10, captions: int = 4, speakers: int = 6) -> Manifest:
    """Images with ``captions`` sounds each; a class has 2 * captions different sentences."""
    items = []
    for c in range(classes):
        for i in range(images):
            image = f"{c}_{i}"
            items.append(Item(image, "image", "x", f"class{c}", image, "train"))
            for k in range(captions):
                words = f"Class {c}, sentence {(i + k) % (2 * captions)}."
                voice = f"voice{(i * 7 + k) % speakers}"
                items.append(Item(f"{image}S{k}", "sound", "x", f"class{c}", image, "train", voice, words))
    return Manifest(tuple(items), Path("here"), "made")


def counts(manifest: Manifest) -> Counter[tuple[str, str | None]]:
    return Counter((item.modality, item.split) for item in manifest)


def test_random_is_by_images_within_each_class() -> None:
    split = assign(made(images=100), "random", seed=3)
    by_class = Counter((image.label, image.split) for image in split.images)
    for c in range(3):
        assert [by_class[f"class{c}", side] for side in ("train", "val", "test")] == [72, 8, 20]
    sides = {image.pair: image.split for image in split.images}
    assert all(sound.split == sides[sound.pair] for sound in split.sounds)


@pytest.mark.parametrize(("n", "sides"), [(1, (1, 0, 0)), (2, (1, 0, 1)), (3, (1, 1, 1)), (22, (15, 2, 5))])
def test_shares_round_up_and_leave_one_to_train(n: int, sides: tuple[int, int, int]) -> None:
    found = counts(assign(made(classes=1, images=n), "random"))
    assert tuple(found["image", side] for side in ("train", "val", "test")) == sides


def test_sounds_without_an_image_are_drawn_on_their_own() -> None:
    manifest = made().replaced(replace(item, pair=None) for item in made())
    found = counts(assign(manifest, "random"))
    assert [found["sound", side] for side in ("train", "val", "test")] == [84, 12, 24]
    assert [found["image", side] for side in ("train", "val", "test")] == [21, 3, 6]


def test_a_seed_gives_one_split_and_another_gives_another() -> None:
    one, two = assign(made(), "random", seed=1), assign(made(), "random", seed=2)
    assert one == assign(made(), "random", seed=1)
    assert one != two


@pytest.mark.parametrize("folds", [2, 5])
def test_over_all_folds_each_image_is_tested_on_once_and_its_sounds_with_it(folds: int) -> None:
    manifest = made(images=11)
    splits = [assign(manifest, "random", folds=folds, fold=fold) for fold in range(1, folds + 1)]
    tested = Counter(item.id for split in splits for item in split if item.split == "test")
    assert tested == Counter(item.id for item in manifest)
    sizes = Counter((number, i.label) for number, split in enumerate(splits) for i in split.images if i.split == "test")
    assert max(sizes.values()) - min(sizes.values()) <= 1
    assert len(sizes) == 3 * folds
    for split in splits:
        by_class = Counter((image.label, image.split) for image in split.images)
        assert all(by_class[f"class{c}", "val"] == 1 for c in range(3)) or folds == 2
        sides = {image.pair: image.split for image in split.images}
        assert all(sound.split == sides[sound.pair] for sound in split.sounds)
    assert assign(manifest, "random", seed=1, folds=folds, fold=1) != splits[0]


@pytest.mark.parametrize("protocol", ["caption-disjoint", "speaker-disjoint", "caption-speaker-disjoint"])
def test_what_a_protocol_keeps_apart_stays_apart_in_each_fold(protocol: str) -> None:
    manifest = made(images=40, speakers=12)
    tested: Counter[str] = Counter()
    for fold in range(1, 5):
        split = assign(manifest, protocol, folds=4, fold=fold)
        leaks = leakage(split)
        assert leaks.test_sounds > 0
        if protocol != "speaker-disjoint":
            assert leaks.test_captions_in_train == 0
        if protocol != "caption-disjoint":
            assert leaks.test_speakers_in_train == 0
        tested.update(item.id for item in split if item.split == "test")
    images = {image.id for image in manifest.images}
    assert {tested[id_] for id_ in images} == {1}
    assert max(tested.values()) == 1


def test_folds_that_can_not_be_are_named() -> None:
    for folds, fold in ((1, 1), (5, 6), (5, 0), (0, 2)):
        with pytest.raises(ConfigError, match=f"found folds {folds} and fold {fold}"):
            assign(made(), "random", folds=folds, fold=fold)
    with pytest.raises(ConfigError, match="files keeps the splits of the source"):
        assign(made(), "files", folds=5)
    with pytest.raises(DataError, match=r"6 different speakers .* needs 8 at least"):
        assign(made(), "speaker-disjoint", folds=8)


def test_classes_are_drawn_apart_from_each_other() -> None:
    alone = assign(made(classes=1), "random")
    among = assign(made(classes=3), "random")
    assert among.items[: len(alone)] == alone.items


def test_random_leaks_and_disjoint_does_not() -> None:
    assert leakage(assign(made(), "random")).test_captions_in_train > 0
    assert leakage(assign(made(), "random")).test_speakers_in_train > 0
    assert leakage(assign(made(), "caption-disjoint")).test_captions_in_train == 0
    assert leakage(assign(made(), "caption-disjoint")).test_speakers_in_train > 0
    assert leakage(assign(made(), "speaker-disjoint")).test_speakers_in_train == 0
    assert leakage(assign(made(), "speaker-disjoint")).test_captions_in_train > 0
    both = leakage(assign(made(images=40), "caption-speaker-disjoint"))
    assert both.test_sounds > 0
    assert (both.test_captions_in_train, both.test_speakers_in_train) == (0, 0)


@pytest.mark.parametrize("protocol", DISJOINT)
def test_disjoint_keeps_the_random_split_of_the_images_and_leaves_sounds_out(protocol: str) -> None:
    random, split = assign(made(), "random"), assign(made(), protocol)
    assert split.images == random.images
    kept = [pair for pair in zip(split.sounds, random.sounds, strict=True) if pair[0].split is not None]
    assert 0 < len(kept) < len(random.sounds)
    assert all(one == other for one, other in kept)


def test_each_class_with_three_captions_has_one_on_each_side() -> None:
    few = [Item(f"i{n}", "image", label="few", pair=f"i{n}") for n in range(60)]
    few += [Item(f"s{n}", "sound", label="few", pair=f"i{n}", transcript=f"words {n % 3}") for n in range(60)]
    split = assign(made().replaced([*made().items, *few]), "caption-disjoint")
    sides: dict[str | None, str | None] = {}
    for sound in split.sounds:
        if sound.label == "few" and sound.split:
            assert sides.setdefault(said(sound), sound.split) == sound.split
    assert sorted(map(str, sides.values())) == ["test", "train", "val"]


@pytest.mark.parametrize("seed", range(8))
def test_a_small_class_keeps_its_sides_though_a_large_one_shares_its_captions(seed: int) -> None:
    items = [
        Item(f"{label}{n}", "sound", label=label, transcript=f"words {n}")
        for label, many in (("large", 30), ("small", 3))
        for n in range(many)
    ]
    sides = _caption_sides(Manifest(tuple(items), Path(), "made"), _Draw(seed, 0.2, 0.1))
    assert {sides[f"words {n}"] for n in range(3)} == {"train", "val", "test"}


def test_an_empty_side_is_filled_before_the_sizes() -> None:
    assert _filled({"test": 2, "val": 1, "train": 7}, ["train"] * 8, 2) == ["test", "val"]
    assert _filled({"test": 2, "val": 1, "train": 7}, [], 10) == ["test", "val", "train", "test"] + ["train"] * 6


@pytest.mark.parametrize("seed", range(8))
def test_pairs_are_drawn_as_images_whatever_their_sounds_are_called(seed: int) -> None:
    pairs = [Item(f"z{n}", "image", label="beach", pair=f"z{n}") for n in range(10)]
    paired = [Item(f"a{n}", "sound", label="beach", pair=f"z{n}") for n in range(10)]
    alone = [Item(f"b{n}", "sound", label="beach") for n in range(10)]
    split = assign(Manifest((*pairs, *paired, *alone), Path(), "made"), "random", seed=seed)
    assert sum(item.split == "test" for item in split if item.pair is None) == 2
    assert sum(item.split == "test" for item in split.images) == 2


def test_classes_have_orders_of_their_own() -> None:
    tested = {
        c: [i.id[2:] for i in assign(made(), "random").images if i.id[0] == c and i.split == "test"] for c in "012"
    }
    assert len({tuple(ids) for ids in tested.values()}) > 1


def test_a_caption_of_two_classes_has_one_side() -> None:
    items = [replace(item, transcript="Everywhere!") if item.id.endswith("S0") else item for item in made()]
    split = assign(made().replaced(items), "caption-disjoint")
    assert len({sound.split for sound in split.sounds if sound.transcript == "Everywhere!"} - {None}) == 1


def test_sounds_of_unknown_transcript_or_speaker_are_left_out_of_disjoint_splits() -> None:
    manifest = made().replaced(
        replace(item, transcript=None, speaker=None) if item.id == "0_0S0" else item for item in made()
    )
    for protocol in DISJOINT:
        assert {item.split for item in assign(manifest, protocol) if item.id == "0_0S0"} == {None}


@pytest.mark.parametrize("protocol", DISJOINT)
def test_too_few_to_part(protocol: str) -> None:
    what = "transcript" if protocol.startswith("caption") else "speaker"
    bare = made().replaced(replace(item, transcript=None, speaker=None) for item in made())
    with pytest.raises(DataError, match=f"here: 0 different {what}s .* needs 3 .* take the protocol random"):
        assign(bare, protocol)
    two = made().replaced(
        replace(item, transcript=f"words {n % 2}", speaker=f"v{n % 2}") for n, item in enumerate(made())
    )
    with pytest.raises(DataError, match=f"2 different {what}s"):
        assign(two, protocol)


def test_three_speakers_give_one_to_each_side() -> None:
    split = assign(made(images=60, speakers=3), "speaker-disjoint")
    speakers = {side: {s.speaker for s in split.sounds if s.split == side} for side in ("train", "val", "test")}
    assert [len(found) for found in speakers.values()] == [1, 1, 1]
    assert len(set().union(*speakers.values())) == 3


def test_files_keeps_what_the_source_says() -> None:
    assert assign(made(), "files", seed=9) == made()


def test_files_without_splits() -> None:
    half = made().replaced(replace(item, split=None) if item.label == "class1" else item for item in made())
    with pytest.raises(DataError, match=r"here: 50 of 150 items have no split .*first: 1_0.* protocol random"):
        assign(half, "files")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"protocol": "caption-disjont"}, "nearest is caption-disjoint"),
        ({"protocol": "random", "test": 1.0}, "test must be .* found 1.0"),
        ({"protocol": "random", "val": -0.1}, "val must be .* found -0.1"),
        ({"protocol": "random", "test": float("nan")}, "found nan"),
        ({"protocol": "random", "seed": -1}, "seed must be .* found -1"),
    ],
)
def test_settings_out_of_range(arguments: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        assign(made(), **arguments)  # type: ignore[arg-type]


def test_leakage_counts_against_loops() -> None:
    split = assign(made(), "random")
    rows = [(item.modality, item.split, item.transcript, item.speaker) for item in split]
    found = leakage(split)
    assert (found.test_sounds, found.test_captions_in_train, found.test_speakers_in_train) == leaks(rows)
    assert found.test_captions_in_train > 0


def test_leakage_folds_case_punctuation_and_spacing_and_counts_the_unknown() -> None:
    items = (
        Item("a", "sound", split="train", transcript="A river, and trees .", speaker="anna"),
        Item("b", "sound", split="test", transcript="a  River and  TREES", speaker="ben"),
        Item("c", "sound", split="test", transcript="a river and tree", speaker="anna"),
        Item("d", "sound", split="test"),
        Item("e", "image", split="test"),
        Item("f", "sound", split="val", transcript="a river and tree", speaker="ben"),
    )
    found = leakage(Manifest(items, Path(), "made"))
    assert found == Leakage(3, 1, 1, 1, 1, 2)
    assert found.to_dict()["unknown_captions"] == 1
    assert "of 3 test sounds, 1 (33%)" in found.describe()
    assert "1 of unknown speaker" in found.describe()


def test_leakage_of_nothing() -> None:
    assert leakage(Manifest((), Path(), "made")).describe() == "no test sounds"


def test_folding_keeps_other_scripts() -> None:
    assert said(Item("a", "sound", transcript="Ein Fluß!")) == "ein fluss"
    assert said(Item("a", "sound", transcript="नदी")) != said(Item("a", "sound", transcript="नद"))
    assert said(Item("a", "sound", transcript=" . ")) is None


@pytest.mark.parametrize(("name", "test_images"), [("ucm", 420), ("sydney", 126), ("rsicd", 2187)])
def test_the_fields_image_counts(shared_data: Path, name: str, test_images: int) -> None:
    entries = json.loads((shared_data / "captions" / f"dataset_{name}.json").read_text())["images"]
    items = tuple(Item(entry["filename"], "image", label=entry["class"]) for entry in entries)
    found = counts(assign(Manifest(items, Path(), name), "random"))
    assert found["image", "test"] == test_images


def circle_items(circles: int) -> list[Item]:
    """Thirty images a class; the two sounds of an image are by the two speakers of one circle."""
    items = []
    for label in ("a", "b"):
        for i in range(30):
            name = f"{label}{i}"
            items.append(Item(name, "image", label=label, pair=name))
            for k in range(2):
                speaker = f"s{i % circles}-{k}"
                items.append(Item(f"{name}S{k}", "sound", label=label, pair=name, speaker=speaker))
    return items


def test_images_follow_speakers_who_keep_to_them_and_no_sound_is_lost() -> None:
    manifest = Manifest(tuple(circle_items(10)), Path("x"), "test")
    split = assign(manifest, "speaker-disjoint", seed=3)
    assert all(item.split is not None for item in split)
    assert leakage(split).test_speakers_in_train == 0
    sides = {side: {i.speaker for i in split.sounds if i.split == side} for side in ("train", "val", "test")}
    assert {side: len(speakers) for side, speakers in sides.items()} == {"train": 14, "val": 2, "test": 4}
    images = {item.pair: item.split for item in split.images}
    assert all(images[sound.pair] == sound.split for sound in split.sounds)


def test_too_few_circles_fall_back_to_leaving_sounds_out() -> None:
    manifest = Manifest(tuple(circle_items(3)), Path("x"), "test")
    split = assign(manifest, "speaker-disjoint", seed=3)
    assert any(item.split is None for item in split.sounds)
    assert leakage(split).test_speakers_in_train == 0
    random = {item.id: item.split for item in assign(manifest, "random", seed=3).images}
    assert {item.id: item.split for item in split.images} == random


def several(*combinations: tuple[str, int]) -> Manifest:
    """So many images of each combination, with two sounds each."""
    items = []
    for labels, images in combinations:
        for i in range(images):
            pair = f"{labels} {i}"
            items.append(Item(pair, "image", "x", labels, pair))
            items += [Item(f"{pair}S{k}", "sound", "x", labels, pair, None, "v", f"{labels} {i} {k}") for k in (0, 1)]
    return Manifest(tuple(items), Path("here"), "made")


def test_many_of_the_same_labels_are_a_class_and_few_go_with_their_rarest_label() -> None:
    """Alone, each of the five pairs of ship and something would test on none of its images."""
    rare = [(f"sea;ship;thing{n}", 1) for n in range(5)]
    manifest = several(("grass;trees", 20), ("grass", 10), ("ship", 5), *rare, *((f"thing{n}", 10) for n in range(5)))
    split = assign(manifest, "random")
    tested = Counter(image.label for image in split.images if image.split == "test")
    assert tested["grass;trees"] == 4
    assert tested["grass"] == 2
    assert all(tested[f"thing{n}"] == 2 for n in range(5))
    assert sum(times for label, times in tested.items() if "sea" in str(label)) == 1  # sea: the rarest, of five images
    assert tested["ship"] == 1
    sides = {image.pair: image.split for image in split.images}
    assert all(sound.split == sides[sound.pair] for sound in split.sounds)


def test_sentences_of_few_with_the_same_labels_go_with_their_rarest_label_too() -> None:
    manifest = several(*((f"sea;thing{n}", 2) for n in range(5)), *((f"thing{n}", 10) for n in range(5)))
    sides = _caption_sides(manifest, _Draw(0, 0.2, 0.1))
    found = Counter(side for text, side in sides.items() if text.startswith("sea "))
    assert found == {"train": 14, "val": 2, "test": 4}  # alone, of each four sentences one would validate and one test
