"""What jobgate answers itself: rows G1, G2 and G12 of the case list, as bytes."""

from __future__ import annotations

import json
import re
from dataclasses import replace

import pytest

from jobgate.config.host import Name
from jobgate.proxy.decision import Decision, Kind, Target
from jobgate.proxy.errors import BadRequest, ProxyError, Reason
from jobgate.proxy.head import HeadLimits, RequestHead, parse_request_head, parse_response_head
from jobgate.proxy.headers import field_value
from jobgate.proxy.replies import (
    denials_reply,
    may_follow,
    options_reply,
    own_page,
    refusal,
    reply,
    status_of,
)

LIMITS = HeadLimits(65536, 16384, 128)

STATUS = {
    400: "bad-request",
    403: "not-listed denied port address self quota expired unknown-job",
    405: "method",
    407: "auth",
    408: "head-timeout",
    413: "content-too-large",
    414: "target-too-long",
    429: "connections rate",
    431: "head-too-large",
    500: "internal",
    501: "method-unknown transfer-coding",
    502: "dns-nxdomain dns-failure connect-refused connect-unreachable upstream-closed upstream-invalid",
    503: "overloaded draining",
    504: "dns-timeout connect-timeout upstream-timeout",
    505: "version",
}
ANSWERED = {Reason(word): status for status, words in STATUS.items() for word in words.split()}
#: RFC 9209 §2.3, as far as used.
PROXY_STATUS_ERRORS = {
    "connection_limit_reached",
    "connection_read_timeout",
    "connection_refused",
    "connection_timeout",
    "destination_ip_prohibited",
    "destination_ip_unroutable",
    "dns_error",
    "dns_timeout",
    "http_protocol_error",
    "http_request_denied",
    "http_request_error",
    "http_response_incomplete",
    "proxy_internal_error",
    "proxy_loop_detected",
}


def request(*fields: bytes, method: bytes = b"GET") -> RequestHead:
    lines = (method + b" http://ok.test/ HTTP/1.1", b"Host: ok.test", *fields, b"", b"")
    return parse_request_head(b"\r\n".join(lines), LIMITS)


def read(raw: bytes) -> tuple[int, str, dict[str, str], bytes]:
    """Read a reply with the strict parser; its length must be exact."""
    end = raw.index(b"\r\n\r\n") + 4
    head = parse_response_head(raw[:end], LIMITS, b"GET")
    fields = {name.decode().lower(): value.decode() for name, value in head.headers}
    assert len(fields) == len(head.headers)
    assert int(fields["content-length"]) == len(raw) - end
    return head.status, head.phrase.decode(), fields, raw[end:]


@pytest.mark.parametrize(("reason", "status"), ANSWERED.items(), ids=[reason.value for reason in ANSWERED])
def test_every_reason_has_its_status_and_says_it_everywhere(reason: Reason, status: int) -> None:
    assert status_of(reason) == status
    found, phrase, fields, body = read(reply(ProxyError(reason), None, close=False, note=""))
    assert found == status
    assert phrase.endswith(f" (jobgate: {reason.token})")
    assert len(phrase) <= 80
    assert fields["x-jobgate-reason"] == reason.token
    match = re.fullmatch(r'jobgate; error=([a-z_]+); details="([a-z-]+)"', fields["proxy-status"])
    assert match is not None
    assert match[1] in PROXY_STATUS_ERRORS
    assert match[2] == reason.token
    assert fields["content-type"] == "text/plain; charset=utf-8"
    assert fields["x-content-type-options"] == "nosniff"
    assert "connection" not in fields
    assert body.endswith(b".\n")


def test_reasons_that_only_close_have_no_status() -> None:
    silent = set(Reason) - set(ANSWERED)
    assert silent >= {Reason.DONE, Reason.IDLE, Reason.NOT_HTTP, Reason.CLIENT_RESET}
    for reason in silent:
        with pytest.raises(KeyError):
            status_of(reason)


