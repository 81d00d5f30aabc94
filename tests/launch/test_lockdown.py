"""What a job may not do any more, whoever started it."""

from __future__ import annotations

import pytest

from support.jobs import Findings


@pytest.mark.parametrize("name", ["CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"])
def test_capability_set_is_empty(name: str, findings: Findings) -> None:
    assert findings["status"][name] == "0" * 16


@pytest.mark.parametrize("name", ["CapPrm", "CapEff", "CapBnd"])
def test_pid_1_has_given_up_its_capabilities_too(name: str, findings: Findings) -> None:
    assert findings["status_of_pid_1"][name] == "0" * 16


def test_exec_gains_no_privilege(findings: Findings) -> None:
    assert findings["status"]["NoNewPrivs"] == "1"


@pytest.mark.parametrize("family", ["unix", "inet", "inet6", "netlink"])
def test_confined_family_can_be_used(family: str, findings: Findings) -> None:
    assert findings["sockets"][family] == "ok"


@pytest.mark.parametrize("family", ["vsock", "packet", "alg"])
def test_other_family_is_unsupported(family: str, findings: Findings) -> None:
    assert findings["sockets"][family] == "EAFNOSUPPORT"


def test_raw_socket_needs_a_capability(findings: Findings) -> None:
    assert findings["sockets"]["raw"] == "EPERM"


def test_io_uring_does_not_exist(findings: Findings) -> None:
    assert findings["sockets"]["io_uring"] == "ENOSYS"


def test_typing_into_the_terminal_is_forbidden(findings: Findings) -> None:
    """Not ENOTTY, which standard input, no terminal, would say."""
    assert findings["terminal"] == "EPERM"
