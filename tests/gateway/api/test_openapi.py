"""The document against the server, by examples that schemathesis makes of it."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import Protocol

import pytest
import schemathesis
from hypothesis import HealthCheck, settings
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    allow_header_conformance,
    content_type_conformance,
    ignored_auth,
    negative_data_rejection,
    positive_data_acceptance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
    unsupported_method,
)

from jobgate.gateway.api.openapi import document
from jobgate.gateway.api.operations import OPERATIONS
from jobgate.gateway.api.server import describing
from support.control_thread import TOKEN, control_thread

HEADERS = {"Authorization": f"Bearer {TOKEN}"}
CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    allow_header_conformance,
    unsupported_method,
    ignored_auth,
]
DOCUMENT = document([*OPERATIONS, describing(OPERATIONS)])
#: Streams have no end; they are tested by hand.
SCHEMA = schemathesis.openapi.from_dict(DOCUMENT).exclude(operation_id=["follow", "follow_job"])
#: A condition that does not hold is told before the content is looked at.
SCHEMA.config.checks.negative_data_rejection.expected_statuses.append("412")
#: Every text is worth an answer.
ANY_TEXT = ["validate_policy"]


class Case(Protocol):
    """One request that schemathesis has made up."""

    path: str
    path_parameters: dict[str, object]

    def call_and_validate(
        self, *, base_url: str, headers: dict[str, str], checks: list[schemathesis.CheckFunction]
    ) -> object: ...


@schemathesis.serializer("application/toml")
def as_text(_: schemathesis.SerializationContext, value: object) -> bytes:
    return value if isinstance(value, bytes) else str(value).encode("utf-8", "surrogatepass")


@pytest.fixture(scope="module")
def api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with control_thread(tmp_path_factory.mktemp("api")) as base:
        yield base


EXAMPLES = settings(
    max_examples=24,
    deadline=timedelta(seconds=5),
    suppress_health_check=list(HealthCheck),
    database=None,
)


@SCHEMA.exclude(operation_id=ANY_TEXT).parametrize()
@EXAMPLES
def test_server_does_what_the_document_says(case: Case, api: str) -> None:
    case.call_and_validate(base_url=api, headers=HEADERS, checks=[*CHECKS, negative_data_rejection])


@SCHEMA.include(operation_id=ANY_TEXT).parametrize()
@EXAMPLES
def test_any_text_is_answered(case: Case, api: str) -> None:
    case.call_and_validate(base_url=api, headers=HEADERS, checks=CHECKS)


@SCHEMA.include(method="GET").exclude(path_regex="/env$").parametrize()
@EXAMPLES
def test_what_the_document_allows_is_accepted(case: Case, api: str) -> None:
    case.path_parameters = {"id": "a"} if "{id}" in case.path else {}
    case.call_and_validate(base_url=api, headers=HEADERS, checks=[positive_data_acceptance])