def test_a_refused_connect_looks_like_this_G1() -> None:
    target = Target(Kind.CONNECT, Name("www.example.com"), 443)
    error = refusal(Decision(False, Reason.NOT_LISTED, None), target)
    raw = reply(error, None, close=True, note="Ask ops@example.com.")
    assert raw == (
        b"HTTP/1.1 403 Forbidden (jobgate: not-listed)\r\n"
        b"X-Jobgate-Reason: not-listed\r\n"
        b'Proxy-Status: jobgate; error=http_request_denied; details="not-listed"\r\n'
        b"Content-Type: text/plain; charset=utf-8\r\n"
        b"X-Content-Type-Options: nosniff\r\n"
        b"Content-Length: 98\r\n"
        b"Connection: close\r\n"
        b"\r\n"
        b'www.example.com:443 is not in this job\'s domains. Add "www.example.com" or ".example.com".\n'
        b"Ask ops@example.com.\n"
    ).replace(b"98", b"%d" % (len(raw) - raw.index(b"\r\n\r\n") - 4))


def test_nothing_of_an_error_reaches_the_head_G2() -> None:
    error = BadRequest('no "\r\nX-Evil: 1\r\n\r\n\udcff')
    for fields in ((), (b"Accept: application/json",)):
        raw = reply(error, request(*fields), close=True, note="\r\nX-Evil: 2")
        assert b"X-Evil" not in raw[: raw.index(b"\r\n\r\n")]
        read(raw)


@pytest.mark.parametrize("accept", [b"Accept: */*", b"Accept: application/json"], ids=["text", "JSON"])
def test_the_note_is_there_once_G12(accept: bytes) -> None:
    raw = reply(ProxyError(Reason.DENIED, "No."), request(accept), close=False, note="ask ops@example.com")
    assert raw.count(b"ask ops@example.com") == 1


def test_notes_may_be_in_any_language() -> None:
    *_, body = read(
        reply(ProxyError(Reason.DENIED, "No."), None, close=False, note="Frag nach: büro@example.com")
    )
    assert body.decode() == "No.\nFrag nach: büro@example.com\n"


@pytest.mark.parametrize(
    ("accept", "as_json"),
    [
        (b"application/json", True),
        (b"text/html, Application/JSON; q=0.9", True),
        (b"application/json;q=0.5;v=1", True),
        (b"application/json;q=0", False),
        (b"application/json; q=0.000", False),
        (b"*/*", False),
        (b"application/*", False),
        (b"text/plain", False),
    ],
    ids=["JSON", "among others", "weight", "weight 0", "weight 0.000", "any", "any application", "text"],
)
def test_json_is_given_to_those_who_name_it(accept: bytes, as_json: bool) -> None:
    error = ProxyError(Reason.PORT, "Say this.")
    _, _, fields, body = read(reply(error, request(b"Accept: " + accept), close=False, note="note"))
    assert fields["content-type"] == ("application/json" if as_json else "text/plain; charset=utf-8")
    if as_json:
        assert json.loads(body) == {"status": 403, "reason": "port", "detail": "Say this.", "note": "note"}


def test_json_without_a_note_has_none() -> None:
    *_, body = read(
        reply(ProxyError(Reason.PORT), request(b"Accept: application/json"), close=False, note="")
    )
    assert json.loads(body) == {
        "status": 403,
        "reason": "port",
        "detail": "This port is not open for the job.",
    }


def test_head_gets_the_head_alone() -> None:
    error = ProxyError(Reason.DENIED, "No.")
    whole = reply(error, request(), close=False, note="")
    assert (
        reply(error, request(method=b"HEAD"), close=False, note="") == whole[: whole.index(b"\r\n\r\n") + 4]
    )


