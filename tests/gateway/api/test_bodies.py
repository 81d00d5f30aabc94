from __future__ import annotations

import contextlib
import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobgate.gateway.api import bodies
from jobgate.gateway.api.bodies import MAX_BODY_BYTES, MAX_DEPTH, parse_json
from jobgate.gateway.api.problems import BadRequest
from support.control import control_api
from support.raw import raw

SCALARS = (
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text()
)
TABLES = st.dictionaries(st.text(), SCALARS | st.lists(SCALARS))
VALUES = SCALARS | st.lists(SCALARS | TABLES) | st.dictionaries(st.text(), TABLES)


@given(VALUES)
def test_parse_json_reads_json(value: object) -> None:
    assert parse_json(json.dumps(value)) == value


@given(st.text())
def test_parse_json_of_any_text_is_a_value_or_a_bad_request(text: str) -> None:
    with contextlib.suppress(BadRequest):
        parse_json(text)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "not JSON: Expecting value"),
        ("\ufeff{}", "not JSON"),
        ('{"a":1,"a":2}', "the key 'a' is there twice"),
        ("NaN", "no finite number"),
        ("[1e999]", "no finite number"),
        ("[-Infinity]", "no finite number"),
        ("1" * 5000, "not JSON"),
        (r'{"a":"\ud800"}', "half of a surrogate pair"),
        (r'{"\udfff":1}', "half of a surrogate pair"),
        ("[" * 9 + "]" * 9, f"more than {MAX_DEPTH} levels"),
        ("[" * 100_000, "more than"),
        ('{"a":' * 5000 + "1" + "}" * 5000, "more than"),
    ],
    ids=[
        "empty",
        "bom",
        "twice",
        "nan",
        "overflow",
        "infinity",
        "digits",
        "surrogate",
        "surrogate-key",
        "deep",
        "deeper",
        "deeper-objects",
    ],
)
def test_parse_json_is_strict(text: str, words: str) -> None:
    with pytest.raises(BadRequest, match=words):
        parse_json(text)


@pytest.mark.parametrize(
    ("data", "kind", "status", "reason"),
    [
        (b"{}", "text/html", 415, "media-type"),
        (b"{}", "", 415, "media-type"),
        (b"[]", "application/json", 400, "bad-request"),
        (b"\xff", "application/json", 400, "bad-request"),
        (b"{", "application/json", 400, "bad-request"),
        (b" " * (MAX_BODY_BYTES + 1), "application/json", 413, "too-large"),
    ],
    ids=["media-type", "no-media-type", "no-object", "no-utf-8", "no-json", "too-large"],
)
async def test_body_that_is_not_taken(
    data: bytes, kind: str, status: int, reason: str, tmp_path: Path
) -> None:
    async with control_api(tmp_path) as api:
        reply = await api.call("PUT", "/v1/jobs/a", data=data, headers={"Content-Type": kind})
        assert (reply.status, reply.reason) == (status, reason)
        assert (await api.call("GET", "/v1/jobs/a")).status == 404


async def test_body_that_does_not_come_is_waited_for_only_so_long(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bodies, "BODY_S", 0.01)
    head = (
        b"PUT /v1/jobs/a HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 9\r\n\r\n"
    )
    async with control_api(tmp_path) as api:
        answer = await raw(api.control, head + b"{", until=b"}")
        assert answer.startswith(b"HTTP/1.1 408 ")
        assert b'"reason":"timeout"' in answer
