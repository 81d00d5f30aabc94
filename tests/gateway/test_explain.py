from __future__ import annotations

import pytest

from jobgate.config.policy import Policy
from jobgate.gateway.explain import judge, parse_url
from jobgate.proxy.decision import Kind
from jobgate.proxy.errors import BadRequest
from support.policies import in_report_mode, policy


@pytest.mark.parametrize(
    ("url", "kind", "host", "port"),
    [
        ("https://www.example.com/a?b=c", Kind.CONNECT, "www.example.com", 443),
        ("HTTPS://WWW.Example.COM.:8443", Kind.CONNECT, "www.example.com", 8443),
        ("https://example.com?x", Kind.CONNECT, "example.com", 443),
        ("http://example.com/a#b", Kind.HTTP, "example.com", 80),
        ("http://example.com:8080", Kind.HTTP, "example.com", 8080),
        ("example.com", Kind.CONNECT, "example.com", 443),
        ("example.com:22", Kind.CONNECT, "example.com", 22),
        ("https://[2001:db8::1]/", Kind.CONNECT, "2001:db8::1", 443),
    ],
)
def test_parse_url_reads_what_a_client_would_ask_for(url: str, kind: Kind, host: str, port: int) -> None:
    target = parse_url(url)
    assert (target.kind, str(target.host), target.port) == (kind, host, port)


@pytest.mark.parametrize(
    "url", ["ftp://example.com/", "https://user@example.com/", "https://127.1/", "http://exämple.com/", ""]
)
def test_parse_url_refuses_what_the_gate_refuses(url: str) -> None:
    with pytest.raises(BadRequest):
        parse_url(url)


ENFORCED = policy(".example.com", deny="bad.example.com")


@pytest.mark.parametrize(
    ("url", "judged", "verdict", "reason", "would"),
    [
        ("https://www.example.com/", ENFORCED, "allow", None, None),
        ("https://www.example.org/", ENFORCED, "deny", "not-listed", None),
        ("https://127.1/", ENFORCED, "deny", "bad-request", None),
        ("https://www.example.org/", in_report_mode(ENFORCED), "allow", "not-listed", "deny"),
        ("https://bad.example.com/", in_report_mode(ENFORCED), "deny", "denied", None),
        ("https://10.0.0.1/", in_report_mode(ENFORCED), "deny", "address", None),
    ],
    ids=["allowed", "refused", "bad", "reported", "denied-in-report-mode", "address-in-report-mode"],
)
def test_judge_says_what_would_happen(
    url: str, judged: Policy, verdict: str, reason: str | None, would: str | None
) -> None:
    record = judge(url, judged).record()
    assert (record["decision"], record["reason"], record.get("would")) == (verdict, reason, would)


def test_record_has_the_names_of_the_log() -> None:
    record = judge("http://www.example.com:8080/a?b", ENFORCED).record()
    assert record == {
        "url": "http://www.example.com:8080/a?b",
        "kind": "http",
        "host": "www.example.com",
        "port": 8080,
        "decision": "allow",
        "reason": None,
        "rule": ".example.com",
        "detail": "",
        "addresses": [],
    }


def test_text_of_what_is_only_reported_says_so() -> None:
    text = judge("example.org", in_report_mode(ENFORCED)).as_text()
    assert text.startswith("allow  example.org  only reported: not-listed: example.org:443 is not in")
