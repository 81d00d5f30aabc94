"""Why the system refused a part of the isolation, and which setting forbids it.

The caller hands in how files are read, so that every machine can be told in a test.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from .errors import SetupError, Step

_NAMESPACE_STEPS = (Step.USER_NAMESPACE, Step.ID_MAP, Step.NAMESPACES, Step.LOOPBACK, Step.MOUNTS)
_KINDS = ("user", "net", "mnt", "pid", "ipc")
_PERMISSION = (errno.EPERM, errno.EACCES)


@dataclass(frozen=True, slots=True)
class Setting:
    """A sysctl that forbids namespaces by one of its values, with one of these errors."""

    name: str
    forbidding: str
    errors: tuple[int, ...]
    remedy: str

    @property
    def path(self) -> str:
        return "/proc/sys/" + self.name.replace(".", "/")


_SETTINGS = (
    *(Setting(f"user.max_{kind}_namespaces", "0", (errno.ENOSPC,), "a number above 0") for kind in _KINDS),
    Setting("kernel.unprivileged_userns_clone", "0", _PERMISSION, "1"),
    Setting(
        "kernel.apparmor_restrict_unprivileged_userns",
        "1",
        _PERMISSION,
        "0, or give jobgate an AppArmor profile with the rule userns",
    ),
)


def read_text(path: str) -> str:
    """The content of a file, empty if it cannot be read."""
    try:
        return Path(path).read_text()
    except OSError:
        return ""


def explain(error: SetupError, read: Callable[[str], str] = read_text) -> str:
    """One line: what was refused, by what, and what to do about it."""
    return f"cannot isolate the job: {error.step}: {os.strerror(error.number)}: {_cause(error, read)}"


def _cause(error: SetupError, read: Callable[[str], str]) -> str:
    if error.step is Step.ID_MAP and _uid(read) == 0:
        return "root without CAP_SETFCAP cannot keep its id: run jobgate as another user, or add CAP_SETFCAP"
    if error.step in _NAMESPACE_STEPS:
        return _namespace_cause(error.number, read)
    if error.step is Step.PROC and error.number in _PERMISSION:
        return (
            "parts of /proc are masked here, as container engines do: "
            "start the container with unmasked paths (docker: --security-opt systempaths=unconfined)"
        )
    if error.step is Step.DIRECTORY:
        return (
            "the job cannot stay in this directory: change to another, or pass --keep-run if it is below /run"
        )
    if error.step is Step.FILTER:
        return "the kernel needs CONFIG_SECCOMP_FILTER"
    return "no setting is known to forbid it"


def _namespace_cause(number: int, read: Callable[[str], str]) -> str:
    for setting in _SETTINGS:
        if number in setting.errors and read(setting.path).strip() == setting.forbidding:
            return f"{setting.name}={setting.forbidding} forbids it: set it to {setting.remedy}"
    if number == errno.ENOSPC:
        return "a limit user.max_*_namespaces is reached: raise it, or end other namespaces"
    if number == errno.EUSERS:
        return "user namespaces are nested too deeply here"
    if number in (errno.EINVAL, errno.ENOSYS):
        return "the kernel lacks namespaces (CONFIG_USER_NS, CONFIG_NET_NS, CONFIG_PID_NS)"
    if _filtered(read):
        return (
            "a seccomp filter of the container or service around jobgate forbids it: "
            "allow unshare and mount there (docker: --security-opt seccomp=unconfined)"
        )
    if not _mapped(read):
        return "this process runs in a user namespace without an id for it: map its uid and gid there"
    return "a security module or a chroot around jobgate forbids it"


def _status(field: str, read: Callable[[str], str]) -> list[str]:
    fields = dict(line.partition(":")[::2] for line in read("/proc/self/status").splitlines())
    return fields.get(field, "").split()


def _filtered(read: Callable[[str], str]) -> bool:
    return _status("Seccomp", read) == ["2"]


def _uid(read: Callable[[str], str]) -> int:
    """The effective user id; the second of four, -1 if unknown."""
    ids = _status("Uid", read)
    return int(ids[1]) if ids else -1


def _mapped(read: Callable[[str], str]) -> bool:
    uid = _uid(read)
    ranges = [[int(part) for part in line.split()] for line in read("/proc/self/uid_map").splitlines()]
    return any(first <= uid < first + length for first, _, length in ranges)
