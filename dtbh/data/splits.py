"""Who is trained on and who is tested on: the field's split, and those that let nothing leak.

Pure: the same ids, labels, pairs, transcripts, speakers and seed give the same split, in whatever order the items
stand.
"""

from __future__ import annotations

import difflib
import hashlib
import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from dtbh.config import Config, SplitSettings
from dtbh.data.manifest import BETWEEN, MODALITIES, Item, Manifest, Split, split_labels
from dtbh.data.paraphrases import original, originals
from dtbh.data.transcripts import said
from dtbh.errors import ConfigError, DataError

ENOUGH = 10
"""So many items must have the same several labels to be a class of their own where items are drawn."""
PROTOCOLS = ("files", "random", "caption-disjoint", "speaker-disjoint", "caption-speaker-disjoint")


def assign(
    manifest: Manifest,
    protocol: str,
    *,
    seed: int = 0,
    test: float = 0.2,
    val: float = 0.1,
    folds: int = 0,
    fold: int = 1,
) -> Manifest:
    """The manifest with each item's split by ``protocol``.

    ``random`` draws images within each class; the sounds of a pair follow their image; sounds without an
    image are drawn within their class on their own. Of n items, ``ceil(test * n)`` are tested on (this
    gives the field's 420, 126 and 2,187 test images of UCM, Sydney and RSICD), ``ceil(val * rest)`` of the
    rest validate, and one at least is left to train on. The disjoint protocols go on from there: the
    different transcripts (within each class), the speakers, or both, are parted in the same shares, and a
    sound is left out (split None) unless its image, its transcript and its speaker fall on one side.
    Sounds whose transcript or speaker is not known are left out then, too. Where each speaker keeps to some
    of the images (see ``dtbh.stages.speak``), images are parted by their speakers instead of at random, and
    no sound need be left out for its voice. Each class with three captions
    or more has one on each side; a caption of several classes has one side in all of them, so this holds
    as far as the captions that it shares allow. Several labels are a class of their own where `ENOUGH` images (for
    captions: sentences) have the same ones; else they count as that one of them which the fewest have. Paraphrases
    (``dtbh.data.paraphrases``) train where their caption does, unless they say what a sound that validates or is
    tested on says; nothing is ever tested on one.

    Args:
        manifest: All items.
        protocol: One of `PROTOCOLS`; ``files`` keeps the splits of the source.
        seed: 0 or more.
        test: Share of test items, 0 <= test < 1.
        val: Share of the rest that validates, 0 <= val < 1.
        folds: Parts of a cross-validation, from 2, in the place of ``test``; 0: one split by the shares.
        fold: Which of them is tested on, from 1.

    Raises:
        ConfigError: An unknown protocol, a share, seed or fold out of range, or folds of ``files``.
        DataError: ``files`` on items without a split; fewer than three transcripts or speakers to part.
    """
    _checked(protocol, seed, test, val)
    _checked_folds(protocol, folds, fold)
    if protocol == "files":
        return _with_paraphrases(_as_filed(originals(manifest)), manifest)
    whole, manifest = manifest, originals(manifest)
    draw = _Draw(seed, test, val, folds, fold)
    sides = _random(manifest, draw)
    parts: list[tuple[str, dict[str, Split]]] = []
    if protocol in ("caption-disjoint", "caption-speaker-disjoint"):
        parts.append(("transcript", _caption_sides(manifest, draw)))
    if protocol in ("speaker-disjoint", "caption-speaker-disjoint"):
        speakers = _speaker_sides(manifest, draw)
        parts.append(("speaker", speakers.of))
        sides |= speakers.items

    def side(item: Item) -> Split | None:
        own = sides[item.id]
        if item.modality == "image":
            return own
        keys = {"transcript": said(item), "speaker": item.speaker}
        return own if all(known.get(keys[name] or "") == own for name, known in parts) else None

    return _with_paraphrases(manifest.replaced(replace(item, split=side(item)) for item in manifest), whole)


def _with_paraphrases(split: Manifest, whole: Manifest) -> Manifest:
    """All of ``whole`` on the sides of ``split``, which lacks its paraphrases: those of training captions train."""
    own = {item.id: item.split for item in split}
    held = {said(item) for item in split.sounds if item.split in ("val", "test")}

    def side(item: Item) -> Split | None:
        source = original(item)
        if source is None:
            return own[item.id]
        return "train" if own.get(source) == "train" and said(item) not in held else None

    return whole.replaced(replace(item, split=side(item)) for item in whole)


