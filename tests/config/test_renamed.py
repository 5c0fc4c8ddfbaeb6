"""Settings under their old names are read as what they mean."""

from __future__ import annotations

from pathlib import Path

import pytest

from dtbh.config import make_config, read_config
from dtbh.config.renamed import RENAMED, renamed
from dtbh.errors import ConfigError

OLD = """
learning: {within: 0.5, sharpness: [1, 4], terms: {pair_contrast: {weight: 1, temperature: 0.1, within: 0}, balance: 2}}
encoders: {image: {averaged: 4}, sound: {averaged: 3}}
"""
NEW = """
learning:
  intra_modal_weight: 0.5
  tanh_scale: [1, 4]
  losses: {pair_contrast: {weight: 1, temperature: 0.1, intra_modal_weight: 0}, balance: 2}
encoders: {image: {tta_views: 4}, sound: {tta_views: 3}}
"""


def written(folder: Path, **files: str) -> Path:
    for name, text in files.items():
        (folder / f"{name}.yaml").write_text(text)
    return folder / f"{name}.yaml"


def test_a_file_of_old_names_is_the_same_config(tmp_path: Path) -> None:
    assert read_config(written(tmp_path, old=OLD)) == read_config(written(tmp_path, new=NEW))


def test_overrides_and_bases_mix_both(tmp_path: Path) -> None:
    overrides = ["learning.within=0", "encoders.image.averaged=2", "learning.terms={pair_contrast: {within: 2}}"]
    config = read_config(written(tmp_path, base=NEW, own="base: base.yaml\nlearning: {within: 7}\n"), overrides)
    assert config.learning.intra_modal_weight == 0
    assert config.encoders.image is not None
    assert config.encoders.image.tta_views == 2
    assert config.learning.losses["pair_contrast"].parameters == {"intra_modal_weight": 2}
    assert read_config(written(tmp_path, more="base: own.yaml\n")).learning.intra_modal_weight == 7


def test_both_names_at_once_are_refused(tmp_path: Path) -> None:
    both = "learning: {within: 1, intra_modal_weight: 2}\n"
    with pytest.raises(
        ConfigError, match=r"both.yaml: learning.within and learning.intra_modal_weight are one setting"
    ):
        read_config(written(tmp_path, both=both))


def test_every_new_name_is_a_setting() -> None:
    """And no old one is: else it would be taken away from whoever means it."""
    sections = {"learning": make_config({}).learning, "encoders.image": make_config({}).encoders.image,
                "encoders.sound": make_config({}).encoders.sound}  # fmt: skip
    for section, settings in sections.items():
        known = {*type(settings).model_fields}
        assert {*RENAMED[section].values()} <= known
        assert not {*RENAMED[section]} & known


def test_what_stands_elsewhere_is_left_alone() -> None:
    content = {"training": {"within": 1}, "averaged": 2, "learning": {"losses": {"push": {"terms": 3}}}}
    assert renamed(content, "x") == content
