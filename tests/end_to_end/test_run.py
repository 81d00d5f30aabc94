"""``jobgate run`` as users start it: real gate, real origins, as an ordinary user and as root."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator

import pytest

from support.jobs import (
    COMMAND,
    DEADLINE_S,
    IDENTITIES,
    as_identity,
    common_folder,
    environment,
    only_child,
    read_line,
    read_to_end,
    run,
    running,
    without_warning,
)
from support.net import closed_port
from support.web_origin import pattern
from support.world import FETCH, World, running_world

BOTH_IDENTITIES = pytest.mark.parametrize("identity", IDENTITIES)
PROXY_NAMES = ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY")

CONNECT = """
import socket, sys
kind = {"tcp": socket.SOCK_STREAM, "udp": socket.SOCK_DGRAM}[sys.argv[1]]
family = socket.AF_INET6 if ":" in sys.argv[2] else socket.AF_INET
sock = socket.socket(family, kind)
sock.settimeout(20)
sock.connect((sys.argv[2], int(sys.argv[3])))
"""
# Sends an upload through a tunnel and ends without waiting for anything.
SEND_AND_END = """
import socket, sys
sock = socket.create_connection(("127.0.0.1", 3128))
sock.sendall(b"CONNECT %s HTTP/1.1\\r\\nHost: %s\\r\\n\\r\\n" % ((sys.argv[1].encode(),) * 2))
assert b" 200 " in sock.recv(4096)
sock.sendall(bytes(int(sys.argv[2])))
"""


@pytest.fixture(scope="module")
def world() -> Iterator[World]:
    with running_world() as running:
        yield running


@BOTH_IDENTITIES
@pytest.mark.parametrize("scheme", ["http", "https"])
def test_listed_host_is_reached(world: World, identity: str, scheme: str) -> None:
    done = world.fetch(identity, world.url(scheme, "ok.test"))
    assert done.returncode == 0, done.stderr
    assert os.fsencode(done.stdout) == pattern(5000)
    port = world.origin.plain_port if scheme == "http" else world.origin.tls_port
    assert f"  reached  ok.test:{port}  1 request" in done.stderr


@BOTH_IDENTITIES
@pytest.mark.parametrize("scheme", ["http", "https"])
def test_unlisted_host_is_refused_and_the_option_named(world: World, identity: str, scheme: str) -> None:
    done = world.fetch(identity, world.url(scheme, "other.test"))
    assert done.returncode == 1
    assert "403 Forbidden (jobgate: not-listed)" in done.stderr
    port = "" if scheme == "http" else f":{world.origin.tls_port}"
    assert f"not-listed  --domain other.test{port}\n  ask ops@example.com\n" in done.stderr


def test_listed_host_on_another_port_is_refused(world: World) -> None:
    done = world.fetch("user", f"https://ok.test:{world.raw_port}/")
    assert "403 Forbidden (jobgate: port)" in done.stderr
    assert f"--domain ok.test:{world.raw_port}\n" in done.stderr


def test_name_that_leads_inside_is_refused(world: World) -> None:
    done = world.fetch("user", world.url("http", "inside.test"), *world.options("inside.test"))
    assert "403 Forbidden (jobgate: address)" in done.stderr
    assert "[node] allow_addresses" in done.stderr


def test_denied_host_is_refused(world: World) -> None:
    done = world.fetch("user", world.url("http", "ok.test"), *world.options("ok.test"), "--deny", "ok.test")
    assert "403 Forbidden (jobgate: denied)" in done.stderr
    assert "denied by --deny ok.test\n" in done.stderr


@BOTH_IDENTITIES
def test_origin_is_out_of_reach_without_the_proxy(world: World, identity: str) -> None:
    job = [sys.executable, "-c", CONNECT, "tcp", "127.0.0.1", str(world.origin.plain_port)]
    done = run(identity, *world.options("ok.test"), "--", *job)
    assert done.returncode == 1
    assert "ConnectionRefusedError" in done.stderr


@pytest.mark.parametrize("address", ["192.0.2.1", "2001:db8::1"])
@pytest.mark.parametrize("kind", ["tcp", "udp"])
def test_nothing_leaves_but_through_the_proxy(world: World, kind: str, address: str) -> None:
    job = [sys.executable, "-c", CONNECT, kind, address, "53"]
    done = run("user", *world.options("ok.test"), "--", *job)
    assert "Network is unreachable" in done.stderr


@BOTH_IDENTITIES
def test_network_none_reaches_nothing_and_has_no_proxy(world: World, identity: str) -> None:
    variables = dict.fromkeys(PROXY_NAMES, "http://127.0.0.1:3128")
    for options in (("--network", "none"), ("--config", str(world.configuration))):
        done = world.fetch(identity, world.url("http", "ok.test"), *options, **variables)
        assert done.returncode == 1
        assert "jobgate:" not in done.stderr
        assert "Name or service not known" in done.stderr or "name resolution" in done.stderr


@BOTH_IDENTITIES
def test_network_full_reaches_all_and_says_nothing(world: World, identity: str) -> None:
    url = world.url("http", "127.0.0.1")
    no_proxy = dict.fromkeys(PROXY_NAMES, "")
    done = world.fetch(identity, url, "--network", "full", "--config", str(world.configuration), **no_proxy)
    assert (done.returncode, done.stderr) == (0, "")


def test_job_finds_its_proxy_in_its_variables(world: World) -> None:
    variables = {
        "http_proxy": "http://mine:8080",
        "JAVA_TOOL_OPTIONS": "-Xmx1g",
        "ALL_PROXY": "socks5://mine",
    }
    done = run("user", *world.options("ok.test"), "--", "env", variables=variables)
    seen = dict(line.split("=", 1) for line in done.stdout.splitlines() if "=" in line)
    assert {seen[name] for name in PROXY_NAMES} == {"http://127.0.0.1:3128"}
    assert seen["no_proxy"] == seen["NO_PROXY"] == "localhost,127.0.0.1,::1,192.0.2.7"
    assert seen["NODE_USE_ENV_PROXY"] == "1"
    assert seen["JAVA_TOOL_OPTIONS"].startswith("-Xmx1g -Dhttp.proxyHost=127.0.0.1 ")
    assert seen["PIP_INDEX_URL"] == "https://mirror.example/simple"
    assert "ALL_PROXY" not in seen


@pytest.mark.parametrize("loop", ["uvloop", "asyncio"])
def test_both_loops_serve(world: World, loop: str) -> None:
    done = world.fetch("user", world.url("https", "ok.test"), *world.options("ok.test"), "--loop", loop)
    assert done.returncode == 0, done.stderr


def test_options_may_stand_in_the_environment(world: World) -> None:
    variables = {
        "JOBGATE_CONFIG": str(world.configuration),
        "JOBGATE_DOMAIN": f"ok.test, a.test\tok.test:{world.origin.tls_port}",
        "JOBGATE_SUMMARY": "0",
        "JOBGATE_LOOP": "asyncio",
    }
    job = [sys.executable, "-c", FETCH, world.url("https", "ok.test")]
    done = run("user", "--", *job, variables={"SSL_CERT_FILE": str(world.authority), **variables})
    assert (done.returncode, done.stderr) == (0, "")


@BOTH_IDENTITIES
def test_exit_code_and_streams_are_those_of_the_job(world: World, identity: str) -> None:
    job = ["sh", "-c", "cat; echo error >&2; exit 7"]
    done = run(identity, *world.options("ok.test"), "--no-summary", "--", *job, content=b"through")
    assert (done.returncode, done.stdout, done.stderr) == (7, "through", "error\n")


def test_log_has_decisions_and_ends(world: World) -> None:
    with common_folder() as folder:
        path = folder / "log.jsonl"
        world.fetch("user", world.url("https", "ok.test"), *world.options("ok.test"), "--log", str(path))
        lines = [json.loads(line) for line in path.read_text().splitlines()]
    assert [line["event"] for line in lines] == ["ready", "decision", "close"]
    assert lines[0]["listen"] == {"run": "127.0.0.1:3128"}
    assert (lines[1]["host"], lines[1]["decision"]) == ("ok.test", "allow")
    assert lines[2]["bytes_down"] > 5000


def test_log_that_cannot_be_written_stops_the_job_before_it_begins(world: World) -> None:
    done = run("user", *world.options("ok.test"), "--log", "/nonexistent/log", "--", "echo", "ran")
    assert (done.returncode, done.stdout) == (125, "")
    assert done.stderr == "jobgate: cannot write the log to /nonexistent/log: No such file or directory\n"


@pytest.mark.parametrize(("option", "waits"), [("--rate=2mbit", True), ("--rate=unlimited", False)])
def test_rate_holds_the_download_back(world: World, option: str, waits: bool) -> None:
    with common_folder() as folder:
        path = folder / "log.jsonl"
        url = world.url("http", "ok.test", "/bytes/200000")
        assert world.fetch("user", url, *world.options("ok.test"), option, "--log", str(path)).returncode == 0
        close = json.loads(path.read_text().splitlines()[-1])
    assert (close["wait_down_s"] > 0.2) == waits
    assert close["wait_up_s"] < 0.2


def test_two_jobs_at_once_do_not_share_a_proxy(world: World) -> None:
    waiting = ["sh", "-c", 'echo ready; read go; exec "$@"', "sh", sys.executable, "-c", FETCH]
    url = world.url("http", "ok.test", "/bytes/10")
    variables = {"SSL_CERT_FILE": str(world.authority)}
    with (
        running("user", *world.options("ok.test"), "--", *waiting, url, **variables) as one,
        running("user", *world.options("other.test"), "--", *waiting, url, **variables) as other,
    ):
        for job in (one, other):
            assert read_line(job) == "ready"
        for job in (one, other):
            assert job.stdin is not None
            job.stdin.write(b"go\n")
        assert read_to_end(one) == pattern(10)
        assert read_to_end(other) == b""
        assert (one.wait(DEADLINE_S), other.wait(DEADLINE_S)) == (0, 1)


def test_what_the_job_sent_last_arrives_although_it_has_ended(world: World) -> None:
    job = [sys.executable, "-c", SEND_AND_END, f"ok.test:{world.raw_port}", "150000"]
    with running(
        "user", *world.options("ok.test"), f"--domain=ok.test:{world.raw_port}", "--tls=any", "--", *job
    ) as process:
        client, _ = world.raw.accept()
        client.settimeout(DEADLINE_S)
        with client, client.makefile("rb") as stream:
            assert len(stream.read()) == 150_000
        assert process.wait(DEADLINE_S) == 0


@BOTH_IDENTITIES
@pytest.mark.parametrize("victim", ["launcher", "child", "pid 1"])
def test_killing_any_part_ends_the_job_and_its_connections(world: World, identity: str, victim: str) -> None:
    script = FETCH.replace("urlopen(sys.argv[1], timeout=20).read()", "urlopen(sys.argv[1]).read(6)")
    job = [sys.executable, "-u", "-c", script + "\nimport signal; sys.stdout.flush(); signal.pause()"]
    url = f"http://ok.test:{world.raw_port}/"
    with running(identity, *world.options("ok.test"), "--", *job, url) as process:
        client, _ = world.raw.accept()
        client.settimeout(DEADLINE_S)
        with client:
            client.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\nhello\n")
            assert read_line(process) == "hello"
            pid = process.pid
            if victim != "launcher":
                pid = only_child(pid)
            if victim == "pid 1":
                pid = only_child(pid)
            os.kill(pid, signal.SIGKILL)
            assert read_to_end(process) == b""
            with contextlib.suppress(ConnectionResetError):  # an end of its own kind
                while client.recv(4096):
                    pass
        assert process.wait(DEADLINE_S) == (-9 if victim == "launcher" else 137)


def test_origin_that_is_not_there_is_a_bad_gateway(world: World) -> None:
    port = closed_port()
    with common_folder() as folder:
        configuration = folder / "jobgate.toml"
        configuration.write_text(
            '[node]\nallow_addresses = ["127.0.0.1"]\n[dns.hosts]\n"ok.test" = ["127.0.0.1"]\n'
        )
        url = f"http://ok.test:{port}/"
        done = world.fetch("user", url, "--config", str(configuration), "--domain", "ok.test")
    assert "502 Bad Gateway (jobgate: connect-refused)" in done.stderr


def test_summary_is_plain_where_nobody_reads_it_on_a_terminal(world: World) -> None:
    done = world.fetch("user", world.url("http", "ok.test"))
    assert "\x1b" not in done.stderr
    assert done.stderr.startswith("jobgate: ")


def test_root_is_warned(world: World) -> None:
    command = as_identity("root", [*COMMAND, "run", "true"])
    done = subprocess.run(command, capture_output=True, text=True, env=environment(), check=True)
    assert "running as root" in done.stderr
    assert without_warning(done.stderr) == ""
