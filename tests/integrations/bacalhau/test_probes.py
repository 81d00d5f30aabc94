from __future__ import annotations

import pytest

from jobgate.config.host import parse_authority
from jobgate.integrations.bacalhau.probes import ProbelessJournal, is_probe
from jobgate.proxy.decision import Kind
from jobgate.proxy.errors import Reason
from jobgate.proxy.exchange import Exchange
from jobgate.proxy.usage import Usage
from support.gate import RecordingWriter


def finished(
    job: str, client: str, reason: Reason, *, target: bool = False
) -> tuple[Exchange, RecordingWriter]:
    log = RecordingWriter()
    exchange = Exchange(job, client, Usage(), ProbelessJournal(log), lambda: 0.0)
    if target:
        exchange.asks(Kind.HTTP, b"GET", parse_authority(b"example.com:80", default_port=80))
    exchange.finish(reason)
    log.close()
    return exchange, log


@pytest.mark.parametrize("client", ["127.0.0.1:4000", "[::1]:4000"])
def test_probe_leaves_no_line(client: str) -> None:
    exchange, log = finished("", client, Reason.BAD_REQUEST)
    assert is_probe(exchange)
    assert log.text == ""


@pytest.mark.parametrize(
    ("job", "client", "reason", "target"),
    [
        ("job-123", "127.0.0.1:4000", Reason.BAD_REQUEST, False),
        ("", "172.18.0.2:4000", Reason.BAD_REQUEST, False),
        ("", "127.0.0.1:4000", Reason.UNKNOWN_JOB, False),
        ("", "127.0.0.1:4000", Reason.BAD_REQUEST, True),
    ],
    ids=["a job's", "from outside", "another refusal", "names a destination"],
)
def test_everything_else_is_logged(job: str, client: str, reason: Reason, target: bool) -> None:
    exchange, log = finished(job, client, reason, target=target)
    assert not is_probe(exchange)
    assert (len(log.decisions), len(log.closes)) == (1, 1)
