"""The OpenAPI page: what the schema says, as plain HTML that loads nothing from elsewhere.

The schema itself is at ``/openapi.json``.
"""

from __future__ import annotations

from collections.abc import Mapping
from html import escape
from typing import Any

EXAMPLES = {
    "/v1/search/sound": "curl -F file=@query.wav '{host}/v1/search/sound?k=5'",
    "/v1/search/image": "curl -F file=@tile.png -F file=@other.png '{host}/v1/search/image?find=sound'",
    "/v1/search/code": 'curl --json \'{{"codes": ["9f3a00c2d41b7e55"], "find": "image"}}\' {host}/v1/search/code',
    "/v1/items/{id}/media": "curl '{host}/v1/items/harbor07/media?size=256' -o harbor07.jpg",
}


def render(schema: Mapping[str, Any]) -> str:
    """The page for an OpenAPI schema."""
    schemas = schema.get("components", {}).get("schemas", {})
    parts = [
        f"<section><h2><b>{method.upper()}</b> {escape(path)}</h2><p>{escape(operation.get('description', ''))}</p>"
        f"{_parameters(operation)}{_body(operation, schemas)}{_replies(operation)}{_example(path)}</section>"
        for path, operations in schema["paths"].items()
        for method, operation in operations.items()
    ]
    used = [
        f'<section id="{escape(name)}"><h2>{escape(name)}</h2><p>{escape(model.get("description", ""))}</p>'
        f"{_fields(model)}</section>"
        for name, model in schemas.items()
        if "properties" in model and not name.startswith("Body_") and "ValidationError" not in name
    ]
    return (
        '<!doctype html><html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width, '
        f'initial-scale=1"><title>{escape(schema["info"]["title"])}: the service</title>'
        '<link rel="stylesheet" href="static/style.css"><link rel="icon" href="static/icon.svg">'
        '<main class="reference"><p><a href="./">Back to the page</a></p><h1>The service</h1>'
        f"<p>{escape(schema['info'].get('description', ''))} Version {escape(schema['info']['version'])}; the "
        'schema: <a href="openapi.json">openapi.json</a>. Every refusal is a '
        '<a href="#Problem">Problem</a>: a status and one sentence.</p>'
        f"{''.join(parts)}<h1>Schemas</h1>{''.join(used)}</main></html>"
    )


def _parameters(operation: Mapping[str, Any]) -> str:
    rows = [
        (p["name"], _type(p["schema"]), p.get("description") or p["schema"].get("description", ""), p.get("required"))
        for p in operation.get("parameters", [])
    ]
    return _table(rows)


def _body(operation: Mapping[str, Any], schemas: Mapping[str, Any]) -> str:
    content = operation.get("requestBody", {}).get("content", {})
    parts = []
    for kind, body in content.items():
        name = body["schema"].get("$ref", "").rsplit("/", 1)[-1]
        parts.append(f"<p>Body: <code>{escape(kind)}</code></p>{_fields(schemas.get(name, {}))}")
    return "".join(parts)


def _replies(operation: Mapping[str, Any]) -> str:
    content = operation["responses"].get("200", {}).get("content", {})
    kinds = [_type(reply["schema"]) for reply in content.values() if reply.get("schema")]
    return f"<p>Reply: {', '.join(kinds)}</p>" if kinds else ""


def _fields(model: Mapping[str, Any]) -> str:
    needed = model.get("required", [])
    return _table([
        (name, _type(field), field.get("description", ""), name in needed)
        for name, field in model.get("properties", {}).items()
    ])  # fmt: skip


def _table(rows: list[tuple[str, str, str, Any]]) -> str:
    if not rows:
        return ""
    cells = "".join(
        f"<tr><td><code>{escape(name)}</code>{'*' if needed else ''}</td><td>{kind}</td><td>{escape(text)}</td></tr>"
        for name, kind, text, needed in rows
    )
    return f"<table>{cells}</table>"


def _type(schema: Mapping[str, Any]) -> str:
    """A field's type in words, as HTML."""
    if "$ref" in schema:
        name = escape(schema["$ref"].rsplit("/", 1)[-1])
        return f'<a href="#{name}">{name}</a>'
    if "anyOf" in schema:
        return " or ".join(_type(option) for option in schema["anyOf"])
    if "enum" in schema or "const" in schema:
        return " | ".join(escape(str(value)) for value in schema.get("enum", [schema.get("const")]))
    kind = str(schema.get("type", "any"))
    if kind == "array" and "items" in schema:
        return f"list of {_type(schema['items'])}"
    ends = [f"{sign} {schema[key]}" for key, sign in (("minimum", "≥"), ("maximum", "≤")) if key in schema]
    default = [f"default {schema['default']}"] if schema.get("default") not in (None, [], {}) else []
    return escape(", ".join([f"{kind} {' '.join(ends)}".strip(), *default]))


def _example(path: str) -> str:
    text = EXAMPLES.get(path)
    return f"<pre>{escape(text.format(host='http://127.0.0.1:8000'))}</pre>" if text else ""