@pytest.mark.parametrize(
    ("reason", "retry_after_s", "expected"),
    [
        (Reason.RATE, 2.1, "3"),
        (Reason.RATE, 0.001, "1"),
        (Reason.CONNECTIONS, 0.0, "1"),
        (Reason.DRAINING, 30.0, "30"),
        (Reason.DENIED, 30.0, None),
    ],
)
def test_retry_after_goes_with_429_and_503(
    reason: Reason, retry_after_s: float, expected: str | None
) -> None:
    _, _, fields, _ = read(reply(ProxyError(reason, retry_after_s=retry_after_s), None, close=False, note=""))
    assert fields.get("retry-after") == expected


def test_405_says_what_is_allowed() -> None:
    _, _, fields, _ = read(reply(ProxyError(Reason.METHOD), None, close=True, note=""))
    assert fields["connection"] == "close"
    assert fields["allow"].split(", ") == [
        "GET",
        "HEAD",
        "POST",
        "PUT",
        "DELETE",
        "OPTIONS",
        "PATCH",
        "CONNECT",
    ]


def test_an_allowing_decision_is_no_refusal() -> None:
    with pytest.raises(ValueError, match="allows"):
        refusal(Decision(True, None, "ok.test"), Target(Kind.HTTP, Name("ok.test"), 80))


def test_denials_are_a_json_list() -> None:
    status, phrase, fields, body = read(denials_reply([{"host": "evil.test", "port": 443}], close=True))
    assert (status, phrase, fields["connection"]) == (200, "OK", "close")
    assert json.loads(body) == [{"host": "evil.test", "port": 443}]


def test_options_is_answered_with_what_is_allowed() -> None:
    status, _, fields, body = read(options_reply(close=False))
    assert (status, body) == (200, b"")
    assert "CONNECT" in fields["allow"]


def test_field_values_of_the_client_are_never_echoed() -> None:
    head = request(b"X-Proxy-Error: spoof", b"Proxy-Status: spoof", b"Accept: spoof")
    assert field_value(head.headers, b"accept") == b"spoof"
    assert b"spoof" not in reply(ProxyError(Reason.DENIED), head, close=False, note="")


def test_407_says_which_credentials_are_meant_and_nothing_else_does() -> None:
    _, _, fields, _ = read(reply(ProxyError(Reason.AUTH), None, close=True, note=""))
    assert fields["proxy-authenticate"] == 'Basic realm="jobgate"'
    _, _, fields, _ = read(reply(ProxyError(Reason.UNKNOWN_JOB), None, close=True, note=""))
    assert "proxy-authenticate" not in fields


def test_own_page_is_the_job_s_own_refusals() -> None:
    page = own_page(request(), b"/denials", [{"host": "evil.test"}])
    assert page(close=False) == denials_reply([{"host": "evil.test"}], close=False)


@pytest.mark.parametrize(
    ("method", "path"),
    [(b"POST", b"/denials"), (b"GET", b"/"), (b"GET", b"/denials?")],
    ids=["method", "path", "query"],
)
def test_own_page_is_the_only_one(method: bytes, path: bytes) -> None:
    with pytest.raises(BadRequest):
        own_page(request(method=method), path, [])


@pytest.mark.parametrize(
    ("reason", "asked", "follows"),
    [
        pytest.param(Reason.NOT_LISTED, request(), True, id="usual"),
        pytest.param(Reason.NOT_LISTED, request(b"Connection: close"), False, id="client-ends"),
        pytest.param(Reason.NOT_LISTED, request(b"Content-Length: 1", method=b"POST"), False, id="content"),
        pytest.param(
            Reason.NOT_LISTED, replace(request(), method=b"CONNECT"), False, id="what-follows-is-a-tunnel's"
        ),
        pytest.param(Reason.BAD_REQUEST, request(), False, id="read-differently"),
        pytest.param(Reason.DRAINING, request(), False, id="gate-ends"),
        pytest.param(Reason.UNKNOWN_JOB, request(), False, id="job-has-ended"),
        pytest.param(Reason.INTERNAL, request(), False, id="defect"),
    ],
)
def test_another_request_follows_only_where_nothing_is_left_of_the_refused_one(
    reason: Reason, asked: RequestHead, follows: bool
) -> None:
    assert may_follow(ProxyError(reason), asked) is follows
