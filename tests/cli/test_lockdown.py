from __future__ import annotations

import click
import pytest

from jobgate.cli import call, lockdown
from jobgate.cli.lockdown import lock, loopback_option, require_own_namespace
from jobgate.config.endpoints import parse_listen
from jobgate.gateway.nft import NftError


@pytest.fixture(autouse=True)
def no_rules(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Rules are kept here, and given to no kernel."""
    loaded: list[str] = []
    monkeypatch.setattr(lockdown, "load", loaded.append)
    monkeypatch.setattr(lockdown, "is_machine", lambda: False)
    monkeypatch.setattr(lockdown, "own_ways", lambda: ["a way"])
    monkeypatch.setattr(lockdown, "missing", lambda uid: "")
    return loaded


@pytest.mark.parametrize("text", [None, ""])
def test_listen_may_be_left_out(text: str | None) -> None:
    assert loopback_option(text) is None


@pytest.mark.parametrize("text", ["127.0.0.1:3128", "[::1]:3128", "127.7.7.7:1"])
def test_listen_is_on_loopback(text: str) -> None:
    assert loopback_option(text) == parse_listen(text)


@pytest.mark.parametrize(
    "text", ["0.0.0.0:3128", "192.0.2.1:3128", "127.0.0.1:0", "unix:/run/job.sock", "3128", "localhost:3128"]
)
def test_listen_elsewhere_is_refused(text: str) -> None:
    with pytest.raises(click.UsageError, match=f'^--listen: "{text}": '):
        loopback_option(text)


def test_machine_is_not_locked_by_mistake(
    monkeypatch: pytest.MonkeyPatch, no_rules: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(lockdown, "is_machine", lambda: True)
    assert call(["lockdown"]) == 2
    assert "every other user, logins over the network included, would be cut off" in capsys.readouterr().err
    assert no_rules == []
    assert call(["lockdown", "--whole-machine"]) == 0
    assert len(no_rules) == 1


def test_own_namespace_needs_no_word() -> None:
    require_own_namespace(False, False)


@pytest.mark.parametrize("uid", ["0", "-1", "4294967295", "root"])
def test_uid_that_is_no_gates_is_refused(uid: str, no_rules: list[str]) -> None:
    assert call(["lockdown", "--uid", uid]) == 2
    assert no_rules == []


def test_uid_is_that_of_the_image_unless_said(no_rules: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    assert call(["lockdown"]) == 0
    monkeypatch.setenv("JOBGATE_UID", "1234")
    assert call(["lockdown"]) == 0
    assert ["skuid 65532" in no_rules[0], "skuid 1234" in no_rules[1]] == [True, True]


def test_check_changes_nothing(no_rules: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    assert call(["lockdown", "--check"]) == 0
    monkeypatch.setattr(lockdown, "missing", lambda uid: "eth0 is open")
    assert call(["lockdown", "--check"]) == 1
    assert no_rules == []


def test_rules_that_do_not_hold_are_a_failure(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(lockdown, "missing", lambda uid: "eth0 (IPv4) is open to every user")
    assert call(["lockdown"]) == 1
    assert capsys.readouterr().err == (
        "jobgate: no lockdown is in force: eth0 (IPv4) is open to every user\n"
    )


@pytest.mark.parametrize(
    ("error", "hint"),
    [
        ("nft: Could not process rule: No such file or directory: chain egress {", True),
        ("the rules need CAP_NET_ADMIN over this network namespace", False),
    ],
    ids=["egress", "capability"],
)
def test_rules_that_are_refused_are_a_failure(
    error: str, hint: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(rules: str) -> None:
        raise NftError(error)

    monkeypatch.setattr(lockdown, "load", refuse)
    with pytest.raises(click.ClickException) as raised:
        lock(65532, None, True)
    assert raised.value.message.startswith(f"nothing is locked: {error}")
    assert ("--without-egress-hook" in raised.value.message) is hint


def test_egress_hook_may_be_left_out(no_rules: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("socket.if_nameindex", lambda: [(1, "lo"), (2, "eth0")])
    assert call(["lockdown", "--without-egress-hook"]) == 0
    assert call(["lockdown"]) == 0
    assert ['devices = { "eth0" }' in rules for rules in no_rules] == [False, True]
