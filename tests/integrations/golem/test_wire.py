"""Golem's names and its real list over the wire: what a job may reach when a gate enforces them."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager
from pathlib import Path

import pytest

from jobgate.config.load import ConfigError, load_text
from jobgate.integrations.allowlist import as_toml
from jobgate.integrations.golem.whitelist import import_patterns, read_whitelist
from support.gate import DialHook, FakeResolver, RunningGate, loopback_gate, running_gate
from support.messages import connect
from support.origin import Origin, echo

LIST = Path(__file__).parents[2] / "data" / "golem" / "domain_whitelist.json"

#: The job only reports what its own list would refuse: what is refused, the node's list refuses.
JOB = """
allow_addresses = ["127.0.0.1"]
[[job]]
id = "job"
network = "http"
listen = "127.0.0.1:0"
mode = "report"
tls = "any"
"""


async def statuses(gate: RunningGate, hosts: Sequence[str]) -> dict[str, int]:
    """Ask for a tunnel to port 443 of each host."""
    found = {}
    for host in hosts:
        async with gate.client() as client:
            found[host] = (await client.request(connect(f"{host}:443"), "CONNECT")).status
    return found


def gate_of(origin: Origin, *domains: str) -> AbstractAsyncContextManager[RunningGate]:
    return loopback_gate(domains=domains, node="connect_ports = [443]", dialer=DialHook({443: origin.port}))


def gate_with_list(origin: Origin, *, expressions: bool = True) -> AbstractAsyncContextManager[RunningGate]:
    imported = import_patterns(read_whitelist(LIST.read_text(), LIST.name), expressions=expressions)
    return running_gate(
        as_toml(imported, "Golem's list") + JOB,
        resolver=FakeResolver.everything("127.0.0.1"),
        dialer=DialHook({443: origin.port}),
    )


@pytest.mark.parametrize(
    ("domains", "allowed", "refused"),
    [
        pytest.param(
            ["domain.com"], ["domain.com", "DOMAIN.COM", "domain.com."],
            ["xdomain.com", "domain.comx", "x.domain.com"], id="M1-M2",
        ),
        pytest.param(
            ["domain.com"], [], ["hackered-domain.com", "mydomain.com", "domain.com.hacked.pro"], id="M3"
        ),
        pytest.param(
            [".domain.com"], ["valid.domain.com", "a.b.domain.com", "domain.com"],
            ["mydomain.com", "domain.com.hacked.pro", "domainxcom"], id="M4",
        ),
        pytest.param(["a.com", "b.com"], ["a.com", "b.com"], ["c.com"], id="M5"),
    ],
)  # fmt: skip
async def test_names(domains: list[str], allowed: list[str], refused: list[str]) -> None:
    async with Origin(echo) as origin, gate_of(origin, *domains) as gate:
        assert await statuses(gate, [*allowed, *refused]) == {
            **dict.fromkeys(allowed, 200),
            **dict.fromkeys(refused, 403),
        }
        assert len(origin.peers) == len(allowed)


def test_m6_empty_list_is_an_error() -> None:
    with pytest.raises(ConfigError, match="at least one domain"):
        load_text('[[job]]\nid = "a"\nnetwork = "http"\nlisten = "127.0.0.1:0"\ndomains = []\n')


M7 = [
    "github.com", "api.github.com", "codeload.github.com", "pypi.dev.golem.network", "a.b.dev.golem.network",
    "69.55.231.8", "geth2.golem.network",
]  # fmt: skip
M8 = [
    "raw.githubusercontent.com", "www.github.com", "index.example", "xdev.golem.network",
    "pypi.dev.golem.network.evil.com", "aleph.gutenberg.org", "3.122.207.84", "static.crates.io",
    "xbor.golem.network", "bor1.golem.network.evil.com", "bor1x.golem.network", "a.bor1.golem.network",
]  # fmt: skip
M9 = ["bor12.golem.network", "geth7.golem.network"]


async def test_m7_m8_m9_real_list_is_enforced() -> None:
    async with Origin(echo) as origin, gate_with_list(origin) as gate:
        found = await statuses(gate, [*M7, *M8, "dev.golem.network", *M9])
        assert found == {**dict.fromkeys([*M7, "dev.golem.network", *M9], 200), **dict.fromkeys(M8, 403)}
        assert len(origin.peers) == len(M7) + 3


async def test_m9_by_leading_dots_alone_expressions_are_refused() -> None:
    async with Origin(echo) as origin, gate_with_list(origin, expressions=False) as gate:
        assert await statuses(gate, ["dev.golem.network", *M9]) == {
            "dev.golem.network": 200,
            **dict.fromkeys(M9, 403),
        }


def test_expression_bounds_jobs_and_is_no_entry_of_one() -> None:
    imported = import_patterns(read_whitelist(LIST.read_text(), LIST.name))
    configuration = as_toml(imported, "Golem's list") + JOB.replace(
        'mode = "report"', 'domains = ["geth7.golem.network"]'
    )
    assert load_text(configuration).jobs[0].policy.domains.entries() == ["geth7.golem.network"]
    with pytest.raises(ConfigError, match=r'"xgeth7[.]golem[.]network" is not covered'):
        load_text(configuration.replace('domains = ["geth7', 'domains = ["xgeth7'))
    expression = r"'regex:^geth[0-9]*\.golem\.network$'"
    with pytest.raises(ConfigError, match="only the node's own allow list"):
        load_text(configuration.replace('domains = ["geth7.golem.network"]', f"domains = [{expression}]"))


async def test_g2_names_on_one_address_are_told_apart() -> None:
    """Golem lets both pass: it compares addresses."""
    async with Origin(echo) as origin, gate_of(origin, "allowed.test") as gate:
        assert await statuses(gate, ["allowed.test", "forbidden.test", "127.0.0.1"]) == {
            "allowed.test": 200,
            "forbidden.test": 403,
            "127.0.0.1": 403,
        }
        assert len(origin.peers) == 1
