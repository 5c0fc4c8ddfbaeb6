"""The packages that dtbh asks for, as its own metadata has them."""

from __future__ import annotations

import importlib.util
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from dtbh.errors import MissingExtraError

T = TypeVar("T")


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
    from importlib.metadata import requires  # slow to import, and `dtbh --help` needs none

    found = []
    for line in requires("dtbh") or ():
        requirement, _, marker = line.partition(";")
        name = re.split(r"[^A-Za-z0-9._-]", requirement)[0].lower()
        extra = re.search(r'extra == "([^"]+)"', marker)
        if name != "dtbh":
            found.append(Package(name, requirement.strip(), extra.group(1) if extra else None))
    return tuple(found)


def version(package: str) -> str | None:
    """The installed version, or None."""
    from importlib import metadata

    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def check_installed(*modules: str, extra: str, purpose: str) -> None:
    """See that what an extra brings is there, without importing it.

    Args:
        modules: Their names.
        extra: The extra of dtbh that brings them.
        purpose: What they are wanted for.

    Raises:
        MissingExtraError: Names the first that is missing, and what to type.
    """
    for module in modules:
        if module_folder(module) is None:
            raise MissingExtraError(module, extra, purpose)


def module_folder(name: str) -> Path | None:
    """The folder of an installed module, found without importing it; or None."""
    try:
        spec = importlib.util.find_spec(name)
    except ModuleNotFoundError:
        return None
    return None if spec is None or spec.origin is None else Path(spec.origin).parent


def where_compiled(use: Callable[[], T]) -> T | None:
    """What ``use`` gives, which imports compiled functions (`dtbh.utils.compiled`) and calls each once.

    None where numba is not installed or not of a version that fits, and where there is no place for its cache, or no
    room in it.
    """
    try:
        return use()
    except ImportError as error:
        if (error.name or "").partition(".")[0] == "dtbh":
            raise
    except (OSError, RuntimeError):
        pass
    return None
