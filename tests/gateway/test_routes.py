from __future__ import annotations

from pathlib import Path

import pytest

from jobgate.gateway.routes import is_machine, own_families, own_route_interfaces, route_interfaces
from support.netns import namespace, needs_namespaces

HEAD = "Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT\n"
DEFAULT4 = "eth0\t00000000\t0100000A\t0003\t0\t0\t0\t00000000\t0\t0\t0\n"
ONLINK4 = "veth7\t0000000A\t00000000\t0001\t0\t0\t0\t0000FFFF\t0\t0\t0\n"
ZERO = "0" * 32
LOOPBACK6 = f"{ZERO[:-1]}1 80 {ZERO} 00 {ZERO} 00000000 00000004 00000000 80200001       lo\n"
REJECT6 = f"{ZERO} 00 {ZERO} 00 {ZERO} ffffffff 00000001 00000000 00200200       lo\n"
REJECT6_ETH = REJECT6.replace("lo\n", "eth1\n")
LINK6 = f"fe80{ZERO[4:]} 40 {ZERO} 00 {ZERO} 00000100 00000001 00000000 00000001     eth0\n"


@pytest.mark.parametrize(
    ("ipv4", "ipv6", "interfaces"),
    [
        ("", "", []),
        (HEAD, LOOPBACK6 + REJECT6, []),
        (HEAD + DEFAULT4, "", ["eth0"]),
        (HEAD + ONLINK4 + DEFAULT4, LINK6, ["eth0", "veth7"]),
        (HEAD, LOOPBACK6 + LINK6, ["eth0"]),
        (HEAD, REJECT6_ETH, []),
    ],
    ids=["no tables", "loopback only", "default", "on-link", "IPv6 link", "reject"],
)
def test_route_interfaces(ipv4: str, ipv6: str, interfaces: list[str]) -> None:
    assert route_interfaces(ipv4, ipv6) == interfaces


def test_own_route_interfaces_reads_both_tables(tmp_path: Path) -> None:
    (tmp_path / "route").write_text(HEAD + ONLINK4)
    (tmp_path / "ipv6_route").write_text(LINK6)
    assert own_route_interfaces(tmp_path) == ["eth0", "veth7"]
    assert own_families(tmp_path) == (["veth7"], ["eth0"])


def test_kernel_without_ipv6_has_no_such_routes(tmp_path: Path) -> None:
    (tmp_path / "route").write_text(HEAD)
    assert own_route_interfaces(tmp_path) == []


def test_own_table_is_readable() -> None:
    assert "lo" not in own_route_interfaces()


def test_machine_is_known_by_its_backlog(tmp_path: Path) -> None:
    assert not is_machine(tmp_path)
    (tmp_path / "netdev_max_backlog").touch()
    assert is_machine(tmp_path)


@needs_namespaces
def test_container_is_no_machine() -> None:
    with namespace() as other:
        shown = other.run("ls", "/proc/sys/net/core").split()
    assert "somaxconn" in shown
    assert "netdev_max_backlog" not in shown
