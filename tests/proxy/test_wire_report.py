"""Report mode over the wire: what the lists refuse passes and is logged, everything else is enforced."""

from __future__ import annotations

import pytest

from jobgate.proxy.usage import Refused
from support.changes import job_of
from support.gate import FakeResolver, RunningGate, loopback_gate
from support.messages import absolute, connect, ok
from support.origin import Origin, answer, echo
from support.tls import hello_for

REPORT = 'mode = "report"'
ALERT = b"\x15\x03\x01\x00\x02\x02\x70"


def would(gate: RunningGate) -> list[tuple[object, ...]]:
    """What the decision lines say."""
    return [(line["decision"], line["reason"], line.get("would")) for line in gate.decisions]


@pytest.mark.parametrize("where", ["node", "job"])
async def test_name_that_is_not_listed_passes_and_the_line_says_so(where: str) -> None:
    async with (
        Origin(answer(ok(b"1"))) as origin,
        loopback_gate(node=REPORT, job=REPORT if where == "job" else "") as gate,
        gate.client() as client,
    ):
        assert (await client.request(absolute(f"http://evil.test:{origin.port}/"))).status == 200
        assert (await client.request(absolute(f"http://ok.test:{origin.port}/"))).status == 200
        await gate.until_closed(2)
        assert would(gate) == [("allow", "not-listed", "deny"), ("allow", None, None)]
        usage = job_of(gate).usage
        assert usage.overlooked == {Refused(f"evil.test:{origin.port}", "not-listed", "http"): 1}
        assert usage.refused == {}


async def test_job_may_enforce_what_its_node_only_reports() -> None:
    async with loopback_gate(node=REPORT, job='mode = "enforce"') as gate, gate.client() as client:
        assert (await client.request(absolute("http://evil.test/"))).status == 403


async def test_job_that_reports_stays_within_a_node_that_enforces() -> None:
    node = 'allow = [".ok.test"]'
    async with (
        Origin(answer(ok(b"1"))) as origin,
        loopback_gate(domains=["a.ok.test"], node=node, job=REPORT) as gate,
        gate.client() as client,
    ):
        assert (await client.request(absolute(f"http://b.ok.test:{origin.port}/"))).status == 200
        assert (await client.request(absolute(f"http://evil.test:{origin.port}/"))).status == 403
        await gate.until_closed(2)
        assert would(gate) == [("allow", "not-listed", "deny"), ("deny", "not-listed", None)]


async def test_port_passes_and_the_line_says_so() -> None:
    async with (
        Origin(echo) as origin,
        loopback_gate(node=f"connect_ports = [443]\n{REPORT}") as gate,
        gate.client() as client,
    ):
        assert (await client.request(connect(f"ok.test:{origin.port}"), "CONNECT")).status == 200
        assert would(gate) == [("allow", "port", "deny")]


@pytest.mark.parametrize(
    ("sent", "reason"),
    [(b"SSH-2.0-x\r\n", "not-tls"), (hello_for(b"evil.test"), "sni")],
    ids=["not-tls", "sni"],
)
async def test_any_first_bytes_pass_and_the_close_line_says_so(sent: bytes, reason: str) -> None:
    async with (
        Origin(echo) as origin,
        loopback_gate(node=REPORT, tls="require") as gate,
        gate.client() as client,
    ):
        assert (await client.request(connect(f"ok.test:{origin.port}"), "CONNECT")).status == 200
        await client.send(sent)
        assert await client.read_exactly(len(sent)) == sent
        client.half_close()
        assert await client.read_to_end() == b""
        await gate.until_closed(1)
        assert would(gate) == [("allow", None, None)]
        assert (gate.closes[0]["reason"], gate.closes[0]["would"]) == ("done", reason)


ENFORCED: dict[str, tuple[str, str, bytes, str]] = {
    "denied": ('deny = ["bad.ok.test"]', "", connect("bad.ok.test:443"), "denied"),
    "denied-by-job": ("", 'deny = ["bad.ok.test"]', connect("bad.ok.test:443"), "denied"),
    "address": ("", "", connect("private.test:443"), "address"),
    "own": ("", "", connect("evil.test:GATE"), "self"),
    "framing": ("", "", absolute("http://evil.test/#x"), "bad-request"),
    "quota": ("", "max_duration_s = 0.000001", connect("evil.test:443"), "quota"),
}


@pytest.mark.parametrize(("node", "job", "sent", "reason"), ENFORCED.values(), ids=ENFORCED)
async def test_everything_else_is_enforced(node: str, job: str, sent: bytes, reason: str) -> None:
    resolver = FakeResolver({"private.test": ["10.0.0.1"]}, others=["127.0.0.1"])
    async with (
        loopback_gate(node=f"{REPORT}\n{node}", job=job, resolver=resolver) as gate,
        gate.client() as client,
    ):
        await client.send(sent.replace(b"GATE", str(gate.port).encode()))
        response = await client.response("CONNECT")
        assert response.value("x-jobgate-reason") == reason
        await gate.until_closed(1)
        assert (gate.decisions[0]["decision"], gate.decisions[0]["reason"]) == ("deny", reason)


async def test_denied_server_name_is_refused() -> None:
    async with (
        Origin(echo) as origin,
        loopback_gate(node=f'{REPORT}\ndeny = ["bad.ok.test"]', tls="require") as gate,
        gate.client() as client,
    ):
        assert (await client.request(connect(f"ok.test:{origin.port}"), "CONNECT")).status == 200
        await client.send(hello_for(b"bad.ok.test"))
        assert await client.read_to_end() == ALERT
