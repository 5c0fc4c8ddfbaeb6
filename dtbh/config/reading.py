"""Settings from YAML and from ``--set key=value`` pairs, and what is wrong with them in one line.

Unknown keys are refused with the nearest name.
"""

from __future__ import annotations

import difflib
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from inspect import signature
from pathlib import Path
from typing import Any, get_args, get_type_hints

import yaml
from pydantic import ValidationError, create_model

from dtbh.config.presets import BASE, read_preset
from dtbh.config.renamed import renamed, renamed_key
from dtbh.config.service import Service
from dtbh.config.settings import Config
from dtbh.config.towers import Settings
from dtbh.errors import ConfigError
from dtbh.utils.files import write_text


def read_config(path: str | Path, overrides: Iterable[str] = ()) -> Config:
    """Read a YAML file, with what it builds on, and apply ``section.key=value`` overrides (values are YAML).

    Raises:
        ConfigError: As in `read_preset`, or a setting that is unknown, mistyped or out of range.
    """
    path = Path(path)
    content = read_preset(path)
    for override in overrides:
        _override(content, override)
    return make_config(content, str(path))


def make_config(content: Mapping[str, Any], where: str = "config") -> Config:
    """Check settings and fill in defaults; ``where`` stands at the front of an error."""
    try:
        return Config.model_validate(renamed(content, where))
    except ValidationError as error:
        raise ConfigError(f"{where}: " + "; ".join(_explain(e) for e in error.errors())) from None


def overridden(config: Config, overrides: Iterable[str]) -> Config:
    """The settings with ``section.key=value`` overrides applied; raises ConfigError."""
    content = config.model_dump(mode="json")
    for override in overrides:
        _override(content, override)
    return make_config(content)


def make_service(overrides: Iterable[str] = ()) -> Service:
    """The settings of the service from ``key=value`` pairs; raises ConfigError."""
    content: dict[str, Any] = {}
    for override in overrides:
        _override(content, override)
    try:
        return Service.model_validate(content)
    except ValidationError as error:
        names = list(Service.model_fields)
        raise ConfigError("serve: " + "; ".join(_explain(e, names=names) for e in error.errors())) from None


def write_config(config: Config, path: Path) -> Path:
    """Write the whole resolved config as YAML."""
    return write_text(path, yaml.safe_dump(config.model_dump(mode="json"), sort_keys=False))


def write_schema(path: Path) -> Path:
    """Write the JSON schema of a config, for editors."""
    schema = Config.model_json_schema()
    base = {"type": "string", "description": "another config file, whose settings count where this one is silent"}
    schema["properties"] = {BASE: base, **schema["properties"]}
    return write_text(path, json.dumps(schema, indent=2) + "\n")


def differences(one: Config, other: Config) -> list[str]:
    """The settings in which two configs differ, as ``learning.margin: 0.2 -> 0.3``."""
    a, b = _flat(one.model_dump(mode="json")), _flat(other.model_dump(mode="json"))
    return [f"{key}: {a.get(key)} -> {b.get(key)}" for key in {**a, **b} if a.get(key) != b.get(key)]


def _override(content: dict[str, Any], override: str) -> None:
    """Put ``a.b=value`` into nested settings."""
    key, equals, value = override.partition("=")
    if not equals or not key:
        raise ConfigError(f"--set {override}: wanted section.key=value, as in --set learning.margin=0.3")
    if key.strip() == BASE:
        raise ConfigError(f"--set {override}: a base stands at the head of a file; give that file, or write another")
    *sections, last = renamed_key(key.strip()).split(".")
    for depth, section in enumerate(sections):
        if section not in content:
            content[section] = _start(sections[: depth + 1])
        content = content[section]
        if not isinstance(content, dict):
            raise ConfigError(f"--set {override}: {section} is a value, not a section")
    try:
        found = yaml.safe_load(value)
    except (yaml.YAMLError, ValueError, OverflowError, RecursionError):
        raise ConfigError(f"--set {override}: the value is not YAML") from None
    where = ".".join([*sections, last])
    content[last] = renamed(found, f"--set {override}", where) if isinstance(found, Mapping) else found


def check_parameters(
    of: Callable[..., Any], given: Mapping[str, Any], shared: Mapping[str, Any], where: str
) -> dict[str, Any]:
    """The keyword-only parameters of a function or class, from a config, checked against their annotations.

    Args:
        of: A function, or a class, whose ``__init__`` counts.
        given: Values by name.
        shared: Values that a parameter of the same name has where none is given.
        where: Stands at the front of an error, with the name behind it.

    Raises:
        ConfigError: A value for an unknown name (the nearest is named), of another type or out of range; or a
            parameter that has no value.
    """
    hints = get_type_hints(getattr(of, "__init__") if isinstance(of, type) else of, include_extras=True)  # noqa: B009
    known = [p for p in signature(of).parameters.values() if p.kind is p.KEYWORD_ONLY]
    fields: dict[str, Any] = {
        p.name: (hints.get(p.name, Any), ... if p.default is p.empty else p.default) for p in known
    }
    model = create_model(where, __config__=Settings.model_config, **fields)
    try:
        checked = model.model_validate({**{name: shared[name] for name in fields if name in shared}, **given})
    except ValidationError as error:
        found = "; ".join(_explain(e, names=list(fields), prefix=where) for e in error.errors())
        raise ConfigError(found) from None
    return {name: getattr(checked, name) for name in fields}


def _explain(error: Any, *, names: Sequence[str] | None = None, prefix: str = "") -> str:
    """One of pydantic's findings in a line, with the nearest name for an unknown key.

    ``names`` are those known at a key of one part; else the settings' own are looked up.
    """
    location = [str(part) for part in error["loc"]]
    key = ".".join([prefix, *location] if prefix else location)
    if error["type"] == "missing":
        return f"{key}: wanted a value, found none"
    if error["type"] != "extra_forbidden":
        return f"{key}: {error['msg']}, found {error['input']!r}" if key else str(error["msg"])
    return f"{key}: no such setting; {hint(location[-1], _names(location[:-1]) if names is None else names)}"


def hint(name: str, known: Sequence[str]) -> str:
    """What may have been meant by an unknown name."""
    near = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
    return f"did you mean {near[0]}?" if near else f"known here: {', '.join(known) or 'none'}"


def _names(sections: list[str]) -> list[str]:
    model: Any = Config
    for section in sections:
        annotation = model.model_fields[section].annotation
        model = next((kind for kind in get_args(annotation) if kind is not type(None)), annotation)
    return list(model.model_fields)


def _start(sections: list[str]) -> dict[str, Any]:
    """What an override goes into where the file is silent: the default of settings by name, else nothing."""
    default: Any = Config()
    for section in sections:
        default = getattr(default, section, None)
    return {name: value.model_dump() for name, value in default.items()} if isinstance(default, dict) else {}


def _flat(content: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in content.items():
        flat.update(_flat(value, f"{prefix}{key}.") if isinstance(value, Mapping) else {prefix + key: value})
    return flat
