"""Settings that had other names: configs of earlier versions are read as what they mean."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from dtbh.errors import ConfigError

RENAMED = {
    "learning": {"within": "intra_modal_weight", "sharpness": "tanh_scale", "terms": "losses"},
    "learning.losses.*": {"within": "intra_modal_weight"},
    "encoders.image": {"averaged": "tta_views"},
    "encoders.sound": {"averaged": "tta_views"},
}
"""By section (``*`` is any name), the old names and the new ones."""


def renamed(content: Mapping[str, Any], where: str, section: str = "") -> dict[str, Any]:
    """Settings by their names of today.

    Args:
        content: Nested settings, not checked yet.
        where: Stands at the front of an error.
        section: The path of ``content``.

    Raises:
        ConfigError: A setting stands under both names.
    """
    names, found = _names(section), dict[str, Any]()
    for key, value in content.items():
        name = names.get(key, key)
        if name in found:
            old = next(old for old, new in names.items() if new == name)
            raise ConfigError(f"{where}: {section}.{old} and {section}.{name} are one setting; keep the latter")
        path = f"{section}.{name}" if section else name
        found[name] = renamed(value, where, path) if isinstance(value, Mapping) else value
    return found


def renamed_key(key: str) -> str:
    """A path as ``learning.within`` by its names of today."""
    path: list[str] = []
    for part in key.split("."):
        path.append(_names(".".join(path)).get(part, part))
    return ".".join(path)


def _names(section: str) -> dict[str, str]:
    """The old names of a section."""
    above, _, _ = section.rpartition(".")
    return RENAMED.get(section) or RENAMED.get(f"{above}.*", {})
