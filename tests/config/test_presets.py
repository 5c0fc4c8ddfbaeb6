"""Presets that build on one another."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from dtbh.config import Config, read_config, write_config, write_schema
from dtbh.config.presets import BASE, WHOLE, merge, read_preset
from dtbh.errors import ConfigError

PRESETS = sorted((Path(__file__).parents[2] / "configs").rglob("*.yaml"))
TREES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.lists(st.integers(), max_size=2),
    lambda leaf: st.dictionaries(st.sampled_from("abc"), leaf, max_size=3),
    max_leaves=8,
)
SETTINGS = st.dictionaries(st.sampled_from("abc"), TREES, max_size=3)


def write(folder: Path, **files: str) -> None:
    for name, text in files.items():
        path = folder / f"{name.replace('__', '/')}.yaml"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


def flat(content: Mapping[str, Any], section: str = "") -> dict[str, Any]:
    """Values by their dotted names; what is one value stays whole."""
    found: dict[str, Any] = {}
    for key, value in content.items():
        name = f"{section}{key}"
        found |= flat(value, f"{name}.") if isinstance(value, Mapping) and name not in WHOLE else {name: value}
    return found


@given(SETTINGS, SETTINGS)
def test_what_is_said_last_counts(one: Any, two: Any) -> None:
    assert merge(merge(one, two), two) == merge(one, two)
    assert merge(one, one) == one
    assert merge({}, one) == merge(one, {}) == one
    joined = flat(merge(one, two))
    assert all(joined[name] == value for name, value in flat(two).items())


def test_a_file_says_only_what_differs(tmp_path: Path) -> None:
    write(tmp_path, base="encoders: {bits: 32, sound: {width: 16, max_seconds: 3}}\ntraining: {betas: [0.5, 0.9]}\n",
          own="base: base.yaml\nencoders: {sound: {width: 24}}\ntraining: {betas: [0.1, 0.2]}\n")  # fmt: skip
    config = read_config(tmp_path / "own.yaml", ["encoders.bits=16"])
    assert config.encoders.sound is not None
    assert (config.encoders.bits, config.encoders.sound.width, config.encoders.sound.max_seconds) == (16, 24, 3)
    assert config.training.betas == (0.1, 0.2)


def test_a_chain_over_folders_and_null(tmp_path: Path) -> None:
    write(tmp_path, one__a="encoders: {bits: 8}\n", two__b="base: one/a.yaml\nencoders: {sound: null}\n",
          two__c="base: b.yaml\nseed: 3\n")  # fmt: skip
    config = read_config(tmp_path / "two" / "c.yaml")
    assert (config.seed, config.encoders.bits, config.encoders.sound) == (3, 8, None)


def test_the_objective_is_replaced_as_a_whole(tmp_path: Path) -> None:
    write(tmp_path, a="learning: {margin: 0.1, losses: {push: 1, balance: 1}}\n",
          b="base: a.yaml\nlearning: {losses: {push: 2}}\n")  # fmt: skip
    learning = read_config(tmp_path / "b.yaml").learning
    assert learning.margin == 0.1
    assert {name: term.weight for name, term in learning.losses.items()} == {"push": 2.0}


def test_what_a_run_keeps_has_no_base(tmp_path: Path) -> None:
    write(tmp_path, a="seed: 1\n", b="base: a.yaml\n")
    written = write_config(read_config(tmp_path / "b.yaml"), tmp_path / "kept.yaml")
    assert BASE not in yaml.safe_load(written.read_text())
    assert read_config(written).seed == 1


@pytest.mark.parametrize(
    ("files", "said"),
    [
        ({"a": "base: nix.yaml\n"}, r"a\.yaml: base: nix\.yaml is neither .*nix\.yaml nor .*nix\.yaml; give the path"),
        ({"a": "base: a.yaml\n"}, r"a\.yaml: base goes in a circle: .*a\.yaml -> .*a\.yaml; let one of them"),
        ({"a": "base: b.yaml\n", "b": "base: c.yaml\n", "c": "base: a.yaml\n"}, r"circle: .*a.*b.*c.*a\.yaml"),
        ({"a": "base: [1]\n"}, r"a\.yaml: base: \[1\] is no file; wanted a path"),
        ({"a": "base:\n"}, r"a\.yaml: base: None is no file"),
        ({"a": "base: b.yaml\n", "b": "- 1\n"}, r"b\.yaml: wanted settings as 'key: value', found list"),
        ({"a": "base: b.yaml\n", "b": "x: ["}, r"b\.yaml: not YAML"),
        ({"a": "base: b.yaml\n", "b": "nix: 1"}, r"a\.yaml: nix: no such setting"),
    ],
)
def test_what_is_wrong_is_one_line(files: dict[str, str], said: str, tmp_path: Path) -> None:
    write(tmp_path, **files)
    with pytest.raises(ConfigError, match=said) as caught:
        read_config(tmp_path / "a.yaml")
    assert "\n" not in str(caught.value)


def test_a_base_is_no_setting(tmp_path: Path) -> None:
    write(tmp_path, a="seed: 1\n")
    with pytest.raises(ConfigError, match=r"--set base=a\.yaml: a base stands at the head of a file"):
        read_config(tmp_path / "a.yaml", ["base=a.yaml"])


def test_the_schema_knows_the_base(tmp_path: Path) -> None:
    schema = json.loads(write_schema(tmp_path / "schema.json").read_text())
    for path in PRESETS:
        jsonschema.validate(yaml.safe_load(path.read_text()), schema)
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate({"bases": "ucm.yaml"}, schema)


@pytest.mark.parametrize("path", PRESETS, ids=lambda path: "/".join(path.parts[-2:]))
def test_a_preset_says_nothing_twice(path: Path) -> None:
    """Neither what its base says, nor, without a base, what the defaults are."""
    own = yaml.safe_load(path.read_text())
    base = own.pop(BASE, None)
    if base is None:
        before: dict[str, Any] = Config().model_dump(mode="json")
    else:
        before = read_config(
            next(p for p in (path.parent / base, path.parent.parent / base) if p.is_file())
        ).model_dump(mode="json")
    known, now = flat(before), flat(read_config(path).model_dump(mode="json"))
    assert [name for name in flat(own) if name in known and known[name] == now.get(name)] == []
    assert read_preset(path)
