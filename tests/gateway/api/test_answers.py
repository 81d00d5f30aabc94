from __future__ import annotations

import json

import pytest

from jobgate.gateway.api.answers import HEADERS, entity_tag, json_bytes, json_response, raw_response


def test_json_is_short_and_ascii() -> None:
    assert json_bytes({"a": [1, "é"]}) == b'{"a":[1,"\\u00e9"]}'


def test_json_has_no_infinity() -> None:
    with pytest.raises(ValueError, match="Out of range"):
        json_bytes(float("inf"))


def test_answer_has_the_fields_of_every_answer() -> None:
    response = json_response({"a": 1}, status=201, headers={"ETag": '"x"'})
    assert (response.status, response.content_type) == (201, "application/json")
    assert isinstance(response.body, bytes)
    assert json.loads(response.body) == {"a": 1}
    assert {**HEADERS, "ETag": '"x"'}.items() <= dict(response.headers).items()
    assert raw_response(b"x", media_type="text/plain").content_type == "text/plain"


def test_entity_tag_is_of_the_values_and_not_of_their_order() -> None:
    tag = entity_tag({"a": 1, "b": [1, 2]})
    assert tag == entity_tag({"b": [1, 2], "a": 1})
    assert tag != entity_tag({"a": 1, "b": [2, 1]})
    assert tag.startswith('"')
    assert tag.endswith('"')
