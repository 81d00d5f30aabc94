from __future__ import annotations

import pytest

from jobgate.config.load import load_text
from jobgate.config.settings import Settings
from jobgate.gateway.weakening import weakenings

ENTRANCE = '[listen]\ncontrol = ""\nproxy = ["127.0.0.1:3999"]\n'


def node(text: str) -> Settings:
    return load_text(f"[node]\n{text}\n")


def job(text: str, *, above: str = "") -> Settings:
    return load_text(
        f'{ENTRANCE}{above}\n[[job]]\nid = "a"\nnetwork = "http"\nlisten = "127.0.0.1:3128"\n{text}\n'
    )


def unix_job(text: str) -> Settings:
    return load_text(
        f'[[job]]\nid = "a"\nnetwork = "http"\nlisten = "unix:/run/a"\ndomains = ["a.test"]\n{text}\n'
    )


@pytest.mark.parametrize(
    ("old", "new", "found"),
    [
        ('networks = ["http"]', 'networks = ["http", "full"]', ['node.networks: jobs may ask for "full"']),
        ('allow = ["a.test"]', "", ["node.allow: the list is gone, the jobs' own lists decide"]),
        ('allow = ["a.test"]', 'allow = [".a.test"]', ['node.allow: ".a.test" may be reached']),
        ('allow = [".a.test"]', 'allow = ["b.a.test:8443"]', []),
        ('allow = [".a.test"]', 'allow = ["b.a.test:22"]', ['node.allow: "b.a.test:22" may be reached']),
        ("", 'allow = ["a.test"]', []),
        (
            'allow = ["a.test"]',
            r"""allow = ["a.test", 'regex:^x[0-9]\.b\.test$']""",
            [r'node.allow: "regex:^x[0-9]\\.b\\.test$" may be reached'],
        ),
        (r"""allow = ['regex:^x[0-9]\.b\.test$']""", 'allow = ["x1.b.test"]', []),
        ('allow = [".b.test"]', r"""allow = ['regex:^x[0-9]\.b\.test$']""", []),
        ('deny = [".a.test"]', 'deny = ["a.test"]', ['node.deny: ".a.test" is no longer denied']),
        ('deny = ["a.test:22"]', 'deny = ["a.test"]', []),
        ('deny = ["a.test"]', 'deny = ["a.test:443"]', ['node.deny: "a.test" is no longer denied']),
        (
            'deny_addresses = ["10.0.0.0/8"]',
            'deny_addresses = ["10.0.0.0/9"]',
            ['node.deny_addresses: "10.0.0.0/8" is no longer denied'],
        ),
        ('deny_addresses = ["10.0.0.1:80"]', 'deny_addresses = ["10.0.0.0/8"]', []),
        (
            "",
            'allow_addresses = ["127.0.0.1:8081"]',
            ['node.allow_addresses: "127.0.0.1:8081" is no longer guarded'],
        ),
        ('allow_addresses = ["10.0.0.0/8"]', 'allow_addresses = ["10.1.0.0/16", "10.2.0.1:80"]', []),
        (
            'allow_addresses = ["10.0.0.1:80"]',
            'allow_addresses = ["10.0.0.1"]',
            ['node.allow_addresses: "10.0.0.1" is no longer guarded'],
        ),
        (
            'allow_addresses = ["10.0.0.0/8"]',
            'allow_addresses = ["::1"]',
            ['node.allow_addresses: "::1" is no longer guarded'],
        ),
        ("", "connect_ports = [443, 8443]", ["node.connect_ports: 443,8443 instead of 443"]),
        ("", "http_ports = [80]", []),
        ('http_ports = ["80-90"]', "http_ports = [91]", ["node.http_ports: 91 instead of 80-90"]),
        ("", 'mode = "report"', ['node.mode: refusals by list are only logged ("report")']),
        ('mode = "report"', "", []),
        ("", "close_revoked = false", ["node.close_revoked: tunnels that a new policy refuses go on"]),
        ('max_rate_up = "1mbit"', 'max_rate_up = "unlimited"', []),
    ],
    ids=[
        "network accepted",
        "allow list gone",
        "allow list wider",
        "allowed name and port inside",
        "port outside",
        "allow list made",
        "expression added",
        "expression made a name",
        "suffix made an expression",
        "suffix denied no more",
        "every port denied",
        "one port denied",
        "range denied no more",
        "range denied",
        "address lifted",
        "less lifted",
        "every port lifted",
        "other family lifted",
        "connect port",
        "fewer ports",
        "other ports",
        "report",
        "enforce",
        "revoked go on",
        "rate",
    ],
)
def test_weakening_of_a_node(old: str, new: str, found: list[str]) -> None:
    assert weakenings(node(old), node(new)) == found


