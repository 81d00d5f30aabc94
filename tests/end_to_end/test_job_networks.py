"""Jobs in network namespaces of their own: known by where they come from, or by a listener inside."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest

from support.netns import Namespace, connect, namespace, needs_namespaces
from support.serve import COMMAND, ENVIRONMENT, Served, serve

pytestmark = [
    needs_namespaces,
    pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed"),
]

PROBE = "http://jobgate.internal/denials"
CONFIGURATION = """
[listen]
control = ""
proxy = ["10.77.1.1:3128", "10.77.2.1:3128", "[fd77:1::1]:3128"]
[[job]]
id = "first"
network = "http"
clients = ["10.77.1.0/24", "fd77:1::/64"]
domains = ["first.test"]
[[job]]
id = "second"
network = "http"
clients = ["10.77.2.2"]
token = "t"
domains = ["second.test"]
[[job]]
id = "inside"
network = "http"
listen = "127.0.0.1:3128"
netns = "{inside}"
domains = ["inside.test"]
"""


@dataclass(frozen=True, slots=True)
class Network:
    """A gateway's namespace between those of two jobs, and the gateway in it."""

    gateway: Namespace
    first: Namespace
    second: Namespace
    served: Served


@pytest.fixture(scope="module")
def network(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Network]:
    with ExitStack() as stack:
        gateway, first, second = (stack.enter_context(namespace()) for _ in range(3))
        connect(gateway, "10.77.1.1/24", first, "10.77.1.2/24", "first")
        first.run("ip", "address", "add", "fd77:1::2/64", "dev", "first", "nodad")
        gateway.run("ip", "address", "add", "fd77:1::1/64", "dev", "first", "nodad")
        connect(gateway, "10.77.2.1/24", second, "10.77.2.2/24", "second")
        second.run("ip", "address", "add", "10.77.2.3/24", "dev", "second")
        path = tmp_path_factory.mktemp("gateway") / "jobgate.toml"
        path.write_text(CONFIGURATION.format(inside=second.path))
        served = stack.enter_context(serve(path, inside=gateway.command()))
        yield Network(gateway, first, second, served)


def ask(inside: Namespace, proxy: str, *options: str) -> str:
    """Send one request; return the status."""
    command = ["curl", "-sS", "-o", "/dev/null", "-w", "%{http_code}", "--max-time", "10", "-x", proxy]
    done = subprocess.run(
        inside.command(*command, *options, PROBE), capture_output=True, text=True, timeout=30
    )
    return done.stdout if done.returncode == 0 else done.stderr


def test_job_is_known_by_its_network(network: Network) -> None:
    """K8."""
    assert ask(network.first, "http://10.77.1.1:3128") == "200"
    line = network.served.line_with(event="decision", job="first")
    assert str(line["client"]).startswith("10.77.1.2:")


def test_job_is_known_by_its_network_over_ipv6(network: Network) -> None:
    assert ask(network.first, "http://[fd77:1::1]:3128") == "200"
    line = network.served.line_with(event="decision", job="first", method="GET", host="jobgate.internal")
    assert line["decision"] == "allow"


def test_job_with_a_token_shows_both(network: Network) -> None:
    assert ask(network.second, "http://second:t@10.77.2.1:3128") == "200"
    assert ask(network.second, "http://10.77.2.1:3128") == "407"
    assert ask(network.second, "http://second:x@10.77.2.1:3128") == "407"
    assert ask(network.second, "http://second:t@10.77.2.1:3128", "--interface", "10.77.2.3") == "403"


def test_another_job_s_token_is_worth_nothing_elsewhere(network: Network) -> None:
    assert ask(network.first, "http://second:t@10.77.1.1:3128") == "403"


def test_source_that_no_job_has_is_unknown(network: Network) -> None:
    assert ask(network.second, "http://10.77.2.1:3128", "--interface", "10.77.2.3") == "403"
    line = network.served.line_with(event="decision", reason="unknown-job")
    assert line["job"] == ""


def test_listener_inside_a_namespace_is_that_job_s(network: Network) -> None:
    assert ask(network.second, "http://127.0.0.1:3128") == "200"
    assert network.served.line_with(event="decision", job="inside", decision="allow")
    assert network.served.listeners["inside"] == "127.0.0.1:3128"


@pytest.mark.parametrize("outside", ["gateway", "first"])
def test_listener_inside_a_namespace_is_nobody_else_s(network: Network, outside: str) -> None:
    assert "Failed to connect" in ask(getattr(network, outside), "http://127.0.0.1:3128")


def test_namespace_that_is_not_there_stops_the_start(tmp_path: Path) -> None:
    path = tmp_path / "jobgate.toml"
    path.write_text(
        '[listen]\ncontrol = ""\n[[job]]\nid = "j"\nnetwork = "http"\nlisten = "127.0.0.1:3128"\n'
        'netns = "no-such-name"\ndomains = ["a.test"]\n'
    )
    done = subprocess.run(
        [*COMMAND, "serve", "--config", str(path)],
        capture_output=True,
        text=True,
        env=ENVIRONMENT,
        timeout=30,
    )
    assert done.returncode == 1
    assert (
        "job j: cannot listen on 127.0.0.1:3128: there is no network namespace /run/netns/no-such-name"
        in (done.stderr)
    )
