"""Items with several labels, in loops: what two of them share, and what that makes of pairs and rankings.

Comes in: labels as texts, ``"harbor;residential"``, or None. Imports nothing from dtbh.
"""

from __future__ import annotations


def labels_of(text):
    """The set of labels in a text."""
    found = set()
    for part in (text or "").split(";"):
        if part.strip():
            found.add(part.strip())
    return found


def shared(one, other):
    """How many labels two texts have in common."""
    count = 0
    for label in labels_of(one):
        if label in labels_of(other):
            count += 1
    return count


class Labelled:
    """Labels that equal others when they have one in common: the loops over classes are then those over labels."""

    __hash__ = None

    def __init__(self, text):
        self.text = text

    def __eq__(self, other):
        return shared(self.text, other.text) > 0