@pytest.mark.parametrize(
    ("old", "new", "found"),
    [
        ('domains = ["a.test"]', 'domains = [".a.test"]', ['job a: domains: ".a.test" may be reached']),
        ('domains = [".a.test"]', 'domains = ["b.a.test"]', []),
        (
            'domains = ["a.test"]\ndeny = ["b.test"]',
            'domains = ["a.test"]',
            ['job a: deny: "b.test" is no longer denied'],
        ),
        (
            'domains = ["a.test"]',
            'domains = ["a.test"]\ntls = "any"',
            ['job a: tls: tunnels may carry anything ("any")'],
        ),
        ('domains = ["a.test"]\ntls = "any"', 'domains = ["a.test"]', []),
        (
            'domains = ["a.test"]',
            'domains = ["a.test"]\nmode = "report"',
            ['job a: mode: refusals by list are only logged ("report")'],
        ),
        (
            'domains = ["a.test"]\ntoken = "secret"',
            'domains = ["a.test"]',
            ["job a: token: none is asked for any more"],
        ),
        ('domains = ["a.test"]\ntoken = "secret"', 'domains = ["a.test"]\ntoken = "other"', []),
        (
            'domains = ["a.test"]\nclients = ["10.0.0.0/8"]',
            'domains = ["a.test"]',
            ["job a: clients: any source network will do"],
        ),
        (
            'domains = ["a.test"]\nclients = ["10.1.0.0/16"]',
            'domains = ["a.test"]\nclients = ["10.1.2.0/24", "10.2.0.0/16"]',
            ['job a: clients: "10.2.0.0/16" is taken for the job'],
        ),
        ('domains = ["a.test"]', 'domains = ["a.test"]\nrate_up = "1gbit"', []),
    ],
    ids=[
        "wider",
        "narrower",
        "denied no more",
        "any bytes",
        "tls again",
        "report",
        "no token",
        "other token",
        "any source",
        "further source",
        "rate",
    ],
)
def test_weakening_of_a_job(old: str, new: str, found: list[str]) -> None:
    assert weakenings(job(old), job(new)) == found


@pytest.mark.parametrize(
    ("old", "new", "found"),
    [
        ("peer_uids = [1]", "", ["job a: peer_uids: any user may connect"]),
        ("peer_uids = [1]", "peer_uids = [3, 2]", ["job a: peer_uids: 2, 3 may connect"]),
        ("peer_uids = [1, 2]", "peer_uids = [1]", []),
        ("", "peer_uids = [1]", []),
    ],
    ids=["any user", "other users", "fewer users", "users named"],
)
def test_weakening_of_a_unix_listener(old: str, new: str, found: list[str]) -> None:
    assert weakenings(unix_job(old), unix_job(new)) == found


def test_job_that_gets_a_network_is_one_weakening() -> None:
    old = load_text('[[job]]\nid = "a"\n')
    assert weakenings(old, job('domains = ["a.test"]')) == ['job a: network: "http" instead of "none"']
    assert weakenings(job('domains = ["a.test"]'), old) == []


def test_new_job_is_none() -> None:
    assert weakenings(Settings(), job('domains = ["a.test"]')) == []


def test_job_that_follows_a_reporting_node_is_one() -> None:
    above = '[node]\nmode = "report"\n'
    old = job('domains = ["a.test"]\nmode = "enforce"', above=above)
    new = job('domains = ["a.test"]', above=above)
    assert weakenings(old, new) == ['job a: mode: refusals by list are only logged ("report")']
