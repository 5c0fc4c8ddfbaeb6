"""The files of a model that is shared: which there may be, and what their checksums are."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from dtbh.errors import RunError
from dtbh.models.encoder import EXPORTED
from dtbh.models.onnx_encoder import VERSION
from dtbh.utils.files import parse_json, write_text

SUMS = "SHA256SUMS"
WEIGHTS = (".onnx", ".safetensors")
KINDS = (*WEIGHTS, ".json", ".yaml", ".txt", ".md")
"""How the files end that are fetched: numbers and text, of which nothing is ever run."""
MOST = 64  # files
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")


def checked_name(name: str, address: str) -> str:
    """A file's name as somebody else says it.

    Raises:
        RunError: It is a path, or otherwise none of a file beside the others.
    """
    if _NAME.fullmatch(name) is None or len(name) > 100:
        raise RunError(f"{address}: names a file {name[:100]!r}, wanted plain names of files in one folder")
    return name


def takes(name: str) -> bool:
    """Whether a file of this name is fetched."""
    return name.endswith(KINDS)


def parse_sums(data: bytes, address: str) -> dict[str, str]:
    """The SHA-256 of each file by its name, of a file that `write_sums` wrote.

    Raises:
        RunError: Not such a file, or one that names paths or far too many files.
    """
    sums = {}
    for line in data.decode("utf-8", "replace").splitlines():
        found = re.fullmatch(r"([0-9a-f]{64}) [ *](.+)", line)
        if found is None:
            raise RunError(f"{address}: its {SUMS} is damaged; wanted lines as sha256sum writes them")
        sums[checked_name(found.group(2), address)] = found.group(1)
    if not 1 <= len(sums) <= MOST:
        raise RunError(f"{address}: its {SUMS} names {len(sums)} files, wanted 1 to {MOST}")
    return sums


def write_sums(folder: Path, names: Iterable[str]) -> Path:
    """Write the checksums of files of a folder into it; ``sha256sum --check SHA256SUMS`` there compares them."""
    return write_text(folder / SUMS, "".join(f"{digest(folder / name)}  {name}\n" for name in sorted(names)))


def digest(path: Path) -> str:
    """The SHA-256 of a file, 64 hex digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def towers_of(path: Path, address: str) -> dict[str, str]:
    """The SHA-256 of each tower's file by its name, and of a tokenizer's, as ``model.json`` has them.

    Raises:
        RunError: Not such a file, one of another version, or one that names what is no tower.
    """
    try:
        meta: Mapping[str, Any] = parse_json(path.read_text(encoding="utf-8"))
        version = meta["version"]
        if version != VERSION:
            raise RunError(f"{address}: a model of version {version}, this dtbh reads {VERSION}; update dtbh")
        known = [tower for tower in meta["towers"].values() if "file" in tower]  # words alone have none
        towers = {str(tower["file"]): str(tower["sha256"]) for tower in known}
        beside = {str(tower["tokenizer"]): str(tower["tokenizer_sha256"]) for tower in known if "tokenizer" in tower}
    except (ValueError, KeyError, TypeError, AttributeError):
        raise RunError(f"{address}: its {EXPORTED} is not that of a model that dtbh export wrote") from None
    for name in towers:
        if not checked_name(name, address).endswith(".onnx"):
            raise RunError(f"{address}: its {EXPORTED} names {name}, wanted .onnx files; nothing else is fetched")
    for name in beside:
        if not checked_name(name, address).endswith(".json"):
            raise RunError(f"{address}: its {EXPORTED} names the tokenizer {name}, wanted a .json file")
    return towers | beside
