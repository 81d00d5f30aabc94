from __future__ import annotations

import pytest
from aiohttp.test_utils import make_mocked_request

from jobgate.gateway.api.operations import OPERATIONS, Operation
from jobgate.gateway.api.problems import BadRequest
from jobgate.gateway.api.schemas import SCHEMAS


def test_names_and_routes_are_unique() -> None:
    names = [operation.name for operation in OPERATIONS]
    routes = [(operation.method, operation.path) for operation in OPERATIONS]
    assert (len(set(names)), len(set(routes))) == (len(names), len(routes))


def test_schemas_are_there() -> None:
    used = {answer.schema for operation in OPERATIONS for answer in operation.answers.values()}
    used |= {operation.body.schema for operation in OPERATIONS if operation.body is not None}
    assert used - {""} <= set(SCHEMAS)


def test_only_probes_are_public() -> None:
    assert {operation.path for operation in OPERATIONS if operation.is_public} == {"/healthz", "/readyz"}


@pytest.mark.parametrize("operation", OPERATIONS, ids=lambda operation: operation.name)
async def test_unknown_parameters_are_refused_everywhere(operation: Operation) -> None:
    with pytest.raises(BadRequest, match="Unknown parameter 'typo'"):
        await operation.serve(make_mocked_request(operation.method, "/x?typo=1"))
