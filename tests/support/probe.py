"""Looks around from inside a job and prints what it found, as JSON. Standard library only.

Arguments: the pid of its launcher, then ``name=value`` places outside that it must not reach.
"""

from __future__ import annotations

import ctypes
import errno
import json
import os
import signal
import socket
import sys
from collections.abc import Callable, Iterable
from pathlib import Path

AF_VSOCK, AF_ALG = 40, 38
SYS_IO_URING_SETUP, SYS_PIDFD_GETFD = 425, 438
TIOCSTI = 0x5412
PTRACE_ATTACH = 16
MS_BIND = 4096
NEW_USER, NEW_MOUNT, NEW_NET = 0x10000000, 0x00020000, 0x40000000
SIOCSIFFLAGS = 0x8914

libc = ctypes.CDLL(None, use_errno=True)


def outcome(action: Callable[[], object]) -> str:
    """``ok``, or the name of the error."""
    try:
        action()
    except OSError as error:
        return errno.errorcode[error.errno or 0]
    return "ok"


def call(result: int) -> int:
    if result < 0:
        raise OSError(ctypes.get_errno(), "call")
    return result


def status(process: str = "self") -> dict[str, str]:
    lines = Path(f"/proc/{process}/status").read_text().splitlines()
    fields = dict(line.split(":", 1) for line in lines)
    return {
        name: fields[name].strip()
        for name in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb", "NoNewPrivs")
    }


def open_socket(family: int, kind: int, protocol: int = 0) -> str:
    return outcome(lambda: socket.socket(family, kind, protocol).close())


def reach(family: int, kind: int, address: tuple[str, int] | bytes) -> str:
    """Whether a direct connection, or datagram, leaves the namespace."""
    with socket.socket(family, kind) as sock:
        sock.settimeout(5)
        return outcome(lambda: sock.connect(address))


def in_child(action: Callable[[], object]) -> str:
    """The outcome of an action that changes its process for good."""
    reader, writer = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.write(writer, outcome(action).encode())
        os._exit(0)
    os.close(writer)
    os.waitpid(pid, 0)
    with os.fdopen(reader) as stream:
        return stream.read()


def as_nested_root(then: Callable[[], object]) -> Callable[[], None]:
    """Become the owner of a new user and mount namespace first, with all of its capabilities."""

    def action() -> None:
        call(libc.unshare(NEW_USER | NEW_MOUNT))
        then()

    return action


def switch_loopback_off() -> None:
    import fcntl
    import struct

    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        fcntl.ioctl(sock, SIOCSIFFLAGS, struct.pack("16sH22x", b"lo", 0))


def interfaces_of_a_new_network() -> None:
    call(libc.unshare(NEW_NET))
    if [name for _, name in socket.if_nameindex()] != ["lo"]:
        raise OSError(errno.ENOTUNIQ, "more than loopback")


def write_to(path: str) -> str:
    return outcome(lambda: os.close(os.open(path, os.O_WRONLY)))


def pids() -> list[int]:
    return sorted(int(name) for name in os.listdir("/proc") if name.isdecimal())


def look(launcher_pid: int, places: dict[str, str]) -> dict[str, object]:
    """Everything that a test asks about."""
    return {
        "status": status(),
        "status_of_pid_1": status("1"),
        "ids": [os.getuid(), os.getgid()],
        # One more is the listing itself.
        "descriptors": [int(name) for name in os.listdir("/proc/self/fd")][:-1],
        "pids": pids(),
        "own_pid": os.getpid(),
        "run": sorted(os.listdir("/run")),
        "interfaces": [name for _, name in socket.if_nameindex()],
        "namespaces": {
            name: os.readlink(f"/proc/self/ns/{name}") for name in ("net", "pid", "mnt", "ipc", "user")
        },
        "sockets": {
            "unix": open_socket(socket.AF_UNIX, socket.SOCK_STREAM),
            "inet": open_socket(socket.AF_INET, socket.SOCK_STREAM),
            "inet6": open_socket(socket.AF_INET6, socket.SOCK_STREAM),
            "netlink": open_socket(socket.AF_NETLINK, socket.SOCK_RAW),
            "vsock": open_socket(AF_VSOCK, socket.SOCK_STREAM),
            "packet": open_socket(socket.AF_PACKET, socket.SOCK_RAW),
            "alg": open_socket(AF_ALG, socket.SOCK_SEQPACKET),
            "raw": open_socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP),
            "io_uring": outcome(
                lambda: call(libc.syscall(SYS_IO_URING_SETUP, 1, ctypes.create_string_buffer(120)))
            ),
        },
        "reached": reached(places),
        "launcher": {
            "kill": outcome(lambda: os.kill(launcher_pid, 0)),
            "trace pid 1": outcome(lambda: call(libc.ptrace(PTRACE_ATTACH, 1, None, None))),
            "take a descriptor of pid 1": outcome(lambda: take_descriptors(os.pidfd_open(1))),
            "memory of pid 1": outcome(lambda: os.close(os.open("/proc/1/mem", os.O_RDONLY))),
        },
        "nested": {
            "no new network": in_child(as_nested_root(switch_loopback_off)),
            "a new network": in_child(as_nested_root(interfaces_of_a_new_network)),
            "uncover /run": in_child(as_nested_root(lambda: call(libc.umount2(b"/run", 0)))),
            "look below /run": in_child(
                as_nested_root(lambda: call(libc.mount(b"/", b"/mnt", None, MS_BIND, None)))
            ),
        },
        "writes": {path: write_to(path) for path in ("/proc/sys/kernel/core_pattern", "/proc/sysrq-trigger")},
        "terminal": outcome(lambda: call(libc.ioctl(0, TIOCSTI, b"x"))),
        "signals": {
            "blocked": sorted(signal.pthread_sigmask(signal.SIG_BLOCK, ())),
            "ignored": ignored(),
        },
    }


def ignored() -> list[int]:
    """Signals that were ignored when this program began, less those that Python ignores itself."""
    with open("/proc/self/status") as stream:
        mask = next(int(line.split()[1], 16) for line in stream if line.startswith("SigIgn"))
    return [n for n in range(1, 65) if mask >> n - 1 & 1 and n not in (signal.SIGPIPE, signal.SIGXFSZ)]


def take_descriptors(pidfd: int) -> None:
    for number in range(3, 16):
        call(libc.syscall(SYS_PIDFD_GETFD, pidfd, number, 0))


def reached(places: dict[str, str]) -> dict[str, str]:
    return {
        "tcp": reach(socket.AF_INET, socket.SOCK_STREAM, ("192.0.2.1", 80)),
        "udp": reach(socket.AF_INET, socket.SOCK_DGRAM, ("192.0.2.1", 53)),
        "tcp6": reach(socket.AF_INET6, socket.SOCK_STREAM, ("2001:db8::1", 80)),
        "udp6": reach(socket.AF_INET6, socket.SOCK_DGRAM, ("2001:db8::1", 53)),
        "host tcp": reach(socket.AF_INET, socket.SOCK_STREAM, ("127.0.0.1", int(places["tcp"]))),
        "host tcp6": reach(socket.AF_INET6, socket.SOCK_STREAM, ("::1", int(places["tcp6"]))),
        "host abstract": reach(socket.AF_UNIX, socket.SOCK_STREAM, b"\0" + places["abstract"].encode()),
    }


def main(arguments: Iterable[str]) -> None:
    launcher_pid, *places = arguments
    print(json.dumps(look(int(launcher_pid), dict(place.split("=", 1) for place in places))))  # noqa: T201


if __name__ == "__main__":
    main(sys.argv[1:])
