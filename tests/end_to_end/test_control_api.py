"""A real gateway: jobs come by the API, are used by real clients, change, and go."""

from __future__ import annotations

import asyncio
import itertools
import json
import os
import re
import select
import shlex
import shutil
import ssl
import stat
import subprocess
import sys
import textwrap
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import TypeVar

import pytest
import trustme

import jobgate
from jobgate.client.values import Job, Usage
from support.net import free_port
from support.serve import COMMAND, ENVIRONMENT, Served, serve
from support.site import need
from support.web_origin import WebOrigin, pattern, web_origin

T = TypeVar("T")
needs_openssl = pytest.mark.skipif(
    shutil.which("openssl") is None, reason="needs openssl: it makes the token"
)
ROOT = Path(__file__).resolve().parents[2]
FILE = """
[node]
allow_addresses = ["127.0.0.1"]
connect_ports = ["1-65535"]
http_ports = ["1-65535"]
[dns]
hosts = {{ "ok.test" = ["127.0.0.1"], "other.test" = ["127.0.0.1"] }}
[listen]
control = "{folder}/run/control.sock"
proxy = ["127.0.0.1:{port}"]
"""
FILED = """
[[job]]
id = "filed"
network = "http"
listen = "127.0.0.1:0"
domains = ["ok.test"]
"""


@pytest.fixture(scope="module")
def origin() -> Iterator[WebOrigin]:
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    trustme.CA().issue_cert("ok.test").configure_cert(tls)
    with web_origin(tls) as running:
        yield running


@pytest.fixture
def gateway(tmp_path: Path) -> Iterator[Served]:
    (tmp_path / "run").mkdir()
    (tmp_path / "gate.toml").write_text(FILE.format(folder=tmp_path, port=free_port()) + FILED)
    with serve(tmp_path / "gate.toml") as running:
        yield running


def asked(folder: Path, question: Callable[[jobgate.Client], Awaitable[T]]) -> T:
    """Ask the gateway of this folder."""

    async def ask() -> T:
        async with jobgate.Client(str(folder / "run" / "control.sock")) as client:
            return await question(client)

    return asyncio.run(ask())


