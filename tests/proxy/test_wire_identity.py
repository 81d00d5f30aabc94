"""K rows over the wire: whose request it is, and what becomes of the others."""

from __future__ import annotations

import base64
import hashlib
import os
import socket
import time
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import replace
from ipaddress import ip_network
from pathlib import Path

import pytest

from support.client import Client, Response
from support.gate import DialHook, FakeResolver, RunningGate, running_gate
from support.http_origin import HttpOrigin
from support.messages import absolute, connect, head, ok
from support.net import closed_port
from support.origin import Origin, answer, echo
from support.wait import until

NODE = """
[node]
allow_addresses = ["127.0.0.1"]
connect_ports = ["1-79", "81-65535"]
http_ports = ["1-65535"]
"""
JOB = """
[[job]]
network = "http"
domains = [".ok.test"]
rate_up = "unlimited"
rate_down = "unlimited"
tls = "any"
"""
SHARED = f"""
listen.proxy = ["127.0.0.1:3128"]
{NODE}
{JOB}
id = "a"
token = "s3cret-a"
{JOB}
id = "b"
token = "s3cret:b"
{JOB}
id = "near"
clients = ["127.1.0.0/16"]
{JOB}
id = "both"
clients = ["127.2.0.0/16"]
token = "s3cret-both"
"""
OWN = f'{NODE}\n{JOB}\nid = "own"\nlisten = "127.0.0.1:0"\n'
#: Asks the gate itself: shows whose request it is taken for, without an origin.
PROBE = "http://jobgate.internal/denials"


def basic(credentials: str, scheme: str = "Basic") -> str:
    return f"Proxy-Authorization: {scheme} {base64.b64encode(credentials.encode()).decode()}"


def serving(configuration: str = SHARED, port_80: int = 0) -> AbstractAsyncContextManager[RunningGate]:
    dialer = DialHook({80: port_80}) if port_80 else None
    return running_gate(configuration, resolver=FakeResolver.everything("127.0.0.1"), dialer=dialer)


@asynccontextmanager
async def client_of(gate: RunningGate, source: str = "127.0.0.1") -> AsyncIterator[Client]:
    """Connect to the shared listener, else to the first job's."""
    port = (gate.shared_ports or gate.ports)[0]
    async with await Client.connect(port, source=source) as client:
        yield client


