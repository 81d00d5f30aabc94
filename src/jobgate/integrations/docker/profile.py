"""A seccomp profile of an engine, with sockets of the hypervisor (AF_VSOCK) closed. Pure.

Source: the format of Docker's and Podman's profiles (``--security-opt seccomp=FILE``),
in which every rule that matches allows.
"""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator

PLACES = ("/etc/containers/seccomp.json", "/usr/share/containers/seccomp.json")
"""Where distributions keep the profile of Podman, which Docker reads as well."""
FAMILIES = (socket.AF_UNIX, socket.AF_INET, socket.AF_INET6, socket.AF_NETLINK)
"""What a job may open; the same as under ``jobgate run``."""
OTHER_WAYS = frozenset({"socketcall", "io_uring_setup", "io_uring_enter", "io_uring_register"})
"""Calls that open a socket of any family without ``socket``, out of a filter's sight."""
_NETLINK_AUDIT = 9


class ProfileError(ValueError):
    """Not a profile, or one that cannot be closed."""


def close_vsock(text: str) -> str:
    """The same profile, with sockets of four families only, whatever call they are made by.

    Raises:
        ProfileError: It allows by default, or has another form.
    """
    try:
        profile = json.loads(text)
        if profile["defaultAction"] == "SCMP_ACT_ALLOW":
            raise ProfileError("allows by default")
        rules = [_without_socket(rule) for rule in profile["syscalls"]]
        profile["syscalls"] = [rule for rule in rules if rule["names"]] + list(_socket_rules())
    except (KeyError, TypeError, json.JSONDecodeError) as error:
        raise ProfileError(f"has no form that is known: {error!r}") from error
    return json.dumps(profile)


def _without_socket(rule: dict[str, object]) -> dict[str, object]:
    names = rule["names"]
    if not isinstance(names, list):
        raise TypeError("names")
    return {**rule, "names": [name for name in names if name != "socket" and name not in OTHER_WAYS]}


def _socket_rules() -> Iterator[dict[str, object]]:
    for family in FAMILIES:
        arguments = [{"index": 0, "value": int(family), "op": "SCMP_CMP_EQ"}]
        if family == socket.AF_NETLINK:
            arguments.append({"index": 2, "value": _NETLINK_AUDIT, "op": "SCMP_CMP_NE"})
        yield {"names": ["socket"], "action": "SCMP_ACT_ALLOW", "args": arguments}
