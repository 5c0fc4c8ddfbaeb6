"""Functions compiled by numba and kept for other processes. Importing this needs numba and a place for its cache."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pickle import UnpicklingError
from typing import Any, TypeVar, cast

import numba
from numba.core.sigutils import normalize_signature

F = TypeVar("F", bound=Callable[..., Any])


def compiled(function: F) -> F:
    """Compile without Python's lock, and keep what was compiled for other processes.

    Where what was kept is not what it says, it is compiled again and kept anew: a power cut or a full disk leaves half
    a file, and two processes that compile for other types at once can each write over the other's code.
    """
    made = numba.njit(nogil=True, cache=True)(function)
    if cache := getattr(made, "_cache", None):  # with NUMBA_DISABLE_JIT there is none
        cache.load_overload = partial(_loaded, cache, cache.load_overload)
    return cast(F, made)


def _loaded(cache: Any, load: Callable[..., Any], signature: Any, context: Any) -> Any:
    """What the cache has for these types; None, so that it is compiled, where it has something else or half of it."""
    try:
        found = load(signature, context)
    except (EOFError, UnpicklingError):
        found = None
    else:
        asked, _ = normalize_signature(signature)  # type: ignore[no-untyped-call]
        if found is None or found.signature.args == asked:
            return found
    cache.flush()
    return None
