from __future__ import annotations

import re
import subprocess

import pytest

from jobgate.config.endpoints import Endpoint, parse_listen
from jobgate.gateway.lockdown_rules import ruleset
from support.netns import namespace, needs_namespaces
from support.pod import needs_nft


def at(text: str) -> Endpoint:
    where = parse_listen(text)
    assert isinstance(where, Endpoint)
    return where


def chain(rules: str, name: str) -> list[str]:
    """The rules of one chain, without white space around them."""
    found = re.search(rf"chain {name} \{{\n(.*?)\n +\}}", rules, re.DOTALL)
    assert found is not None
    return [line.strip() for line in found[1].splitlines() if line.strip()]


def test_only_the_gate_and_loopback_are_accepted_of_what_has_a_user() -> None:
    rules = chain(ruleset(65532, ["eth0"]), "output")
    assert rules[0] == "type filter hook output priority filter; policy drop;"
    refuse = rules.index("meta skuid 0-4294967294 goto refuse")
    assert rules[1] == 'oifname "lo" accept'
    assert rules[2].startswith("meta skuid 65532 meta priority != 0:5 ")
    assert refuse == 3


def test_everything_is_one_transaction_that_begins_by_removing_what_was_there() -> None:
    rules = ruleset(1000, ["eth0"])
    for family in ("inet", "netdev"):
        head = f"table {family} jobgate\ndelete table {family} jobgate\ntable {family} jobgate {{\n"
        assert rules.count(head) == 1


def test_every_base_chain_of_ip_drops_by_policy() -> None:
    assert re.findall(r"hook (\w+) priority filter; policy (\w+);", ruleset(1, ())) == [
        ("output", "drop"),
        ("input", "drop"),
        ("forward", "drop"),
    ]


def test_interfaces_are_closed_to_packet_sockets() -> None:
    assert 'devices = { "eth0", "net1" }' in ruleset(1, ["eth0", "net1"])
    assert "hook egress" not in ruleset(1, ())


@pytest.mark.parametrize(
    ("listen", "rule"),
    [
        ("127.0.0.1:3128", "ip daddr 127.0.0.1 tcp dport 3128 accept"),
        ("[::1]:80", "ip6 daddr ::1 tcp dport 80 accept"),
    ],
    ids=["IPv4", "IPv6"],
)
def test_listener_is_all_of_loopback_where_it_is_named(listen: str, rule: str) -> None:
    rules = ruleset(65532, (), at(listen))
    assert chain(rules, "loopback") == [rule, "goto refuse"]
    assert chain(rules, "output")[1] == (
        'oifname "lo" meta skuid 0-4294967294 meta skuid != 65532 goto loopback'
    )


@pytest.mark.parametrize("name", ['e"0', "e 0", "e}0", "e0*", "", "é0"])
def test_interface_that_could_end_a_rule_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match="cannot write rules"):
        ruleset(1, [name])


@needs_namespaces
@needs_nft
@pytest.mark.parametrize("listen", [None, at("127.0.0.1:3128"), at("[::1]:3128")], ids=str)
def test_nft_and_the_kernel_take_them(listen: Endpoint | None) -> None:
    with namespace() as made:
        made.run("ip", "link", "add", "some-0.1", "type", "veth", "peer", "name", "some_1")
        rules = ruleset(4294967294, ["some-0.1", "some_1"], listen)
        command = made.command("nft", "--check", "--file", "-")
        done = subprocess.run(command, input=rules, stderr=subprocess.PIPE, text=True, check=False)
        assert (done.returncode, done.stderr) == (0, "")
