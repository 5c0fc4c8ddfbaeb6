"""Things that are found by name: plain dictionaries, filled where each thing stands.

    LOSSES: dict[str, Callable[..., Any]] = {}

    @register(LOSSES, "push")
    def push(...): ...

`load_modules` brings in every file of a folder, so that a new one is found without a line elsewhere, and `load_plugins`
the modules that other packages name as entry points.
"""

from __future__ import annotations

import pkgutil
from collections.abc import Callable
from functools import cache
from importlib import import_module
from typing import TypeVar

from dtbh.errors import ConfigError

T = TypeVar("T")


def register(registry: dict[str, T], name: str) -> Callable[[T], T]:
    """A decorator that puts what it stands at into ``registry``.

    Raises:
        ConfigError: The name is taken.
    """

    def put(thing: T) -> T:
        if name in registry:
            raise ConfigError(f"the name {name!r} is taken by {registry[name]!r}; give {thing!r} another")
        registry[name] = thing
        return thing

    return put


@cache
def load_modules(package: str) -> None:
    """Import every module of a package's own folder, once."""
    for module in pkgutil.iter_modules(import_module(package).__path__):
        import_module(f"{package}.{module.name}")


@cache
def load_plugins(group: str) -> None:
    """Import what other packages name under ``group``, for instance ``dtbh.losses``, once.

    An entry point is a module, or something in one; importing it runs the decorators there.

    Raises:
        ConfigError: One of them can't be imported; says which package it came with.
    """
    from importlib.metadata import entry_points  # slow to import, and `dtbh --help` needs none

    for point in entry_points(group=group):
        try:
            point.load()
        except Exception as error:  # whatever a package of others does when it is imported
            owner = point.dist.name if point.dist is not None else point.value
            raise ConfigError(
                f"package {owner}: its entry point {group} {point.name} can't be loaded ({type(error).__name__}: "
                f"{error}); mend or uninstall {owner}"
            ) from error
