"""The packages that dtbh asks for, as its own metadata has them."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import re
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Package:
    """One requirement.

    Attributes:
        name: Of the package, in lower case.
        requirement: With its bounds, as pip wants it.
        extra: The extra that asks for it; None for a dependency.
    """

    name: str
    requirement: str
    extra: str | None


def declared() -> tuple[Package, ...]:
    """Dependencies and extras, in the order of pyproject.toml; not what an extra takes over from another."""
    found = []
    for line in importlib.metadata.requires("dtbh") or ():
        requirement, _, marker = line.partition(";")
        name = re.split(r"[^A-Za-z0-9._-]", requirement)[0].lower()
        extra = re.search(r'extra == "([^"]+)"', marker)
        if name != "dtbh":
            found.append(Package(name, requirement.strip(), extra.group(1) if extra else None))
    return tuple(found)


def version(package: str) -> str | None:
    """The installed version, or None."""
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def module_folder(name: str) -> Path | None:
    """The folder of an installed module, found without importing it; or None."""
    try:
        spec = importlib.util.find_spec(name)
    except ModuleNotFoundError:
        return None
    return None if spec is None or spec.origin is None else Path(spec.origin).parent
