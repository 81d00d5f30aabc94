"""Run a command where a part of the isolation is forbidden, in one of the ways that machines do it.

``python forbidding.py WAY COMMAND…``; nothing changes outside.
"""

from __future__ import annotations

import errno
import os
import struct
import sys
from pathlib import Path

from jobgate.launch import linux

_UNSHARE = {"x86_64": 272, "aarch64": 97}


def limit(kind: str) -> None:
    """In a user namespace of our own, allow no namespace of this kind; then give up its privileges."""
    uid, gid = os.geteuid(), os.getegid()
    linux.unshare(linux.CLONE_NEWUSER)
    Path("/proc/self/setgroups").write_text("deny")
    Path("/proc/self/uid_map").write_text(f"{uid} {uid} 1")
    Path("/proc/self/gid_map").write_text(f"{gid} {gid} 1")
    Path(f"/proc/sys/user/max_{kind}_namespaces").write_text("0")
    linux.drop_capabilities()


def powerless_root() -> None:
    """Be uid 0 without any capability."""
    linux.drop_capabilities()


def unmapped() -> None:
    """Be nobody in a user namespace that maps no ids."""
    linux.unshare(linux.CLONE_NEWUSER)
    linux.drop_capabilities()


def filtered() -> None:
    """Refuse unshare by a system call filter, as container engines do."""
    instruction = struct.Struct("=HBBI")
    steps = [(0x20, 0, 0, 0), (0x15, 0, 1, _UNSHARE[os.uname().machine])]
    steps += [(0x06, 0, 0, 0x00050000 | errno.EPERM), (0x06, 0, 0, 0x7FFF0000)]
    linux.set_no_new_privileges()
    linux.install_filter(b"".join(instruction.pack(*step) for step in steps))


def masked_proc() -> None:
    """Cover a part of /proc, as container engines do; needs root."""
    linux.unshare(linux.CLONE_NEWNS)
    linux.mount("", "/", "", linux.MS_REC | linux.MS_SLAVE)
    linux.mount("tmpfs", "/proc/bus", "tmpfs", linux.MS_RDONLY)


WAYS = {
    "max_user_namespaces": lambda: limit("user"),
    "max_net_namespaces": lambda: limit("net"),
    "powerless root": powerless_root,
    "unmapped": unmapped,
    "seccomp": filtered,
    "masked /proc": masked_proc,
}


def main() -> None:
    """Forbid, then become the command."""
    WAYS[sys.argv[1]]()
    os.execvp(sys.argv[2], sys.argv[2:])  # noqa: S606  the test's own command line


if __name__ == "__main__":
    main()
