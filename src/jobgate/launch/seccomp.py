"""The filter in front of a job's system calls, as BPF program bytes. Pure.

A network namespace does not hold every kind of socket: AF_VSOCK reaches the
hypervisor from inside one, and several rarer families ignore namespaces too. So
a job may create sockets of four families, by two system calls, and by no other
way: not through io_uring (which creates sockets without them), nor through the
32-bit or x32 system calls (whose numbers or arguments this filter cannot read).
Typing into the terminal of the shell outside (TIOCSTI, TIOCLINUX) is refused as well.

Source: seccomp(2), Linux ``include/uapi/linux/{seccomp,audit,bpf_common}.h``.
"""

from __future__ import annotations

import errno
import socket
import struct
from dataclasses import dataclass

FAMILIES = (socket.AF_UNIX, socket.AF_INET, socket.AF_INET6, socket.AF_NETLINK)
"""Families that a network namespace confines."""

ALLOW = 0x7FFF0000
KILL_PROCESS = 0x80000000
_ERRNO = 0x00050000
UNSUPPORTED_FAMILY = _ERRNO | errno.EAFNOSUPPORT
UNKNOWN_CALL = _ERRNO | errno.ENOSYS
FORBIDDEN = _ERRNO | errno.EPERM

IO_URING_CALLS = (425, 426, 427)  # setup, enter, register: the same numbers everywhere
TERMINAL_REQUESTS = (0x5412, 0x541C)  # TIOCSTI, TIOCLINUX
X32_CALLS = 0x40000000

_LOAD_WORD = 0x20
_JUMP_EQUAL = 0x15
_JUMP_GREATER_OR_EQUAL = 0x35
_RETURN = 0x06
_CALL_NUMBER, _ARCHITECTURE = 0, 4  # offsets in struct seccomp_data
_FIRST_ARGUMENT, _SECOND_ARGUMENT = 16, 24  # their low words: both machines are little-endian
_INSTRUCTION = struct.Struct("=HBBI")


@dataclass(frozen=True, slots=True)
class Machine:
    """Where one processor family differs."""

    architecture: int
    socket: int
    socketpair: int
    ioctl: int
    has_x32: bool = False


MACHINES = {
    "x86_64": Machine(0xC000003E, socket=41, socketpair=53, ioctl=16, has_x32=True),
    "aarch64": Machine(0xC00000B7, socket=198, socketpair=199, ioctl=29),
}


@dataclass(frozen=True, slots=True)
class _Step:
    """One instruction; a jump goes to ``target`` where its test holds, else one step on."""

    code: int
    value: int
    target: str = ""
    label: str = ""


def program(machine: str) -> bytes:
    """The filter for a machine as ``uname -m`` calls it.

    Raises:
        ValueError: No filter is known for this machine.
    """
    if machine not in MACHINES:
        raise ValueError(f"no system call filter for {machine}: only {', '.join(MACHINES)}")
    return _assemble(_steps(MACHINES[machine]))


def _steps(machine: Machine) -> list[_Step]:
    calls = [
        _Step(_JUMP_EQUAL, machine.socket, "family"),
        _Step(_JUMP_EQUAL, machine.socketpair, "family"),
        *(_Step(_JUMP_EQUAL, number, "unknown") for number in IO_URING_CALLS),
        _Step(_JUMP_EQUAL, machine.ioctl, "ioctl"),
    ]
    if machine.has_x32:
        calls.insert(0, _Step(_JUMP_GREATER_OR_EQUAL, X32_CALLS, "unknown"))
    return [
        _Step(_LOAD_WORD, _ARCHITECTURE),
        _Step(_JUMP_EQUAL, machine.architecture, "number"),
        _Step(_RETURN, KILL_PROCESS),
        _Step(_LOAD_WORD, _CALL_NUMBER, label="number"),
        *calls,
        _Step(_RETURN, ALLOW),
        _Step(_LOAD_WORD, _FIRST_ARGUMENT, label="family"),
        *(_Step(_JUMP_EQUAL, family, "accepted") for family in FAMILIES),
        _Step(_RETURN, UNSUPPORTED_FAMILY),
        _Step(_LOAD_WORD, _SECOND_ARGUMENT, label="ioctl"),
        *(_Step(_JUMP_EQUAL, request, "forbidden") for request in TERMINAL_REQUESTS),
        _Step(_RETURN, ALLOW, label="accepted"),
        _Step(_RETURN, UNKNOWN_CALL, label="unknown"),
        _Step(_RETURN, FORBIDDEN, label="forbidden"),
    ]


def _assemble(steps: list[_Step]) -> bytes:
    places = {step.label: place for place, step in enumerate(steps) if step.label}
    return b"".join(
        _INSTRUCTION.pack(
            step.code, places[step.target] - place - 1 if step.target else 0, 0, step.value & 0xFFFFFFFF
        )
        for place, step in enumerate(steps)
    )