def command(folder: Path, *args: str) -> str:
    """Run a command of jobgate against the gateway of this folder."""
    environment = {**ENVIRONMENT, "JOBGATE_CONTROL": str(folder / "run" / "control.sock")}
    done = subprocess.run([*COMMAND, *args], capture_output=True, text=True, env=environment, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


def fetched(variables: dict[str, str], url: str) -> tuple[bytes, str]:
    """Fetch a URL with curl and a job's variables; the content, and what ended it."""
    done = subprocess.run(
        [need("curl"), "--silent", "--show-error", "--fail", "--max-time", "20", url],
        capture_output=True,
        env={"PATH": os.environ["PATH"], **variables},
        check=False,
    )
    return done.stdout, done.stderr.decode()


def test_socket_is_for_its_owner_alone(gateway: Served, tmp_path: Path) -> None:
    assert stat.S_IMODE((tmp_path / "run" / "control.sock").stat().st_mode) == 0o600


def test_job_is_added_used_changed_and_removed(gateway: Served, origin: WebOrigin, tmp_path: Path) -> None:
    url = f"http://ok.test:{origin.plain_port}/bytes/5000"
    command(tmp_path, "jobs", "add", "train", "--domain", "ok.test")
    variables: dict[str, str] = json.loads(command(tmp_path, "env", "train", "--format", "json"))
    assert fetched(variables, url) == (pattern(5000), "")

    usage: Usage = asked(tmp_path, lambda client: client.usage("train"))
    (reached,) = usage.reached
    assert (reached.authority, reached.requests) == (f"ok.test:{origin.plain_port}", 1)
    assert usage.live.bytes_down == reached.bytes_down > 5000

    command(tmp_path, "jobs", "set", "train", "--domain", "other.test")
    content, said = fetched(variables, url)
    assert (content, "403" in said) == (b"", True)
    usage = asked(tmp_path, lambda client: client.usage("train"))
    (refused,) = usage.refused
    assert (refused.reason, refused.count, refused.proposals[0]) == ("not-listed", 1, "ok.test")
    command(tmp_path, "jobs", "set", "train", "--domain", refused.proposals[0])
    assert fetched(variables, url)[0] == pattern(5000)

    command(tmp_path, "jobs", "remove", "train")
    assert "Failed to connect" in fetched(variables, url)[1]
    actions = [
        line["action"] for line in gateway.lines if line["event"] == "policy" and line.get("job") == "train"
    ]
    assert actions[0] == "add"
    assert actions[-1] == "remove"


def test_tunnel_ends_when_its_permission_does(gateway: Served, origin: WebOrigin, tmp_path: Path) -> None:
    authority = f"ok.test:{origin.plain_port}"

    async def scenario(client: jobgate.Client) -> bytes:
        settings = {"network": "http", "listen": "127.0.0.1:0", "domains": ["ok.test"], "tls": "any"}
        job: Job = await client.put_job("tunnel", settings)
        host, _, port = str(job.listen).rpartition(":")
        reader, writer = await asyncio.open_connection(host, int(port))
        writer.write(f"CONNECT {authority} HTTP/1.1\r\nHost: {authority}\r\n\r\n".encode())
        head = await reader.readuntil(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 200 ")
        await client.patch_job("tunnel", {"rate_up": "1MB"})
        writer.write(b"GET /bytes/10 HTTP/1.1\r\nHost: ok.test\r\n\r\n")
        assert (await reader.readuntil(pattern(10))).startswith(b"HTTP/1.1 200 ")
        await client.patch_job("tunnel", {"domains": ["other.test"]})
        try:
            rest = await asyncio.wait_for(reader.read(), 10)
        except ConnectionResetError:
            rest = b""
        writer.close()
        return rest

    assert asked(tmp_path, scenario) == b""
    assert gateway.line_with(event="close", job="tunnel")["reason"] == "revoked"


def test_token_lets_a_client_in_on_a_shared_listener(
    gateway: Served, origin: WebOrigin, tmp_path: Path
) -> None:
    url = f"http://ok.test:{origin.plain_port}/bytes/10"
    token = command(tmp_path, "jobs", "add", "known", "--domain", "ok.test", "--token").split()[-1]
    variables: dict[str, str] = json.loads(
        command(tmp_path, "env", "known", "--format", "json", "--token", token)
    )
    assert fetched(variables, url) == (pattern(10), "")
    without = {name: value.replace(token, "x" * 43) for name, value in variables.items()}
    assert "407" in fetched(without, url)[1]
    assert token not in json.dumps(gateway.lines)


def test_fifty_jobs_come_and_go_and_leave_nothing() -> None:
    script = ROOT / "benchmarks" / "api.py"
    done = subprocess.run(
        [sys.executable, str(script), "--jobs", "50", "--rounds", "4", "--quiet", "0.2", "--json"],
        capture_output=True,
        text=True,
        env=ENVIRONMENT,
        check=False,
        timeout=50,
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["api_ms"]["DELETE"]["n"] == found["revoked_ms"]["n"] == 200
    spare = 4  # the pipe of bulk, and a connection to the origin under way; a leak would be of a hundred
    assert max(found["descriptors"][1:]) <= found["descriptors"][0] + spare
    assert found["peak"]["descriptors"] >= found["descriptors"][0] + 150 - spare
    start, first, *_, last = found["rss_mib"]
    assert last - first < 1  # 150 jobs more, each of 22 kB while it is there
    assert last - start < 4


def page_block(language: str, beginning: str) -> str:
    """The block of docs/api.md that begins so."""
    text = (ROOT / "docs" / "api.md").read_text()
    (block,) = re.findall(f"```{language}\n({re.escape(beginning)}.*?)```", text, re.DOTALL)
    return str(block)


def with_jobgate(folder: Path) -> dict[str, str]:
    """An environment that has the command, and the control API of a gateway of this folder."""
    (folder / "jobgate").write_text(f'#!/bin/sh\nexec {shlex.join(COMMAND)} "$@"\n')
    (folder / "jobgate").chmod(0o755)
    path = f"{folder}:{os.environ['PATH']}"
    return {**ENVIRONMENT, "PATH": path, "JOBGATE_CONTROL": str(folder / "run" / "control.sock")}


def test_examples_of_the_documentation_work(gateway: Served, tmp_path: Path) -> None:
    text = (ROOT / "docs" / "api.md").read_text()
    examples = [line.removeprefix("$ ") for line in text.splitlines() if line.startswith("$ curl ")]
    assert len(examples) > 10
    socket = shlex.quote(str(tmp_path / "run" / "control.sock"))
    for example in examples:
        curl = example.replace(
            "curl ", f"curl --silent --show-error --fail-with-body --unix-socket {socket} ", 1
        )
        done = subprocess.run(["sh", "-c", curl], capture_output=True, text=True, check=False)
        assert (done.returncode, done.stderr) == (0, ""), f"{example}\n{done.stdout}"


def test_command_lines_of_the_documentation_work(gateway: Served, tmp_path: Path) -> None:
    block = page_block("", "jobgate jobs add ")
    environment = with_jobgate(tmp_path)
    done = subprocess.run(
        ["sh", "-ec", f"{block}env"], env=environment, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert "\nhttps_proxy=http://127.0.0.1:" in done.stdout
    assert '"vision"' in done.stdout


@pytest.fixture
def by_token(tmp_path: Path) -> Iterator[Callable[[str], str]]:
    """A gateway as docs/api.md has it on TCP; the function gives a text of it port and folder."""
    port = free_port()

    def here(text: str) -> str:
        return text.replace(":9900", f":{port}").replace("/etc/jobgate", str(tmp_path))

    create, *_ = page_block("", "(umask 077").splitlines()
    subprocess.run(["sh", "-ec", here(create)], check=True)
    (tmp_path / "gate.toml").write_text(here(page_block("toml", '[listen]\ncontrol = "127.0.0.1:')) + FILED)
    with serve(tmp_path / "gate.toml"):
        yield here


@needs_openssl
def test_token_of_the_documentation_opens_the_api_on_tcp(
    by_token: Callable[[str], str], tmp_path: Path
) -> None:
    assert stat.S_IMODE((tmp_path / "token").stat().st_mode) == 0o600
    _, *lines = by_token(page_block("", "(umask 077")).splitlines()
    environment = {**with_jobgate(tmp_path), "JOBGATE_CONFIG": str(tmp_path / "gate.toml")}
    del environment["JOBGATE_CONTROL"]
    for line in (*lines, "jobgate jobs list"):  # the last finds both by the file
        done = subprocess.run(
            ["sh", "-c", line], env=environment, capture_output=True, text=True, check=False
        )
        assert (done.returncode, "filed" in done.stdout) == (0, True), f"{line}: {done.stdout}{done.stderr}"


@needs_openssl
def test_python_of_the_documentation_puts_a_job_and_sees_its_events(
    by_token: Callable[[str], str], tmp_path: Path
) -> None:
    """With the arguments that its comment names."""
    block = page_block("python", "import jobgate\n")
    (arguments,) = re.findall(r"jobgate\.Client\(\).*# (.*)", block)
    token = (tmp_path / "token").read_text().strip()
    arguments = by_token(arguments).replace("token=...", f"token={token!r}")
    code = block.replace("jobgate.Client()", f"jobgate.Client({arguments})")
    program = f"import asyncio\nasync def main():\n{textwrap.indent(code, '    ')}\nasyncio.run(main())"
    running = [sys.executable, "-u", "-c", program]
    with subprocess.Popen(running, stdout=subprocess.PIPE, env=ENVIRONMENT, text=True) as example:
        assert example.stdout is not None
        assert re.match(r"127\.0\.0\.1:[0-9]+ \{'http_proxy': 'http://127", example.stdout.readline())
        rates = itertools.cycle(["1mbit", "2mbit"])
        environment = {**ENVIRONMENT, "JOBGATE_CONFIG": str(tmp_path / "gate.toml")}
        while not select.select([example.stdout], [], [], 0)[0]:  # it may not listen yet
            change = [*COMMAND, "jobs", "set", "train-42", "--rate-down", next(rates)]
            subprocess.run(change, env=environment, check=True)
        assert example.stdout.readline().startswith("policy {")
        example.terminate()