async def asked(
    gate: RunningGate, *fields: str, source: str = "127.0.0.1", request: bytes = b""
) -> tuple[int, str]:
    """Send one request over a connection of its own; say the status and whose it was."""
    request = request or absolute(PROBE, *fields)
    async with client_of(gate, source) as client:
        response = await client.request(request, request.partition(b" ")[0].decode())
    return response.status, str(gate.decisions[-1]["job"])


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let strangers go at once; the test of floods says otherwise."""
    monkeypatch.setattr("jobgate.proxy.connection.FLOOD_PAUSE_S", 0.0)


# --- what shows a job

SHOWN: dict[str, tuple[list[str], str, tuple[int, str]]] = {
    "K3-right": ([basic("a:s3cret-a")], "127.0.0.1", (200, "a")),
    "K3-colon-in-the-token": ([basic("b:s3cret:b", "bAsIc")], "127.0.0.1", (200, "b")),
    "K3-none": ([], "127.0.0.1", (407, "")),
    "K3-wrong": ([basic("a:s3cret-b")], "127.0.0.1", (407, "")),
    "K5-duplicate": ([basic("a:s3cret-a")] * 2, "127.0.0.1", (407, "")),
    "K5-bad-base64": (["Proxy-Authorization: Basic a:s3cret-a"], "127.0.0.1", (407, "")),
    "K5-no-colon": ([basic("a")], "127.0.0.1", (407, "")),
    "K5-Bearer": ([basic("a:s3cret-a", "Bearer")], "127.0.0.1", (407, "")),
    "K6-unknown-job": ([basic("nobody:s3cret-a")], "127.0.0.1", (407, "")),
    "K7-role-header": (["X-Smokescreen-Role: a", "X-Jobgate-Job: a"], "127.0.0.1", (407, "")),
    "K8-source": ([], "127.1.2.3", (200, "near")),
    "K8-forwarded-for": (["X-Forwarded-For: 127.1.2.3", "Forwarded: for=127.1.2.3"], "127.0.0.1", (407, "")),
    "K8-token-from-another-job's-source": ([basic("a:s3cret-a")], "127.1.2.3", (200, "a")),
    "both-hold": ([basic("both:s3cret-both")], "127.2.0.1", (200, "both")),
    "both-token-alone": ([basic("both:s3cret-both")], "127.0.0.1", (403, "")),
    "both-source-alone": ([], "127.2.0.1", (407, "")),
}


@pytest.mark.parametrize(("fields", "source", "expected"), SHOWN.values(), ids=SHOWN)
async def test_shared_listener_knows_jobs(fields: list[str], source: str, expected: tuple[int, str]) -> None:
    async with serving() as gate:
        assert await asked(gate, *fields, source=source) == expected


@pytest.mark.parametrize(("fields", "source", "expected"), SHOWN.values(), ids=SHOWN)
async def test_connect_is_known_the_same_way(
    fields: list[str], source: str, expected: tuple[int, str]
) -> None:
    async with Origin(echo) as origin, serving() as gate:
        request = connect(f"ok.test:{origin.port}", *fields)
        assert await asked(gate, source=source, request=request) == expected


@pytest.mark.parametrize("request_bytes", [connect("ok.test:443"), absolute(PROBE)], ids=["connect", "http"])
async def test_407_challenges_and_ends_the_connection(request_bytes: bytes) -> None:
    async with serving() as gate, client_of(gate) as client:
        response = await client.request(request_bytes)
        assert (response.status, response.phrase) == (407, "Proxy Authentication Required (jobgate: auth)")
        assert response.value("proxy-authenticate") == 'Basic realm="jobgate"'
        assert response.value("x-jobgate-reason") == "auth"
        assert response.value("connection") == "close"
        assert b"jobgate env" in response.body
        assert await client.read_to_end() == b""


async def test_refused_credentials_look_alike() -> None:
    async with serving() as gate:
        seen: set[bytes] = set()
        for fields in ([], [basic("a:wrong")], [basic("nobody:s3cret-a")], [basic("near:")], [basic("x")]):
            async with client_of(gate) as client:
                await client.send(absolute(PROBE, *fields))
                seen.add(await client.read_to_end())
        assert len(seen) == 1
        assert len(gate.decisions) == 5


async def test_unmatched_source_is_told_so_where_no_token_could_help() -> None:
    configuration = f'listen.proxy = ["127.0.0.1:1"]\n{NODE}\n{JOB}\nid = "near"\nclients = ["127.1.0.0/16"]'
    async with serving(configuration) as gate:
        async with client_of(gate, "127.9.0.1") as client:
            response = await client.request(absolute(PROBE))
        assert (response.status, response.value("x-jobgate-reason")) == (403, "unknown-job")
        assert response.values("proxy-authenticate") == []
        assert await asked(gate, source="127.1.0.1") == (200, "near")


async def test_bytes_in_front_of_a_request_are_no_identity() -> None:
    """K7: a PROXY protocol line is no request."""
    async with serving() as gate, client_of(gate) as client:
        await client.send(b"PROXY TCP4 127.1.2.3 127.0.0.1 1 2\r\n" + absolute(PROBE))
        assert (await client.response()).status in (400, 501)
        assert await client.read_to_end() == b""
        assert gate.decisions[0]["job"] == ""


async def test_each_job_has_its_own_policy_and_log() -> None:
    """K1, on one listener."""
    configuration = SHARED.replace('domains = [".ok.test"]', 'domains = [".b.test"]', 1)
    async with Origin(answer(ok(b"1"))) as origin, serving(configuration) as gate:
        url = f"http://x.b.test:{origin.port}/"
        assert await asked(gate, request=absolute(url, basic("a:s3cret-a"))) == (200, "a")
        assert await asked(gate, request=absolute(url, basic("b:s3cret:b"))) == (403, "b")
        assert {job_id: job.usage.requests for job_id, job in gate.gate.jobs.items()} == {
            "a": 1,
            "b": 1,
            "near": 0,
            "both": 0,
        }


async def test_bytes_count_for_the_job_and_wait_for_its_rate() -> None:
    configuration = SHARED.replace('rate_down = "unlimited"', "rate_down = 1000000\nburst = 20000", 1)
    content = bytes(100_000)
    async with Origin(answer(ok(content))) as origin, serving(configuration) as gate:
        request = absolute(f"http://ok.test:{origin.port}/", basic("a:s3cret-a"))
        assert await asked(gate, request=request) == (200, "a")
        await gate.until_closed(1)
        job = gate.gate.jobs["a"]
        assert job.counters().bytes_down > 100_000
        assert gate.gate.nobody.counters()[:2] == (0, 0)
        (line,) = gate.closes
        # What the burst does not cover takes its time, from the first request on.
        assert float(str(line["wait_down_s"])) > 0.06


# --- where credentials go


async def test_credentials_are_neither_forwarded_nor_logged() -> None:
    async with HttpOrigin() as origin, serving() as gate:
        fields = [basic("a:s3cret-a"), "Authorization: Basic for-the-origin"]
        assert await asked(gate, request=absolute(f"http://ok.test:{origin.port}/", *fields)) == (200, "a")
        assert (await asked(gate, basic("b:s3cret-a")))[0] == 407
        (request,) = origin.requests
        assert request.values(b"proxy-authorization") == []
        assert request.values(b"authorization") == [b"Basic for-the-origin"]
        written = gate.journal_text
    for secret in (
        "s3cret",
        base64.b64encode(b"a:s3cret-a").decode(),
        hashlib.sha256(b"s3cret-a").hexdigest(),
    ):
        assert secret not in written


async def test_strangers_are_nobody_s_in_log_and_counters() -> None:
    async with serving() as gate:
        assert await asked(gate, basic("a:wrong")) == (407, "")
        assert gate.gate.nobody.usage.decisions == {"auth": 1}
        assert all(job.usage.requests == 0 for job in gate.gate.jobs.values())
        assert (await asked(gate, basic("a:s3cret-a")))[1] == "a"
        assert gate.decisions[0]["host"] == "jobgate.internal"


# --- one connection


async def test_connection_is_known_anew_by_every_request() -> None:
    async with serving() as gate, client_of(gate) as client:
        for _ in range(2):
            assert (await client.request(absolute(PROBE, basic("a:s3cret-a")))).status == 200
        assert (await client.request(absolute(PROBE))).status == 407
        assert await client.read_to_end() == b""
        assert [line["job"] for line in gate.decisions] == ["a", "a", ""]


async def test_connection_stays_with_its_first_job() -> None:
    async with serving() as gate, client_of(gate) as client:
        assert (await client.request(absolute(PROBE, basic("a:s3cret-a")))).status == 200
        response = await client.request(absolute(PROBE, basic("b:s3cret:b")))
        assert (response.status, response.value("x-jobgate-reason")) == (407, "auth")
        assert await client.read_to_end() == b""
        assert gate.decisions[-1]["job"] == ""
        assert gate.gate.jobs["b"].connections == 0


async def test_requests_inside_connect_to_80_are_those_of_the_connect() -> None:
    async with HttpOrigin() as origin, serving(port_80=origin.port) as gate, client_of(gate) as client:
        assert (await client.request(connect("ok.test:80", basic("a:s3cret-a")), "CONNECT")).status == 200
        assert (await client.request(head("GET / HTTP/1.1", "Host: ok.test"))).status == 200
        spoofed = head("GET / HTTP/1.1", "Host: ok.test", basic("b:s3cret:b"))
        assert (await client.request(spoofed)).status == 200
        assert [line["job"] for line in gate.decisions] == ["a", "a", "a"]
        assert [request.values(b"proxy-authorization") for request in origin.requests] == [[], []]


# --- jobs that change


async def test_changed_token_ends_what_knew_the_old_one() -> None:
    async with serving() as gate, client_of(gate) as client, client_of(gate) as inside:
        assert (await client.request(absolute(PROBE, basic("a:s3cret-a")))).status == 200
        assert (await inside.request(connect("ok.test:80", basic("a:s3cret-a")), "CONNECT")).status == 200
        job = gate.gate.jobs["a"]
        gate.gate.change_job(replace(job.settings, token_hash=hashlib.sha256(b"new").digest()))
        assert (await client.request(absolute(PROBE, basic("a:s3cret-a")))).status == 407
        assert (await inside.request(head("GET / HTTP/1.1", "Host: ok.test"))).status == 407
        assert await inside.read_to_end() == b""
        assert await asked(gate, basic("a:new")) == (200, "a")


async def test_changed_source_network_is_followed() -> None:
    async with serving() as gate:
        job = gate.gate.jobs["near"]
        gate.gate.change_job(replace(job.settings, clients=(ip_network("127.3.0.0/16"),)))
        assert await asked(gate, source="127.1.2.3") == (407, "")
        assert await asked(gate, source="127.3.2.3") == (200, "near")


async def test_removed_job_is_unknown() -> None:
    """K6."""
    async with serving() as gate, client_of(gate) as client:
        assert (await client.request(absolute(PROBE, basic("a:s3cret-a")))).status == 200
        for job_id in ("a", "near"):
            gate.gate.remove_job(job_id)
        assert await asked(gate, basic("a:s3cret-a")) == (407, "")
        assert await asked(gate, source="127.1.2.3") == (407, "")
        await client.read_to_end()


async def test_expired_is_told_to_its_own_clients_alone() -> None:
    """K6."""
    async with serving() as gate:
        job = gate.gate.jobs["a"]
        gate.gate.change_job(replace(job.settings, expires_at=time.time() - 1))
        async with client_of(gate) as client:
            response = await client.request(absolute(PROBE, basic("a:s3cret-a")))
        assert (response.status, response.value("x-jobgate-reason")) == (403, "expired")
        assert await asked(gate, basic("a:wrong")) == (407, "")


async def test_job_added_later_is_known() -> None:
    async with serving() as gate:
        job = gate.gate.jobs["a"].settings
        gate.gate.add_job(replace(job, id="late", token_hash=hashlib.sha256(b"t").digest()))
        assert await asked(gate, basic("late:t")) == (200, "late")


# --- a listener of the job's own


@pytest.mark.parametrize(
    ("lines", "fields", "source", "expected"),
    [
        pytest.param("", [basic("x:y")], "127.0.0.1", (200, "own"), id="credentials-nobody-asked-for"),
        pytest.param('token = "t"', [basic("own:t")], "127.0.0.1", (200, "own"), id="K3-right"),
        pytest.param('token = "t"', [], "127.0.0.1", (407, ""), id="K3-none"),
        pytest.param('token = "t"', [basic("other:t")], "127.0.0.1", (407, ""), id="K3-other-name"),
        pytest.param('clients = ["127.1.0.0/16"]', [], "127.1.0.1", (200, "own"), id="source"),
        pytest.param('clients = ["127.1.0.0/16"]', [], "127.0.0.1", (403, ""), id="K6-other-source"),
    ],
)
async def test_own_listener_asks_for_what_the_job_has(
    lines: str, fields: list[str], source: str, expected: tuple[int, str]
) -> None:
    async with serving(OWN + lines) as gate:
        assert await asked(gate, *fields, source=source) == expected


async def test_own_token_is_not_known_on_a_shared_listener() -> None:
    async with serving(f'listen.proxy = ["127.0.0.1:1"]\n{OWN}token = "t"') as gate:
        assert (await asked(gate, basic("own:t")))[0] == 407


async def test_token_given_to_an_own_listener_later_is_asked_for() -> None:
    async with serving(OWN) as gate, client_of(gate) as client:
        assert (await client.request(absolute(PROBE))).status == 200
        job = gate.gate.jobs["own"]
        gate.gate.change_job(replace(job.settings, token_hash=hashlib.sha256(b"t").digest()))
        assert (await client.request(absolute(PROBE))).status == 407
        assert await asked(gate, basic("own:t")) == (200, "own")


@asynccontextmanager
async def unix_gate(tmp_path: Path, uids: str) -> AsyncIterator[tuple[RunningGate, str]]:
    path = str(tmp_path / "gate.sock")
    async with serving(OWN.replace('"127.0.0.1:0"', f'"unix:{path}"') + f"peer_uids = {uids}") as gate:
        listener = socket.socket(socket.AF_UNIX)
        listener.bind(path)
        listener.listen()
        gate.gate.listen(gate.gate.jobs["own"], listener)
        yield gate, path


async def ask_by_path(path: str) -> Response:
    sock = socket.socket(socket.AF_UNIX)
    sock.connect(path)
    sock.setblocking(False)
    async with Client(sock) as client:
        return await client.request(absolute(PROBE))


async def test_user_on_the_list_is_heard(tmp_path: Path) -> None:
    """K2."""
    async with unix_gate(tmp_path, f"[{os.getuid()}]") as (gate, path):
        assert (await ask_by_path(path)).status == 200
        assert [(line["job"], line["client"]) for line in gate.decisions] == [("own", "unix")]


async def test_other_users_are_closed_unheard_and_logged(tmp_path: Path) -> None:
    """K2."""
    async with unix_gate(tmp_path, f"[{os.getuid() + 1}]") as (gate, path):
        with pytest.raises((EOFError, BrokenPipeError)):
            await ask_by_path(path)
        await gate.until_closed(1)
        (line,) = gate.decisions
        assert (line["job"], line["client"], line["reason"]) == ("", f"unix:{os.getuid()}", "unknown-job")
        assert gate.closes[0]["status"] is None


# --- floods

LIMITS = "[limits]\nmax_connections_per_job = 2\nmax_connections = 20\n"


async def test_strangers_of_one_source_leave_room_for_those_of_another() -> None:
    async with serving(SHARED + LIMITS) as gate:
        silent = [await Client.connect(gate.shared_ports[0], source="127.9.0.1") for _ in range(5)]
        await until(lambda: len(gate.gate.reception) == 2)
        assert await asked(gate, basic("a:s3cret-a"), source="127.9.0.2") == (200, "a")
        for client in silent[2:]:  # closed unheard
            assert await client.read_to_end() == b""
        for client in silent:
            client.close()
        await until(lambda: len(gate.gate.reception) == 0)
        assert await asked(gate, basic("a:s3cret-a"), source="127.9.0.1") == (200, "a")


async def test_strangers_in_all_take_half_of_the_connections() -> None:
    async with serving(SHARED + LIMITS) as gate:
        sources = [f"127.9.0.{number}" for number in range(1, 12)]
        silent = [await Client.connect(gate.shared_ports[0], source=source) for source in sources]
        assert await silent[-1].read_to_end() == b""
        assert len(gate.gate.reception) == 10
        for client in silent:
            client.close()


async def test_known_connections_are_strangers_no_more() -> None:
    async with serving(SHARED + LIMITS) as gate, client_of(gate) as first, client_of(gate) as second:
        for client in (first, second):
            assert (await client.request(absolute(PROBE, basic("a:s3cret-a")))).status == 200
        assert gate.gate.jobs["a"].connections == 2
        assert gate.gate.nobody.connections == 0
        assert await asked(gate, basic("b:s3cret:b")) == (200, "b")


async def test_connections_over_the_cap_of_a_job_are_told_so() -> None:
    async with serving(SHARED + LIMITS) as gate:
        clients = [await Client.connect(gate.shared_ports[0], source=f"127.9.0.{n}") for n in range(1, 6)]
        statuses = [
            (await client.request(absolute(PROBE, basic("a:s3cret-a")))).status for client in clients[:2]
        ]
        assert statuses == [200, 200]
        for client in clients[2:]:
            response = await client.request(absolute(PROBE, basic("a:s3cret-a")))
            assert (response.status, response.value("x-jobgate-reason")) == (429, "connections")
        for client in clients:
            client.close()
        await until(lambda: gate.gate.jobs["a"].connections == 0 and gate.gate.nobody.connections == 0)


@pytest.mark.parametrize(
    ("request_bytes", "status"),
    [(absolute(PROBE), 407), (b"GET / HTTP/1.1\r\nHost: a\r\n\r\n", 400), (connect("a.test:443"), 407)],
    ids=["http", "bad-target", "connect"],
)
async def test_refused_stranger_keeps_its_place_for_a_while(
    request_bytes: bytes, status: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("jobgate.proxy.connection.FLOOD_PAUSE_S", 3600.0)
    async with serving(SHARED + LIMITS) as gate:
        for _ in range(2):
            assert await asked(gate, source="127.9.0.1", request=request_bytes) == (status, "")
        async with client_of(gate, "127.9.0.1") as client:
            assert await client.read_to_end() == b""
        assert await asked(gate, basic("a:s3cret-a"), source="127.9.0.2") == (200, "a")


async def test_strangers_do_not_outlive_the_gate() -> None:
    async with serving() as gate, client_of(gate) as client:
        await until(lambda: len(gate.gate.reception.open) == 1)
        await gate.close()
        assert await client.read_to_end() == b""
        assert gate.gate.nobody.connections == 0


async def test_own_shared_listener_is_never_a_destination() -> None:
    async with serving() as gate:
        request = connect(f"ok.test:{gate.shared_ports[0]}", basic("a:s3cret-a"))
        async with client_of(gate) as client:
            response = await client.request(request, "CONNECT")
        assert (response.status, response.value("x-jobgate-reason")) == (403, "self")
        closed = connect(f"ok.test:{closed_port()}", basic("a:s3cret-a"))
        assert (await asked(gate, request=closed))[0] == 502