def split_for(manifest: Manifest, config: Config) -> Manifest:
    """The manifest with the splits of the config's protocol.

    Raises:
        DataError: The protocol can't be had on this data.
    """
    return assign(manifest, **config.data.model_dump())


def title(settings: SplitSettings) -> str:
    """A config's protocol in words, with the fold where there are folds."""
    return settings.protocol + (f", fold {settings.fold} of {settings.folds}" if settings.folds else "")


@dataclass(frozen=True)
class _Draw:
    """The seed and the shares of a split, or its folds."""

    seed: int
    test: float
    val: float
    folds: int = 0
    fold: int = 1

    def shuffled(self, names: Iterable[str], *key: str | None) -> list[str]:
        """The names in an order that depends on nothing but them, the seed and the key."""
        ordered = sorted(names)
        rng = np.random.default_rng([self.seed, _number(key)])
        return [ordered[i] for i in rng.permutation(len(ordered))]

    def sides(self, n: int, *key: str | None, least: int = 0) -> list[Split]:
        """The sides of n shuffled names: by the shares, or every so many-th to a fold, starting anywhere."""
        if not self.folds:
            return [side for side, count in self.sizes(n, least=least).items() for _ in range(count)]
        tested = [(i + _number(key)) % self.folds == self.fold - 1 for i in range(n)]
        left = n - sum(tested)
        val = min(max(math.ceil(left * self.val - 1e-9), least), max(left - 1, 0))
        sides: list[Split] = []
        for here in tested:
            val -= not here
            sides.append("test" if here else "val" if val >= 0 else "train")
        return sides

    def sizes(self, n: int, *, least: int = 0) -> dict[Split, int]:
        """How many of n fall on each side; ``least`` on test and val, one at least on train."""
        test = min(max(math.ceil(n * self.test - 1e-9), least), n - 1 - least)
        rest = n - test
        val = min(max(math.ceil(rest * self.val - 1e-9), least), rest - 1)
        return {"test": test, "val": val, "train": rest - val}


def _number(key: tuple[str | None, ...]) -> int:
    """A number that stands for a key."""
    return int.from_bytes(hashlib.sha256(repr(key).encode()).digest()[:8], "little")


def _random(manifest: Manifest, draw: _Draw) -> dict[str, Split]:
    """The side of each item, by id: units are images with their sounds, and sounds without an image."""
    pairs: dict[str, list[Item]] = {}
    for item in sorted(manifest, key=lambda item: item.id):
        unit = f"item {item.id}" if item.pair is None else f"pair {item.pair}"
        pairs.setdefault(unit, []).append(item)
    strata: dict[tuple[str, str | None], list[str]] = {}
    firsts = {name: min(own, key=lambda item: (item.modality != "image", item.id)) for name, own in pairs.items()}
    for modality in MODALITIES:
        units = {name: first.label for name, first in firsts.items() if first.modality == modality}
        of = _classes(units.values())
        for name, label in units.items():
            strata.setdefault((modality, of[label]), []).append(name)
    sides: dict[str, Split] = {}
    for key, names in strata.items():
        order = draw.shuffled(names, *key)
        for name, side in zip(order, draw.sides(len(order), *key), strict=True):
            sides |= {item.id: side for item in pairs[name]}
    return sides


def _classes(labels: Iterable[str | None]) -> dict[str | None, str | None]:
    """The class within which each label, or each combination of labels, is drawn."""
    counts = Counter(labels)
    holding = Counter[str]()
    for label, times in counts.items():
        for one in split_labels(label or ""):
            holding[one] += times
    return {
        label: min(split_labels(label), key=lambda one: (holding[one], one))
        if label is not None and BETWEEN in label and times < ENOUGH
        else label
        for label, times in counts.items()
    }


def _caption_sides(manifest: Manifest, draw: _Draw) -> dict[str, Split]:
    """The side of each different transcript; classes with few captions choose first."""
    by_class: dict[str | None, set[str]] = {}
    spoken = dict.fromkeys((item.label, words) for item in manifest.sounds if (words := said(item)))
    of = _classes(label for label, _ in spoken)
    for label, words in spoken:
        by_class.setdefault(of[label], set()).add(words)
    _enough(set().union(*by_class.values()), "transcript", manifest, draw.folds)
    sides: dict[str, Split] = {}
    for label, texts in sorted(by_class.items(), key=lambda entry: (len(entry[1]), entry[0] or "")):
        decided = [sides[text] for text in texts if text in sides]
        free = draw.shuffled((text for text in texts if text not in sides), "caption", label)
        if draw.folds:
            sides |= zip(free, draw.sides(len(free), "caption", label), strict=True)
        else:
            sizes = draw.sizes(len(texts), least=1 if len(texts) >= 3 else 0)
            sides |= zip(free, _filled(sizes, decided, len(free)), strict=True)
    return sides


