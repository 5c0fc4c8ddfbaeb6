"""The command that says what is installed, what is missing for which extra, and where computing happens."""

from __future__ import annotations

import os

from dtbh.cli.commands import Arguments, command, show
from dtbh.utils.packages import Package, declared, version
from dtbh.utils.version import __version__

PROGRAMS = {"espeak-ng": "dtbh speak --engine espeak-ng", "flite": "dtbh speak --engine flite"}
DEVELOPING = ("dev", "docs", "peers")


def examine() -> str:
    """A report in lines: versions, device, extras, programs, the store of backbone outputs."""
    import platform
    import shutil

    from dtbh.media.text import INSTALL, PACKAGE

    lines = [f"dtbh {__version__}, Python {platform.python_version()}, {platform.system()} {platform.machine()}"]
    lines += [_device()]
    packages = declared()
    lines += [f"  {_said(package)}" for package in packages if package.extra is None]
    extras = dict.fromkeys(p.extra for p in packages if p.extra is not None and p.extra not in DEVELOPING)
    for extra in extras:
        own = [package for package in packages if package.extra == extra]
        missing = [package.name for package in own if version(package.name) is None]
        there = ", ".join(_said(package) for package in own)
        lines.append(f"extra {extra}: " + (f"missing {', '.join(missing)}: {_install(extra)}" if missing else there))
    weights = version(PACKAGE) or f"not found (only training with texts, and runs that have them, need it): {INSTALL}"
    lines.append(f"sentence encoder {PACKAGE}: {weights}")
    for program, use in PROGRAMS.items():
        lines.append(f"program {program}: {shutil.which(program) or f'not found (only {use} needs it)'}")
    return "\n".join([*lines, *_store()])


def _said(package: Package) -> str:
    return f"{package.name} {version(package.name) or 'MISSING'}"


def _install(extra: str) -> str:
    return f"pip install 'dtbh[{extra}]'"


def _device() -> str:
    """Where computing happens, and what for."""
    if version("torch") is None:
        return (
            f"device: {os.cpu_count()} cores; no torch: index, search, serve and evaluate by exported models; "
            f"to train, or to open a run folder: {_install('train')}"
        )
    import torch

    from dtbh.utils.device import resolve_device

    device = resolve_device("auto")
    name = torch.cuda.get_device_name() if device.type == "cuda" else f"{os.cpu_count()} cores"
    return f"device: {device.type} ({name})"


def _store() -> list[str]:
    """What the store of backbone outputs takes; without torch there is none."""
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
