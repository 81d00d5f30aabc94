from __future__ import annotations

import contextlib
import json
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobgate.client.errors import (
    Conflict,
    GatewayError,
    Invalid,
    NotFound,
    Unauthorized,
    Unavailable,
    UnexpectedAnswer,
)
from jobgate.client.reading import error_of, structured
from jobgate.client.values import Job, Learned, Page, Problem

LIVE = dict.fromkeys(
    ("connections", "bytes_up", "bytes_down", "requests", "refused", "waiting_up", "waiting_down"), 1
) | {"wait_up_s": 0.5, "wait_down_s": 0, "rate_up": None, "rate_down": 1250000}
JOB: dict[str, object] = {
    "id": "a",
    "origin": "api",
    "state": "active",
    "problem": None,
    "listen": None,
    "created_at": "2026-11-20T13:25:07.123Z",
    "has_token": False,
    "settings": {"domains": ["a.test"], "labels": {"x": "y"}},
    "live": LIVE,
}


def test_job_is_read_as_values() -> None:
    job = structured(JOB, Job)
    assert job.created_at == datetime(2026, 11, 20, 13, 25, 7, 123000, tzinfo=UTC)
    assert (job.live.rate_up, job.live.rate_down, job.live.wait_up_s) == (None, 1250000.0, 0.5)
    assert job.settings == {"domains": ["a.test"], "labels": {"x": "y"}}
    assert (job.token, job.etag) == (None, "")


def test_unknown_keys_are_passed_over() -> None:
    assert structured({**JOB, "new": [1], "token": "t"}, Job).token == "t"


@pytest.mark.parametrize(
    "value",
    [
        None,
        [],
        "x",
        {**JOB, "created_at": "soon"},
        {**JOB, "live": None},
        {key: JOB[key] for key in JOB if key != "id"},
        {**JOB, "live": {**LIVE, "requests": "many"}},
    ],
    ids=["null", "list", "text", "time", "no-live", "no-id", "number"],
)
def test_something_else_is_no_job(value: object) -> None:
    with pytest.raises(UnexpectedAnswer, match=r"^not a Job of the control API$"):
        structured(value, Job)


@given(
    st.recursive(
        st.none() | st.integers() | st.text(),
        lambda inner: st.lists(inner) | st.dictionaries(st.sampled_from(["at", "next", "jobs"]), inner),
    )
)
def test_anything_is_a_page_or_one_error(value: object) -> None:
    with contextlib.suppress(UnexpectedAnswer):
        structured(value, Page)


def test_lists_become_tuples() -> None:
    assert structured({"domains": ["a"], "tls": "any"}, Learned) == Learned(("a",), "any")


def answer(**more: object) -> str:
    return json.dumps({"title": "x", "status": 0, "reason": "why", "detail": "Because.", **more})


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (400, Invalid),
        (401, Unauthorized),
        (403, Unauthorized),
        (404, NotFound),
        (405, GatewayError),
        (408, Invalid),
        (409, Conflict),
        (412, Conflict),
        (413, Invalid),
        (415, Invalid),
        (422, Invalid),
        (500, GatewayError),
        (503, Unavailable),
    ],
)
def test_status_says_which_error(status: int, kind: type[GatewayError]) -> None:
    error = error_of(status, answer())
    assert (type(error), error.status, error.reason, str(error)) == (kind, status, "why", "Because.")


def test_invalid_has_its_problems() -> None:
    error = error_of(422, answer(problems=[{"key": "tls", "message": "wrong"}]))
    assert isinstance(error, Invalid)
    assert error.problems == (Problem("tls", "wrong"),)


@pytest.mark.parametrize(
    "text", ["", "500 Internal Server Error", "[]", "{}", '{"detail":null}', "[" * 100_000]
)
def test_answer_that_is_no_problem_document_is_an_error_all_the_same(text: str) -> None:
    error = error_of(502, text)
    assert (type(error), error.status, str(error)) == (GatewayError, 502, "the gateway answered 502")
