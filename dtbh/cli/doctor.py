"""The command that says what is installed, what is missing for which extra, and where computing happens."""

from __future__ import annotations

import os
import platform
import shutil

from dtbh.cli.commands import Arguments, command, show
from dtbh.utils.packages import declared, version
from dtbh.utils.version import __version__

PROGRAMS = {"espeak-ng": "dtbh speak --engine espeak-ng", "flite": "dtbh speak --engine flite"}
DEVELOPING = ("dev", "peers")


def examine() -> str:
    """A report in lines: versions, device, extras, programs, the store of backbone outputs."""
    from dtbh.media.text import INSTALL, PACKAGE

    lines = [f"dtbh {__version__}, Python {platform.python_version()}, {platform.system()} {platform.machine()}"]
    lines += [_device()]
    packages = declared()
    lines += [f"  {package.name} {version(package.name) or 'MISSING'}" for package in packages if package.extra is None]
    extras = dict.fromkeys(p.extra for p in packages if p.extra is not None and p.extra not in DEVELOPING)
    for extra in extras:
        missing = [p.name for p in packages if p.extra == extra and version(p.name) is None]
        state = f"missing {', '.join(missing)}: pip install 'dtbh[{extra}]'" if missing else "installed"
        if extra == "words" and version(PACKAGE) is None:
            state += f"; missing {PACKAGE}: {INSTALL}"
        lines.append(f"extra {extra}: {state}")
    for program, use in PROGRAMS.items():
        lines.append(f"program {program}: {shutil.which(program) or f'not found (only {use} needs it)'}")
    return "\n".join([*lines, *_store()])


def _device() -> str:
    """Where computing happens."""
    if version("torch") is None:
        return f"device: {os.cpu_count()} cores; no torch, so this is a search node: it takes exported models"
    import torch

    from dtbh.utils.device import resolve_device

    device = resolve_device("auto")
    name = torch.cuda.get_device_name() if device.type == "cuda" else f"{os.cpu_count()} cores"
    return f"device: {device.type} ({name})"


def _store() -> list[str]:
    """What the store of backbone outputs takes; a search node has none."""
    if version("torch") is None:
        return []
    from dtbh.utils.files import cache_folder

    folder = cache_folder()
    size = sum(file.stat().st_size for file in folder.glob("*.sqlite")) if folder.is_dir() else 0
    return [f"stored backbone outputs: {folder} ({size / 1e6:.0f} MB)"]


@command()
def doctor(args: Arguments) -> int:
    """Say what is installed and what is missing."""
    said = examine()
    show(args, said, {"lines": said.splitlines()})
    return 0
