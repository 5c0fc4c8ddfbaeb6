"""From a source to a manifest, once every file has been checked."""

from __future__ import annotations

import hashlib
import inspect
import json
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, get_args

from dtbh.data.checks import check
from dtbh.data.manifest import NAME, Item, Manifest, read_manifest, relative, write_manifest
from dtbh.data.sources.base import GIVEN, Source, known_sources
from dtbh.data.sources.extracted import Extracted
from dtbh.data.sources.readers import count
from dtbh.errors import DataError
from dtbh.utils.progress import echo

MEDIA = "media"
"""The folder for what stood inside other files, in the data folder."""


@dataclass(frozen=True)
class Prepared:
    """What `prepare` gives.

    Attributes:
        manifest: As it stands on disk; paths are relative to its root.
        warnings: What is odd, though usable, one line each.
        changed: False where the manifest was up to date and nothing was done.
    """

    manifest: Manifest
    warnings: tuple[str, ...]
    changed: bool


def prepare(source: str, out: Path, *, strict: bool = False, **arguments: object) -> Prepared:
    """Run a source, check every file, and write the manifest into ``out``.

    A manifest that was made from the same arguments and the same files (captions, names, sizes, times of
    change) is left alone, together with the clips that were spoken for it since.

    Args:
        source: A name of `known_sources`.
        out: The data folder, made where it is missing.
        strict: Warnings stop it, as problems do.
        arguments: What the source takes; None counts as not given.

    Raises:
        DataError: An unknown source, arguments that do not fit it, or all problems of the data; nothing is
            written then.
    """
    function = _found(source)
    given = _arguments(source, function, out, arguments)
    with Extracted((out / MEDIA).resolve()) as media:
        takes_media = "media" in inspect.signature(function).parameters
        items = function(**given, media=media) if takes_media else function(**given)
        return _prepared(source, out, given, items, media, strict=strict)


def _prepared(
    source: str, out: Path, given: dict[str, Any], items: list[Item] | Manifest, media: Extracted, *, strict: bool
) -> Prepared:
    """What a source gave, checked and written."""
    if isinstance(items, Manifest):
        return Prepared(items, (), True)
    settings: dict[str, Any] = {
        "arguments": {n: str(v.resolve()) if isinstance(v, Path) else v for n, v in given.items()},
        "inputs": _fingerprint(items),
    }
    earlier = _earlier(out, source, settings)
    if earlier is not None:
        warnings = tuple(earlier.settings.get("warnings", ()))
    else:
        files = sum(item.path is not None for item in items)
        echo(f"checking {files} files of {source} for {out}, on the CPU", event="start")
        findings = check(items)
        if findings.problems:
            told = [media.told(problem) for problem in findings.problems]
            raise DataError(f"{source}: {count(told, 'problem')}; nothing written", told)
        warnings = findings.warnings
    if strict and warnings:
        raise DataError(f"{source}: {count(warnings, 'warning')}, and --strict takes none", warnings)
    if earlier is not None:
        return Prepared(earlier, warnings, False)
    written = (replace(item, path=relative(Path(item.path), out)) if item.path else item for item in items)
    manifest = Manifest(tuple(written), out, source, {**settings, "warnings": list(warnings)})
    before = _files_of(out) if media.folder.is_dir() else set()
    media.settle()
    write_manifest(manifest)
    media.forget(before - _named(manifest))
    return Prepared(manifest, warnings, True)


def _found(source: str) -> Source:
    """The source of this name."""
    if source not in known_sources():
        raise DataError(f"unknown source {source!r}; there are {', '.join(known_sources())}")
    return known_sources()[source]


def _arguments(source: str, function: Source, out: Path, arguments: dict[str, object]) -> dict[str, Any]:
    """The arguments that were given, if they are those that the source takes; ``out`` where it takes that."""
    wanted = inspect.signature(function, eval_str=True).parameters
    given = {name: value for name, value in arguments.items() if value is not None}
    takes = ", ".join(name for name in wanted if name not in GIVEN)
    problems = [f"it takes no {name}" for name in given if name not in wanted]
    given |= {"out": out} if "out" in wanted else {}
    problems += [
        f"it needs {name}"
        for name, parameter in wanted.items()
        if name not in given and name not in GIVEN and parameter.default is inspect.Parameter.empty
    ]
    if problems:
        raise DataError(f"source {source}: wrong arguments (it takes {takes})", problems)
    return {name: Path(value) if _is_path(wanted[name]) else value for name, value in given.items()}  # type: ignore[arg-type]


def _is_path(parameter: inspect.Parameter) -> bool:
    return Path in (parameter.annotation, *get_args(parameter.annotation))


def _fingerprint(items: Iterable[Item]) -> str:
    """SHA-256 over the items and their files' sizes and times of change, 16 hex digits."""
    digest = hashlib.sha256()
    for item in items:
        digest.update(json.dumps(item.to_dict(), sort_keys=True).encode())
        if item.path is not None and (path := Path(item.path)).exists():
            digest.update(f"{path.stat().st_size} {path.stat().st_mtime_ns}".encode())
    return digest.hexdigest()[:16]


def _files_of(out: Path) -> set[Path]:
    """The files that the manifest in ``out`` names, if there is one."""
    try:
        return _named(read_manifest(out))
    except DataError:
        return set()


def _named(manifest: Manifest) -> set[Path]:
    return {manifest.root.resolve() / item.path for item in manifest if item.path}


def _earlier(out: Path, source: str, settings: dict[str, Any]) -> Manifest | None:
    """The manifest in ``out``, if it was made from just these settings and is whole."""
    if not (out / NAME).is_file():
        return None
    try:
        manifest = read_manifest(out)
    except DataError:
        return None
    made = {name: value for name, value in manifest.settings.items() if name != "warnings"}
    return manifest if manifest.source == source and made == settings else None
