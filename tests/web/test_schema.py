"""The service against its own OpenAPI schema: whatever fits it, and much that does not, gets a reply that it names."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings

from tests.web.conftest import Making, Serving

schemathesis = pytest.importorskip("schemathesis", reason="schemathesis is not installed: pip install 'dtbh[dev]'")

from schemathesis import GenerationMode  # noqa: E402
from schemathesis.config import SchemathesisConfig  # noqa: E402
from schemathesis.core.parameters import ParameterLocation  # noqa: E402
from schemathesis.specs.openapi.checks import negative_data_rejection, positive_data_acceptance  # noqa: E402

FUZZ = int(os.environ.get("DTBH_FUZZ", "0"))  # so many requests drawn anew; else the same few each time
STRICT = SchemathesisConfig.from_dict({"checks": {"negative_data_rejection": {"expected-statuses": ["4xx"]}}})
WAIT = 60  # seconds for an answer, on a machine that has other work
OPERATIONS = [
    "POST /v1/search/sound", "POST /v1/search/image", "POST /v1/search/text", "POST /v1/search/code",
    "POST /v1/search/batch", "POST /v1/export",
    "GET /v1/items/{id}/media",
    "GET /v1/items/{id}", "GET /v1/items", "GET /v1/archives", "GET /v1/overview", "GET /healthz", "GET /metrics",
]  # fmt: skip


@pytest.fixture(scope="module")
def schema(make: Making, serving: Serving) -> Iterator[Any]:
    with serving(make()) as address:
        yield schemathesis.openapi.from_url(f"{address}/openapi.json", config=STRICT, timeout=WAIT)


def test_every_operation_is_tried(schema: Any) -> None:
    assert sorted(operation.ok().label for operation in schema.get_all_operations()) == sorted(OPERATIONS)


def _is_a_form_of_files(case: Any) -> bool:
    """Whether only the files of a form are of another kind: as parts of a form they are bytes again, as they should."""
    wrong = {where for where, part in case.meta.components.items() if part.mode == GenerationMode.NEGATIVE}
    files = case.body.get("file") if isinstance(case.body, dict) else None
    return case.media_type == "multipart/form-data" and wrong == {ParameterLocation.BODY} and bool(files)


@pytest.mark.parametrize("label", OPERATIONS)
def test_replies_fit_the_schema(schema: Any, label: str) -> None:
    operation = next(found.ok() for found in schema.get_all_operations() if found.ok().label == label)

    @given(case=operation.as_strategy() | operation.as_strategy(generation_mode=GenerationMode.NEGATIVE))
    @settings(
        max_examples=FUZZ or 30, derandomize=not FUZZ, deadline=None, database=None,
        suppress_health_check=list(HealthCheck),
    )  # fmt: skip
    def tried(case: Any) -> None:
        excluded = [positive_data_acceptance] + [negative_data_rejection] * _is_a_form_of_files(case)
        case.call_and_validate(excluded_checks=excluded, timeout=WAIT)

    tried()
