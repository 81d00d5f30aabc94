"""The OpenAPI document, made of the operations. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from http import HTTPStatus

from jobgate import __version__

from .operations import Answer, Body, Operation
from .parameters import JOB_ID_PATTERN, Parameter
from .problems import MEDIA_TYPE
from .schemas import SCHEMAS, reference

PATH = "/v1/openapi.json"

_TEXT = {"type": "string"}
_ALWAYS = (HTTPStatus.BAD_REQUEST, HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN)
_OF_BODY = (
    HTTPStatus.REQUEST_TIMEOUT,
    HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
    HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
)


def document(operations: Iterable[Operation]) -> dict[str, object]:
    """Describe operations.

    Source: OpenAPI Specification 3.1.0.
    """
    paths: dict[str, dict[str, object]] = {}
    for operation in operations:
        item = paths.setdefault(operation.path, {})
        if "{id}" in operation.path:
            item["parameters"] = [_ID]
        item[operation.method.lower()] = _operation(operation)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "jobgate control API",
            "version": __version__,
            "description": "Jobs of an egress gateway: what they may reach, how fast, and what they did.",
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": "/"}],
        "security": [{}, {"token": []}],
        "paths": paths,
        "components": {
            "schemas": dict(SCHEMAS),
            "securitySchemes": {
                "token": {
                    "type": "http",
                    "scheme": "bearer",
                    "description": "Where the API listens on TCP: what stands in `control_token_file`.",
                }
            },
        },
    }


_ID = {
    "name": "id",
    "in": "path",
    "required": True,
    "description": "Of a job.",
    "schema": {"type": "string", "pattern": JOB_ID_PATTERN},
}


def _operation(operation: Operation) -> dict[str, object]:
    refusals = [*_ALWAYS, *(_OF_BODY if operation.body else ()), *operation.refusals]
    described: dict[str, object] = {
        "operationId": operation.name,
        "summary": operation.summary,
        "parameters": [
            *map(_parameter, operation.parameters),
            *(_condition(name, *condition) for name, condition in operation.conditions.items()),
        ],
        "responses": {
            **{str(status.value): _answer(answer) for status, answer in operation.answers.items()},
            **{str(status.value): _refusal(status) for status in sorted(set(refusals))},
        },
    }
    if operation.body is not None:
        described["requestBody"] = _body(operation.body)
    if operation.is_public:
        described["security"] = [{}]
    return described


def _parameter(parameter: Parameter[object]) -> dict[str, object]:
    schema = dict(parameter.schema)
    return {
        "name": parameter.name,
        "in": "query",
        "description": parameter.description,
        "schema": {"type": "array", "items": schema} if parameter.repeated else schema,
    }


def _condition(name: str, text: str, pattern: str) -> dict[str, object]:
    return {"name": name, "in": "header", "description": text, "schema": {**_TEXT, "pattern": pattern}}


def _body(body: Body) -> dict[str, object]:
    return {"required": True, "content": _content(body.media_types, body.schema)}


def _answer(answer: Answer) -> dict[str, object]:
    described: dict[str, object] = {"description": answer.description}
    if answer.media_types:
        described["content"] = _content(answer.media_types, answer.schema)
    if answer.headers:
        described["headers"] = {
            name: {"description": text, "required": True, "schema": _TEXT}
            for name, text in answer.headers.items()
        }
    return described


def _content(media_types: Iterable[str], schema: str) -> Mapping[str, object]:
    return {
        media_type: {"schema": reference(schema) if schema and media_type.endswith("json") else _TEXT}
        for media_type in media_types
    }


def _refusal(status: HTTPStatus) -> dict[str, object]:
    return {"description": status.phrase, "content": {MEDIA_TYPE: {"schema": reference("Problem")}}}
