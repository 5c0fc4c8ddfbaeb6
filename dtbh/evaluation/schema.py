"""The JSON schema of ``report.json``, made from the values themselves, with their docstrings as descriptions."""

from __future__ import annotations

import json
from dataclasses import is_dataclass
from pathlib import Path
from typing import Any

from dtbh.data.leakage import Leakage
from dtbh.data.manifest import Item
from dtbh.evaluation.metrics import ranking
from dtbh.evaluation.results import values
from dtbh.evaluation.results.definitions import documented
from dtbh.evaluation.results.examples import KINDS, Example, Hit
from dtbh.evaluation.results.values import DIRECTIONS, GRADED, VERSION, DirectionReport, RetrievalReport
from dtbh.utils.files import write_text

DIALECT = "https://json-schema.org/draft/2020-12/schema"
NOT_WRITTEN = {"DirectionReport": {"query_figures"}}  # it stands in queries.csv
SOMETIMES = {"DirectionReport": {*GRADED}}  # only where items have several labels


def report_schema() -> dict[str, Any]:
    """The schema of ``report.json``: draft 2020-12."""
    from pydantic import TypeAdapter
    from pydantic.json_schema import GenerateJsonSchema

    parts = {"report": RetrievalReport, "leakage": Leakage, "example": Example}
    inputs = [(name, "validation", TypeAdapter(kind).core_schema) for name, kind in parts.items()]
    made, definitions = GenerateJsonSchema(ref_template="#/$defs/{model}").generate_definitions(inputs)  # type: ignore[arg-type]
    found = {str(name): schema for (name, _), schema in made.items()}
    for name, definition in definitions.items():
        _describe(name, definition)
    report = next(one for name, one in definitions.items() if name == "RetrievalReport")
    properties = report["properties"]
    properties["version"] |= {"const": VERSION}
    properties["leakage"] |= {"anyOf": [found["leakage"], {"maxProperties": 0}]}
    properties["directions"] |= {"propertyNames": {"enum": [*DIRECTIONS]}, "minProperties": 1}
    several = {"type": "array", "items": found["example"]}
    properties["examples"] = {
        "type": "object",
        "description": "By direction, its best and worst queries with their hits; paths from the report's folder.",
        "additionalProperties": {"type": "object", "properties": dict.fromkeys(KINDS, several), "required": [*KINDS]},
    }
    properties["definitions"] = {
        "type": "object",
        "description": "What each figure of a direction means, by its name there, as in map and pairs.hit_at.",
        "additionalProperties": {"type": "string"},
    }
    report["required"] = sorted(properties)
    return {"$schema": DIALECT, "title": "The report of dtbh evaluate", "$ref": "#/$defs/RetrievalReport",
            "$defs": definitions}  # fmt: skip


def write_report_schema(path: str | Path) -> Path:
    """Write the schema of ``report.json``; returns the path."""
    return write_text(Path(path), json.dumps(report_schema(), indent=1, ensure_ascii=False) + "\n")


def _describe(name: str, definition: dict[str, Any]) -> None:
    """Words of the class's docstring; no other fields than its own, and all of them where they are always written."""
    kind = _classes()[name]
    first, said = documented(kind)
    for field in NOT_WRITTEN.get(name, set()):
        del definition["properties"][field]
    for field, entry in definition["properties"].items():
        entry.pop("title", None)
        entry.pop("default", None)
        if field in said:
            entry["description"] = said[field]
    definition |= {"description": first, "additionalProperties": False}
    if kind is not Item:  # of an item only what is known is written
        definition["required"] = sorted(definition["properties"].keys() - SOMETIMES.get(name, set()))


def _classes() -> dict[str, type]:
    """The dataclasses that a report may hold, by name."""
    near = [value for room in (values, ranking) for value in vars(room).values() if is_dataclass(value)]
    return {
        kind.__name__: kind for kind in (*near, Item, Leakage, Example, Hit, DirectionReport) if isinstance(kind, type)
    }
