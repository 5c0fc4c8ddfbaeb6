"""What an engine is: a place where an index is or can be made, as a frozen dataclass of its options.

`@engine` puts one among those that ``dtbh index``, ``search``, ``remove`` and ``serve`` take by name; its fields become
their options. Nothing heavy is imported until an index is opened.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Protocol, TypeVar

from dtbh.utils.registry import load_modules, load_plugins, register

if TYPE_CHECKING:
    from dtbh.codes import HashCodes
    from dtbh.index.base import Index


class Engine(Protocol):
    """Where an index is, as a frozen dataclass.

    Attributes:
        making: Names of the fields that matter only when an index is made.
    """

    making: ClassVar[Collection[str]]

    @property
    def label(self) -> str:
        """A short name, as the service shows it."""

    def exists(self) -> bool:
        """Whether there is an index."""

    def open(self) -> Index:
        """Open it.

        Raises:
            CodesError: There is none, or it can't be read.
            MissingExtraError: What the engine needs is not installed.
        """

    def create(self, codes: HashCodes, *, model: str | Path | None = None) -> Index:
        """Make an index of these codes, which may be none.

        Raises:
            CodesError: There is one already.
            MissingExtraError: What the engine needs is not installed.
        """

    def state(self) -> object:
        """What is another whenever the index must be opened anew to be seen as it is; None if never."""


Kind = TypeVar("Kind", bound=type[Engine])
ENGINES: dict[str, type[Engine]] = {}
"""Engines by name, as far as they were imported; `known_engines` imports all."""


def engine(name: str) -> Callable[[Kind], Kind]:
    """A decorator that makes a frozen dataclass the engine ``name``.

    Its fields are ``str``, ``int``, ``float``, ``bool`` or ``Path``, or these ``| None``; what ``Args`` says of them is
    their help. Two engines may have a field of one name and kind; none has one that a command itself has, as ``model``.
    """

    def put(kind: Kind) -> Kind:
        register(ENGINES, name)(kind)
        return kind

    return put


def known_engines(*, packages: bool = True) -> dict[str, type[Engine]]:
    """`ENGINES` with those of this folder and those of other packages (entry points ``dtbh.engines``), by name.

    Args:
        packages: Look for those of other packages, which takes a tenth of a cold search; else with those of them alone
            that were found before.

    Raises:
        ConfigError: A package's entry point can't be loaded.
    """
    load_modules("dtbh.index.engines")
    if packages:
        load_plugins("dtbh.engines")
    return dict(sorted(ENGINES.items()))
