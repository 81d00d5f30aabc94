"""The job's namespaces, made from inside by the processes that will live in them.

``enter`` runs in the launcher's child, the rest in its pid 1. As an ordinary user
all of it needs one user namespace, in which uid and gid stay what they are; a
process that may create namespaces as it is (root) needs none.
"""

from __future__ import annotations

import fcntl
import os
import socket
import struct
from pathlib import Path

from . import linux
from .errors import Step, during

PROXY_ADDRESS = "127.0.0.1"
PROXY_PORT = 3128

_CAP_SYS_ADMIN = 21
_SIOCGIFFLAGS = 0x8913
_SIOCSIFFLAGS = 0x8914
_IFF_UP = 1
_INTERFACE_REQUEST = struct.Struct("16sH22x")
_RUN_DIRECTORIES = ("/run", "/var/run")
_RUN_OPTIONS = "mode=0755,size=64m"
# uid 0 may write these without any capability; the list that container engines keep read-only.
_ROOT_READ_ONLY = ("/proc/sys", "/proc/sysrq-trigger", "/proc/irq", "/proc/bus", "/proc/fs", "/sys")


def needs_user_namespace() -> bool:
    """Whether this process cannot create namespaces as it is."""
    for line in Path("/proc/self/status").read_text().splitlines():
        key, _, value = line.partition(":")
        if key == "CapEff":
            return not int(value, 16) >> _CAP_SYS_ADMIN & 1
    return True


def enter(*, user_namespace: bool) -> None:
    """Move to new network, mount and IPC namespaces, and the next child to a new PID namespace.

    Raises:
        SetupError: The system does not allow it.
    """
    if user_namespace:
        uid, gid = os.geteuid(), os.getegid()
        with during(Step.USER_NAMESPACE):
            linux.unshare(linux.CLONE_NEWUSER)
        with during(Step.ID_MAP):
            Path("/proc/self/setgroups").write_text("deny")
            Path("/proc/self/uid_map").write_text(f"{uid} {uid} 1")
            Path("/proc/self/gid_map").write_text(f"{gid} {gid} 1")
    with during(Step.NAMESPACES):
        linux.unshare(linux.CLONE_NEWNET | linux.CLONE_NEWNS | linux.CLONE_NEWPID | linux.CLONE_NEWIPC)


def raise_loopback() -> None:
    """Switch ``lo`` on: a new network namespace has it, but down."""
    with during(Step.LOOPBACK), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        request = fcntl.ioctl(sock, _SIOCGIFFLAGS, _INTERFACE_REQUEST.pack(b"lo", 0))
        flags = _INTERFACE_REQUEST.unpack(request)[1]
        fcntl.ioctl(sock, _SIOCSIFFLAGS, _INTERFACE_REQUEST.pack(b"lo", flags | _IFF_UP))


def bind_proxy() -> socket.socket:
    """The proxy's socket, bound: it stays in this network namespace whoever serves it."""
    with during(Step.PROXY):
        sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        sock.bind((PROXY_ADDRESS, PROXY_PORT))
        return sock


def arrange_mounts(*, keep_run: bool, read_only: bool) -> None:
    """Give the job a ``/proc`` of its own processes, and an empty ``/run``.

    Args:
        keep_run: Leave the host's ``/run``, with the sockets of its services, in sight.
        read_only: Also bar writing to what uid 0 may change without a capability.

    Raises:
        SetupError: The system does not allow it.
    """
    with during(Step.MOUNTS):
        # Slave, not private: what the host mounts later (autofs) appears here, never the reverse.
        linux.mount("", "/", "", linux.MS_REC | linux.MS_SLAVE)
    with during(Step.PROC):
        linux.mount("proc", "/proc", "proc", linux.MS_NOSUID | linux.MS_NODEV | linux.MS_NOEXEC)
    if not keep_run:
        for directory in _RUN_DIRECTORIES:
            _mask(directory)
        _leave_masked_directory()
    if read_only:
        with during(Step.MOUNTS):
            for path in filter(os.path.exists, _ROOT_READ_ONLY):
                _make_read_only(path)


def _make_read_only(path: str) -> None:
    # A mount point is changed in place: a bind over it would hide what is mounted below.
    if not os.path.ismount(path):
        linux.mount(path, path, "", linux.MS_BIND)
    flags = linux.MS_BIND | linux.MS_REMOUNT | linux.MS_RDONLY
    linux.mount("", path, "", flags | linux.MS_NOSUID | linux.MS_NODEV | linux.MS_NOEXEC)


def _mask(directory: str) -> None:
    path = Path(directory)
    if path.is_symlink() or not path.is_dir():
        return
    with during(Step.RUN):
        linux.mount("tmpfs", directory, "tmpfs", linux.MS_NOSUID | linux.MS_NODEV, _RUN_OPTIONS)


def _leave_masked_directory() -> None:
    """Look up the working directory anew: held open, it would lead behind the mask."""
    with during(Step.DIRECTORY):
        current = os.getcwd()
        if any(f"{current}/".startswith(f"{directory}/") for directory in _RUN_DIRECTORIES):
            os.chdir(current)