def _filled(sizes: Mapping[Split, int], decided: Sequence[Split], free: int) -> list[Split]:
    """Sides for ``free`` captions: first one on each side that has none yet, then up to the sizes."""
    left = {side: size - decided.count(side) for side, size in sizes.items()}
    first = [side for side, size in sizes.items() if size and side not in decided]
    more = [side for side in sizes for _ in range(left[side] - (side in first))]
    spare: list[Split] = ["train"] * free
    return [*first, *more, *spare][:free]


CIRCLES = 5  # so many separate circles of speakers make it worth parting the images by them


@dataclass(frozen=True)
class _Speakers:
    """The side of each speaker, and of the items that follow their speakers."""

    of: dict[str, Split]
    items: dict[str, Split]


def _speaker_sides(manifest: Manifest, draw: _Draw) -> _Speakers:
    """One speaker at least on each side; speakers who share an image stay together where that can be."""
    speakers = {item.speaker for item in manifest.sounds if item.speaker}
    _enough(speakers, "speaker", manifest, draw.folds)
    circles = _circles(manifest)
    together = len(set(circles.values())) >= max(CIRCLES, draw.folds)
    unit = circles if together else {speaker: speaker for speaker in speakers}
    order = draw.shuffled(set(unit.values()), "speaker")
    side = dict(zip(order, draw.sides(len(order), "speaker", least=1), strict=True))
    of = {speaker: side[unit[speaker]] for speaker in speakers}
    if not together:
        return _Speakers(of, {})
    pairs = {item.pair: of[item.speaker] for item in manifest.sounds if item.speaker and item.pair is not None}
    items = {item.id: pairs[item.pair] for item in manifest if item.pair in pairs}
    items |= {item.id: of[item.speaker] for item in manifest.sounds if item.pair is None and item.speaker}
    return _Speakers(of, items)


def _circles(manifest: Manifest) -> dict[str, str]:
    """For each speaker, the first of all those whom shared images connect with them."""
    above: dict[str, str] = {}

    def first(name: str) -> str:
        while above[name] != name:
            above[name] = name = above[above[name]]
        return name

    met: dict[str, str] = {}
    for item in sorted(manifest.sounds, key=lambda item: item.id):
        if item.speaker:
            above.setdefault(item.speaker, item.speaker)
            if item.pair is not None:
                low, high = sorted((first(item.speaker), first(met.setdefault(item.pair, item.speaker))))
                above[high] = low
    return {name: first(name) for name in above}


def _enough(known: set[str], what: str, manifest: Manifest, folds: int) -> None:
    """Three sides need three different ones, and each fold one."""
    if len(known) < max(3, folds):
        raise DataError(
            f"{manifest.root}: {len(known)} different {what}s are known of {len(manifest.sounds)} sounds; a "
            f"split by {what} needs {max(3, folds)} at least; add the {what}s to the data, or take the protocol random"
        )


def _as_filed(manifest: Manifest) -> Manifest:
    without = [item.id for item in manifest if item.split is None]
    if without:
        raise DataError(
            f"{manifest.root}: {len(without)} of {len(manifest)} items have no split in their source (first: "
            f"{without[0]}), so the protocol files does not apply; take the protocol random"
        )
    return manifest


def _checked(protocol: str, seed: int, test: float, val: float) -> None:
    if protocol not in PROTOCOLS:
        nearest = difflib.get_close_matches(protocol, PROTOCOLS, 1, 0.0)[0]
        there = ", ".join(PROTOCOLS)
        raise ConfigError(f"unknown split protocol {protocol!r}, the nearest is {nearest}; there are {there}")
    values: dict[str, Any] = {"test": test, "val": val}
    for name, share in values.items():
        if not 0 <= share < 1:
            raise ConfigError(f"split share {name} must be 0 or more and less than 1, found {share}")
    if seed < 0:
        raise ConfigError(f"split seed must be 0 or more, found {seed}")


def _checked_folds(protocol: str, folds: int, fold: int) -> None:
    if folds == 0 and fold == 1:
        return
    if protocol == "files":
        raise ConfigError("the protocol files keeps the splits of the source, which has no folds; take random")
    if folds < 2 or not 1 <= fold <= folds:
        raise ConfigError(f"folds must be 2 or more and fold from 1 to folds, found folds {folds} and fold {fold}")
