"""System calls that Python 3.11 has no name for, through the C library.

Each function is one call; a failure is an ``OSError`` whose ``filename`` is the
name of the call. Nothing here decides anything.
"""

from __future__ import annotations

import ctypes
import errno
import os
import signal
import struct
from collections.abc import Iterable
from typing import NamedTuple

CLONE_NEWNS = 0x00020000
CLONE_NEWIPC = 0x08000000
CLONE_NEWUSER = 0x10000000
CLONE_NEWPID = 0x20000000
CLONE_NEWNET = 0x40000000

MS_RDONLY = 1
MS_NOSUID = 2
MS_NODEV = 4
MS_NOEXEC = 8
MS_REMOUNT = 32
MS_BIND = 4096
MS_REC = 16384
MS_SLAVE = 1 << 19

_PR_SET_PDEATHSIG = 1
_PR_SET_DUMPABLE = 4
_PR_SET_SECCOMP = 22
_PR_CAPBSET_DROP = 24
_PR_SET_NO_NEW_PRIVS = 38
_PR_CAP_AMBIENT = 47
_PR_CAP_AMBIENT_CLEAR_ALL = 4
_SECCOMP_MODE_FILTER = 2
_CAPABILITY_VERSION_3 = 0x20080522
_CAPABILITY_SETS = 6  # effective, permitted, inheritable; each as two words
_MAX_CAPABILITY = 63  # the sets are 64 bits wide; the kernel says where its own list ends
_SYS_CLOSE_RANGE = 436  # the same number on every architecture
_MAX_DESCRIPTOR = 0xFFFFFFFF
_SIGNALFD_NONBLOCK_CLOEXEC = os.O_NONBLOCK | os.O_CLOEXEC
_SIGNAL_SET_BYTES = 128  # sigset_t of glibc and musl
_SIGNAL_RECORD = struct.Struct("=IiiI112x")  # signalfd_siginfo: signo, errno, code, pid

SI_KERNEL = 0x80
"""``si_code`` of a signal that the kernel itself sent: a key at the terminal, a hang-up."""

_libc = ctypes.CDLL(None, use_errno=True)


class SignalRecord(NamedTuple):
    """One signal taken from a ``signalfd``."""

    number: int
    code: int


def _check(result: int, call: str) -> int:
    if result == -1:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), call)
    return result


def _prctl(option: int, *values: int) -> None:
    padded = (*values, 0, 0, 0, 0)[:4]
    _check(_libc.prctl(option, *(ctypes.c_ulong(value) for value in padded)), "prctl")


def unshare(flags: int) -> None:
    """Move this process (for a PID namespace: its later children) to new namespaces."""
    _check(_libc.unshare(flags), "unshare")


def setns(descriptor: int, flags: int) -> None:
    """Move this thread to the namespace that a descriptor of ``/proc/PID/ns`` leads to."""
    _check(_libc.setns(descriptor, flags), "setns")


def mount(source: str, target: str, kind: str, flags: int, data: str = "") -> None:
    """Mount, bind or change a mount; parts without meaning are empty."""
    result = _libc.mount(
        source.encode(), target.encode(), kind.encode(), ctypes.c_ulong(flags), data.encode()
    )
    _check(result, "mount")


def set_parent_death_signal(number: int) -> None:
    """Have the kernel send this signal when the parent ends. A change of credentials undoes it."""
    _prctl(_PR_SET_PDEATHSIG, number)


def forbid_tracing() -> None:
    """Close this process's memory and descriptors to others of the same user, until it execs."""
    _prctl(_PR_SET_DUMPABLE, 0)


def set_no_new_privileges() -> None:
    """Let no later exec gain a privilege (set-user-ID, file capabilities)."""
    _prctl(_PR_SET_NO_NEW_PRIVS, 1)


def drop_capabilities() -> None:
    """Empty all five capability sets, for this process and whatever it execs."""
    for capability in range(_MAX_CAPABILITY + 1):
        try:
            _prctl(_PR_CAPBSET_DROP, capability)
        except OSError as error:
            if error.errno != errno.EINVAL:
                raise
            break
    _prctl(_PR_CAP_AMBIENT, _PR_CAP_AMBIENT_CLEAR_ALL)
    header = (ctypes.c_uint32 * 2)(_CAPABILITY_VERSION_3, 0)
    empty = (ctypes.c_uint32 * _CAPABILITY_SETS)()
    _check(_libc.capset(ctypes.byref(header), ctypes.byref(empty)), "capset")


class _FilterProgram(ctypes.Structure):
    _fields_ = [("length", ctypes.c_ushort), ("instructions", ctypes.c_char_p)]


def install_filter(program: bytes) -> None:
    """Put a BPF program (8 bytes per instruction) in front of every later system call."""
    record = _FilterProgram(len(program) // 8, program)
    result = _libc.prctl(
        _PR_SET_SECCOMP, ctypes.c_ulong(_SECCOMP_MODE_FILTER), ctypes.byref(record), ctypes.c_ulong(0)
    )
    _check(result, "seccomp")


def close_from(first: int) -> None:
    """Close every descriptor from ``first`` on."""
    result = _libc.syscall(
        ctypes.c_long(_SYS_CLOSE_RANGE),
        ctypes.c_ulong(first),
        ctypes.c_ulong(_MAX_DESCRIPTOR),
        ctypes.c_ulong(0),
    )
    _check(result, "close_range")


def open_signal_descriptor(numbers: Iterable[signal.Signals]) -> int:
    """A non-blocking descriptor that yields these signals, which must be blocked."""
    bits = sum(1 << (number - 1) for number in numbers)
    mask = ctypes.create_string_buffer(bits.to_bytes(_SIGNAL_SET_BYTES, "little"), _SIGNAL_SET_BYTES)
    return _check(_libc.signalfd(-1, mask, _SIGNALFD_NONBLOCK_CLOEXEC), "signalfd")


def read_signals(descriptor: int) -> list[SignalRecord]:
    """The signals that are pending on a signal descriptor; none is an empty list."""
    records: list[SignalRecord] = []
    while True:
        try:
            raw = os.read(descriptor, _SIGNAL_RECORD.size)
        except BlockingIOError:
            return records
        number, _, code, _ = _SIGNAL_RECORD.unpack(raw)
        records.append(SignalRecord(number, code))
