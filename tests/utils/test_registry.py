"""Registries, and packages of others that add to them."""

from __future__ import annotations

import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from dtbh.errors import ConfigError
from dtbh.utils.registry import load_modules, register


def test_what_is_decorated_is_found_by_its_name() -> None:
    known: dict[str, int] = {}
    assert register(known, "three")(3) == 3
    assert known == {"three": 3}
    with pytest.raises(ConfigError, match="the name 'three' is taken by 3; give 4 another"):
        register(known, "three")(4)


def test_a_new_file_in_a_folder_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "room_of_tests").mkdir()
    (tmp_path / "room_of_tests" / "__init__.py").write_text("FOUND = []\n")
    (tmp_path / "room_of_tests" / "new.py").write_text("import room_of_tests\n\nroom_of_tests.FOUND.append('new')\n")
    monkeypatch.syspath_prepend(tmp_path)
    load_modules("room_of_tests")
    load_modules("room_of_tests")
    assert sys.modules["room_of_tests"].FOUND == ["new"]


def package(folder: Path, name: str, code: str, points: str) -> None:
    """A package of somebody else's, as pip would have installed it."""
    (folder / f"{name}.py").write_text(textwrap.dedent(code))
    info = folder / f"{name}-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(points)


def test_a_package_of_others_brings_a_loss_a_backbone_and_a_source(tmp_path: Path) -> None:
    package(
        tmp_path,
        "dtbh_theirs",
        """
        from torch import nn

        from dtbh.data.sources.base import source
        from dtbh.encoders.image_libraries import Network, image_backbone
        from dtbh.training.losses.base import loss


        @source("their_source")
        def their_source(number: int = 3):
            return []


        @loss("their_loss")
        def their_loss(sides, *, margin):
            return sides[0].codes.mean() * margin


        @image_backbone("their_network")
        def their_network(name, size, pretrained):
            network = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten())
            return Network(network, 3, (0.5, 0.5, 0.5), (0.5, 0.5, 0.5))
        """,
        "[dtbh.losses]\ntheirs = dtbh_theirs\n\n[dtbh.backbones]\ntheirs = dtbh_theirs\n\n"
        "[dtbh.sources]\ntheirs = dtbh_theirs\n",
    )
    code = """
        import torch

        from dtbh.config import make_config
        from dtbh.encoders.dual_encoder import DualEncoder
        from dtbh.training.losses.objective import Objective

        config = make_config({
            "encoders": {"bits": 8, "image": {"backbone": "their_network"}, "sound": None},
            "learning": {"losses": {"their_loss": 0.5}},
        })
        assert Objective(config.learning, {}).weights == {"their_loss": 0.5}
        tower = DualEncoder(config.encoders).eval().tower("image")
        from dtbh.cli.main import main

        try:
            main(["prepare", "their_source", "--help"])
        except SystemExit:
            pass
        print(tuple(tower(torch.zeros(2, 3, 16, 16, dtype=torch.uint8)).codes.shape))
        """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)], capture_output=True, text=True, check=False,
        env={"PYTHONPATH": f"{tmp_path}:{Path(__file__).parents[2]}", "PATH": ""},
    )  # fmt: skip
    assert "--number NUMBER" in done.stdout, done.stderr
    assert done.stdout.endswith("\n(2, 8)\n")


def test_a_package_that_is_broken_is_named(tmp_path: Path) -> None:
    package(tmp_path, "dtbh_broken", "import nothing_of_this_name\n", "[dtbh.losses]\nbroken = dtbh_broken\n")
    code = "from dtbh.training.losses.base import known_losses\nknown_losses()"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False,
        env={"PYTHONPATH": f"{tmp_path}:{Path(__file__).parents[2]}", "PATH": ""},
    )  # fmt: skip
    assert "package dtbh_broken: its entry point dtbh.losses broken can't be loaded (ModuleNotFound" in done.stderr
