"""A comparison in the terminal, in 80 columns: the entries side by side, and in words what the difference means."""

from __future__ import annotations

import textwrap

from dtbh.evaluation.comparison import LEVEL, Block, Comparison, Difference
from dtbh.evaluation.describe import WIDTH

NAME = 24


def describe(comparison: Comparison) -> str:
    """The comparison in tables and words.

    Returns:
        Lines of at most 80 characters.
    """
    lines = []
    for block in comparison.blocks:
        lines += ["-" * WIDTH, *_block(block, comparison)]
    lines.append("-" * WIDTH)
    lines += [line for note in (*comparison.warnings, *_notes(comparison)) for line in _wrapped(note)]
    return "\n".join(lines)


def _block(block: Block, comparison: Comparison) -> list[str]:
    chance = block.values[comparison.first].chance
    lines = _wrapped(
        f"{block.direction}: {block.n_queries:,} queries of {block.n_clusters:,} images or pairs, over a gallery of "
        f"{block.n_gallery:,} ({block.gallery}); chance {chance:.3f}"
    )
    p = "p (Holm)" if comparison.tests > 1 else "p"
    lines.append(f"{'':<{NAME}} {'bits':>4}  {'mAP':<13} {'difference, 95 % interval':<26} {p:>8}")
    found = {one.name: one for one in block.differences}
    for name, cell in block.values.items():
        short = name if len(name) <= NAME else "…" + name[1 - NAME :]
        line = f"{short:<{NAME}} {block.bits[name]:>4}  {cell.text():<13}"
        if name in found:
            line += f" {_signed(found[name]):<26} {_p(found[name].p_holm):>8}"
        lines.append(line.rstrip())
    return lines + [line for one in block.differences for line in _wrapped(_said(one, comparison.first))]


def _signed(one: Difference) -> str:
    return f"{one.difference:+.3f}" + ("" if one.interval is None else " [{:+.3f}, {:+.3f}]".format(*one.interval))


def _p(value: float) -> str:
    return "< 0.001" if value < 0.001 else f"{value:.3f}"


def _said(one: Difference, first: str) -> str:
    """What the difference means, in words."""
    low, high = one.interval or (0.0, 0.0)
    if one.significant:
        word = "better" if one.difference > 0 else "worse"
        text = f"{one.name} is {word} than {first} by {abs(one.difference):.3f} mAP, more than chance explains."
        if low * high <= 0:
            return text
        low, high = sorted((abs(low), abs(high)))
        return f"{text} On other images of this kind expect between {low:.3f} and {high:.3f}."
    text = f"{one.name} and {first}: this test can't tell them apart"
    if one.interval is None:
        return f"{text}."
    worse = f"up to {-low:.3f} worse" if low < 0 else "no worse"
    better = f"up to {high:.3f} better" if high > 0 else "no better"
    return f"{text}; that is no proof that they are equal. {one.name} may be {worse} or {better}."


def _notes(comparison: Comparison) -> list[str]:
    seeds = {len(cell.values) for block in comparison.blocks for cell in block.values.values()}
    several = "" if comparison.tests == 1 else f", corrected for {comparison.tests} tests (Holm)"
    notes = [
        f"p: a permutation test in which the two results of each image, summed over its sounds, change places by "
        f"chance{several}; below {LEVEL:g} counts as a difference. Interval: bootstrap over images."
    ]
    if seeds == {1}:
        notes.append("One training of each: whether the methods differ, and not these runs alone, several seeds say.")
    else:
        notes.append("Each query's figure is its mean over seeds; the spread of seeds stands beside the mAP.")
    return [*notes, f"Leaks from training: {comparison.leaks}."]


def _wrapped(text: str) -> list[str]:
    return textwrap.wrap(text, WIDTH, subsequent_indent="  ")
