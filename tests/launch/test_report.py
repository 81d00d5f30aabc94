from __future__ import annotations

import pytest

from jobgate.config.load import load_text
from jobgate.config.policy import Policy
from jobgate.launch.report import remedy, summarize
from jobgate.proxy.usage import JobCounters, Refused, Usage

CONFIGURATION = """
[node]
deny = ["scheduler.example"]
[[job]]
id = "run"
listen = "127.0.0.1:3128"
network = "http"
domains = [".example.com", "git.example.net:22"]
deny = ["private.example.com"]
"""


SETTINGS = load_text(CONFIGURATION)
POLICY = Policy(SETTINGS.jobs[0].policy, SETTINGS.node.policy)


@pytest.mark.parametrize(
    ("refused", "expected"),
    [
        (Refused("www.example.org:443", "not-listed", "connect"), "--domain www.example.org"),
        (Refused("www.example.org:80", "not-listed", "http"), "--domain www.example.org"),
        (Refused("www.example.org:8443", "not-listed", "connect"), "--domain www.example.org:8443"),
        (Refused("[2001:db8::1]:8443", "not-listed", "connect"), "--domain [2001:db8::1]:8443"),
        (Refused("www.example.com:8443", "port", "connect"), "--domain www.example.com:8443"),
        (Refused("private.example.com:443", "denied", "connect"), "denied by --deny private.example.com"),
        (Refused("scheduler.example:443", "denied", "connect"), "denied by [node] deny"),
        (
            Refused("www.example.com:443", "address", "connect"),
            "its address must be in [node] allow_addresses of --config",
        ),
        (Refused("www.example.com:443", "not-tls", "connect"), "--tls any"),
        (Refused("www.example.com:443", "hello-timeout", "connect"), "--tls any"),
        (Refused("cdn.example.org:443", "sni", "connect"), "--domain cdn.example.org"),
        (Refused("www.example.com:443", "rate", "connect"), ""),
        (Refused("www.example.com:443", "connections", "connect"), ""),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, Refused) else "",
)
def test_remedy_names_what_would_allow_it(refused: Refused, expected: str) -> None:
    assert remedy(refused, POLICY) == expected


def test_remedy_names_the_node_where_only_the_node_opens_the_port() -> None:
    refused = Refused("git.example.net:22", "port", "connect")
    assert remedy(refused, POLICY) == "needs git.example.net:22 in [node] allow of --config"


def test_summarize_takes_over_the_counters() -> None:
    usage = Usage()
    usage.add("www.example.com:443", 100, 2000)
    usage.add("www.example.com:443", 1, 2)
    for _ in range(2):
        usage.refuse(Refused("www.example.org:443", "not-listed", "connect"), {})
    usage.fail(Refused("nowhere.example.com:443", "dns-nxdomain", "connect"))
    counters = JobCounters(101, 2002, 3, 2, 0.0)
    summary = summarize(usage, POLICY, counters=counters, duration_s=2.5, note="ask ops")
    assert (summary.duration_s, summary.bytes_up, summary.bytes_down, summary.note) == (
        2.5,
        101,
        2002,
        "ask ops",
    )
    (reached,) = summary.reached
    assert (reached.authority, reached.requests, reached.bytes_up) == ("www.example.com:443", 2, 101)
    (failed,) = summary.failed
    assert (failed.authority, failed.reason) == ("nowhere.example.com:443", "dns-nxdomain")
    (refused,) = summary.refused
    assert (refused.requests, refused.remedy) == (2, "--domain www.example.org")
