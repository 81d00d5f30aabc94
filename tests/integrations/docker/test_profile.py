from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from jobgate.integrations.docker.profile import PLACES, ProfileError, close_vsock

PROFILE = {
    "defaultAction": "SCMP_ACT_ERRNO",
    "archMap": [],
    "syscalls": [
        {"names": ["read", "socket", "socketcall"], "action": "SCMP_ACT_ALLOW", "args": []},
        {"names": ["socket"], "action": "SCMP_ACT_ALLOW", "includes": {"caps": ["CAP_AUDIT_WRITE"]}},
        {"names": ["io_uring_setup"], "action": "SCMP_ACT_ALLOW"},
    ],
}


def families(profile: dict[str, Any]) -> list[int]:
    """The first argument of ``socket`` in each rule that allows it."""
    return [rule["args"][0]["value"] for rule in profile["syscalls"] if "socket" in rule["names"]]


def test_sockets_are_of_four_families() -> None:
    closed = json.loads(close_vsock(json.dumps(PROFILE)))
    assert families(closed) == [1, 2, 10, 16]
    assert closed["archMap"] == []


def test_no_other_call_makes_sockets() -> None:
    closed = json.loads(close_vsock(json.dumps(PROFILE)))
    assert {name for rule in closed["syscalls"] for name in rule["names"]} == {"read", "socket"}


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "{}",
        '{"defaultAction": "SCMP_ACT_ALLOW", "syscalls": []}',
        '{"defaultAction": "x", "syscalls": [1]}',
    ],
)
def test_what_is_no_profile_is_refused(text: str) -> None:
    with pytest.raises(ProfileError):
        close_vsock(text)


def test_profile_of_this_machine_can_be_closed() -> None:
    found = next((place for place in map(Path, PLACES) if place.exists()), None)
    if found is None:
        pytest.skip("no profile of Podman's is installed")
    assert families(json.loads(close_vsock(found.read_text()))) == [1, 2, 10, 16]
