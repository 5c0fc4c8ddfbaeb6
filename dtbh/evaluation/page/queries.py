"""The best and the worst queries with what they find: pictures, and sounds with spectrogram and transcript."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from html import escape

from dtbh.data.manifest import Item
from dtbh.evaluation.page.media import clip, thumbnail
from dtbh.evaluation.results.examples import KINDS, Example, Hit

SPACED = re.compile(r"\s+(?=[.,;:!?])")  # captions come tokenised: "a beach ."
TITLES = {"best": "Best queries", "worst": "Worst queries"}
MARKS = {
    True: ("right", "✓", "its class"),
    False: ("wrong", "✗", "another class"),
    None: ("unknown", "?", "class not known"),
}


def queries(examples: Mapping[str, Sequence[Example]]) -> str:
    """Both kinds, at most one query a class; nothing where there are none."""
    parts = []
    for kind in KINDS:
        if examples.get(kind):
            rows = "".join(_query(example) for example in examples[kind])
            parts.append(f"<h3>{TITLES[kind]} <small>by average precision, at most one a class</small></h3>{rows}")
    return "".join(parts)


def _query(example: Example) -> str:
    item = example.query
    hits = "".join(_hit(hit) for hit in example.hits)
    found = f'<ol class="hits {example.hits[0].item.modality if example.hits else "image"}s">'
    return (
        f'<article class="query"><div class="asked">{_media(item)}'
        f'<p class="name">{escape(item.label or "no label")}</p>'
        f'<p class="soft">AP {example.average_precision:.3f}{_seconds(item)}</p>{_words(item)}</div>'
        f"{found}{hits}</ol></article>"
    )


def _hit(hit: Hit) -> str:
    kind, mark, words = MARKS[hit.right]
    pair = '<p class="pair">its own pair</p>' if hit.paired else ""
    return (
        f'<li class="{kind}">{_media(hit.item)}<p class="name"><span class="mark" role="img" '
        f'aria-label="{words}" title="{words}">{mark}</span> {escape(hit.item.label or "no label")}</p>'
        f'<p class="soft">distance {hit.distance}{_seconds(hit.item)}</p>{pair}{_words(hit.item)}</li>'
    )


def _media(item: Item) -> str:
    """The picture, or the player of the sound, which the script makes the spectrogram itself; of a text nothing."""
    if item.modality == "text":
        return ""
    if item.modality == "image":
        source = thumbnail(item)
        if source is None:
            return f'<p class="gone">{escape(item.id)}: the picture can\'t be read</p>'
        return f'<img src="{source}" alt="{escape(item.label or item.id)}" title="{escape(item.id)}">'
    sound = clip(item)
    if sound is None:
        return f'<p class="gone">{escape(item.id)}: the sound can\'t be read</p>'
    return (
        f'<div class="sound" title="{escape(item.id)}"><img class="spectrogram" src="{sound.picture}" '
        f'alt="spectrogram"><audio controls preload="none" src="{sound.source}"></audio></div>'
    )


def _seconds(item: Item) -> str:
    """How long a sound plays."""
    sound = clip(item) if item.modality == "sound" else None
    return "" if sound is None else f" · {'first ' if sound.cut else ''}{sound.seconds:.1f} s"


def _words(item: Item) -> str:
    """What is said in a sound or a text; nothing for a picture."""
    if item.modality == "image" or not item.transcript:
        return ""
    return f'<p class="said">{escape(SPACED.sub("", item.transcript))}</p>'
