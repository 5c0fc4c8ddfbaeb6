from __future__ import annotations

import json
from pathlib import Path

import pytest

from dtbh.config import Config, differences, make_config, read_config, write_config, write_schema
from dtbh.errors import ConfigError

CONFIGS = sorted((Path(__file__).parents[2] / "configs").rglob("*.yaml"))


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: f"{path.parent.name}/{path.name}")
def test_every_preset_is_a_config(path: Path) -> None:
    read_config(path)


def test_there_are_presets() -> None:
    assert {path.name for path in CONFIGS} >= {"ucm.yaml", "sydney.yaml", "rsicd.yaml", "demo.yaml"}


def test_a_resolved_config_reads_back_the_same(tmp_path: Path) -> None:
    config = make_config({"learning": {"margin": 0.4}, "encoders": {"sound": {"features": {"kind": "logmel"}}}})
    assert read_config(write_config(config, tmp_path / "c.yaml")) == config


def test_overrides_are_yaml_values_at_any_depth(tmp_path: Path) -> None:
    path = tmp_path / "c.yaml"
    path.write_text("learning: {margin: 0.2}\n")
    config = read_config(path, ["learning.margin=0.3", "encoders.sound.augmentation.speed=[0.9, 1.1]", "seed=3"])
    assert (config.learning.margin, config.encoders.sound.augmentation.speed, config.seed) == (0.3, (0.9, 1.1), 3)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("learning: {margn: 0.2}", r"learning\.margn: no such setting; did you mean margin\?"),
        ("lerning: {}", r"lerning: no such setting; did you mean learning\?"),
        ("encoders: {sound: {features: {hop_ms: 3}}}", r"encoders\.sound\.features\.hop_ms: no such setting"),
        ("learning: {margin: big}", r"learning\.margin: .*valid number.*'big'"),
        ("learning: {margin: -1}", r"learning\.margin: .*greater than 0"),
        ("learning: {losses: {code_triplets: much}}", r"learning\.losses\.code_triplets\.weight: .*number.*'much'"),
        ("learning: {losses: {}}", r"learning\.losses: .*at least 1 item"),
        ("learning: {tanh_scale: [0, 1]}", r"tanh_scale: wanted two numbers above 0"),
        ("training: {betas: [0.9, 1.0]}", r"betas: wanted two numbers in \[0, 1\)"),
        ("encoders: {sound: {features: {f_max: 9000}}}", r"f_max <= sample_rate / 2"),
        ("encoders: {sound: {augmentation: {speed: [1.2, 0.9]}}}", r"speed: wanted \(lowest, highest\)"),
        ("encoders: {sound: {augmentation: {speed: [0.1, 1]}}}", r"speed must lie in 0\.25\.\.4"),
        ("encoders: {sound: {augmentation: {gain_db: [0, .inf]}}}", r"gain_db: wanted \(lowest, highest\)"),
        ("encoders: {image: {augmentation: {scale: [0.5, 1.1]}}}", r"scale must lie in \(0, 1\]"),
        ("encoders: {image: {augmentation: {contrast: [-0.1, 1]}}}", r"contrast and saturation must be 0 or more"),
        ("- a\n- b", r"wanted settings as 'key: value', found list"),
        ("a: [", r"not YAML"),
    ],
)
def test_what_is_wrong_is_named(tmp_path: Path, content: str, message: str) -> None:
    path = tmp_path / "c.yaml"
    path.write_text(content)
    with pytest.raises(ConfigError, match=message) as caught:
        read_config(path)
    assert str(caught.value).startswith(str(path))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("override", ["learning.margin", "=3", "seed.x=3", "learning.margin=["])
def test_bad_overrides_are_refused(tmp_path: Path, override: str) -> None:
    path = tmp_path / "c.yaml"
    path.write_text("seed: 1\n")
    with pytest.raises(ConfigError, match="--set"):
        read_config(path, [override])


def test_overrides_reach_the_terms_that_stand_by_default(tmp_path: Path) -> None:
    path = tmp_path / "c.yaml"
    path.write_text("seed: 1\n")
    terms = read_config(
        path, ["learning.losses.code_triplets.margin=0.3", "learning.losses.balance=0.1"]
    ).learning.losses
    assert set(terms) == {"feature_triplets", "code_triplets", "approximate_l1", "balance"}
    assert terms["code_triplets"].parameters == {"margin": 0.3}
    assert (terms["code_triplets"].weight, terms["balance"].weight) == (1.0, 0.1)


def test_terms_in_a_file_are_all_there_are(tmp_path: Path) -> None:
    path = tmp_path / "c.yaml"
    path.write_text("learning: {losses: {balance: 0.5}}\n")
    config = read_config(path)
    assert set(config.learning.losses) == {"balance"}
    assert read_config(write_config(config, tmp_path / "resolved.yaml")) == config
    changed = differences(Config(), config)
    assert "learning.losses.balance.weight: None -> 0.5" in changed
    assert "learning.losses.code_triplets.weight: 1.0 -> None" in changed


def test_a_run_from_before_the_terms_is_read(tmp_path: Path) -> None:
    path = tmp_path / "c.yaml"
    path.write_text("learning: {objective: relative_triplet, features: 0, codes: 2, quantization: 0.1, balance: 0}\n")
    assert {name: term.weight for name, term in read_config(path).learning.losses.items()} == {
        "code_triplets": 2.0,
        "approximate_l1": 0.1,
    }


def test_a_tower_can_be_left_out_but_not_both() -> None:
    assert make_config({"encoders": {"sound": None}}).encoders.sound is None
    with pytest.raises(ConfigError, match="wanted one tower at least"):
        make_config({"encoders": {"sound": None, "image": None}})


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"nothing\.yaml: no config can be read here"):
        read_config(tmp_path / "nothing.yaml")


def test_differences_name_the_settings() -> None:
    assert differences(Config(), make_config({"learning": {"margin": 0.3}})) == ["learning.margin: 0.25 -> 0.3"]


def test_the_schema_knows_every_section(tmp_path: Path) -> None:
    schema = json.loads(write_schema(tmp_path / "schema.json").read_text())
    assert set(schema["properties"]) == {"base", "seed", "data", "encoders", "learning", "training"}
    assert schema["additionalProperties"] is False


def test_folds_are_checked() -> None:
    assert make_config({"data": {"folds": 5, "fold": 5}}).data.fold == 5
    for data in ({"folds": 1}, {"folds": 5, "fold": 6}, {"fold": 2}, {"folds": 5, "protocol": "files"}):
        with pytest.raises(ConfigError, match="folds"):
            make_config({"data": data})
