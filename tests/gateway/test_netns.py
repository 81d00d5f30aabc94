from __future__ import annotations

import errno
import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from jobgate.gateway import netns
from jobgate.gateway.netns import NamespaceError, call_inside
from support.netns import namespace, needs_namespaces
from support.ordinary_user import ordinary

OWN = "/proc/self/ns/net"


def own_namespace() -> int:
    """Identify the network namespace of the thread that asks."""
    return Path(f"/proc/self/task/{threading.get_native_id()}/ns/net").stat().st_ino


@needs_namespaces
def test_function_runs_inside_and_the_caller_stays_outside() -> None:
    outside, threads = own_namespace(), threading.active_count()
    with namespace() as other:
        assert call_inside(other.path, own_namespace) == Path(other.path).stat().st_ino != outside
    assert own_namespace() == outside
    assert threading.active_count() == threads


@needs_namespaces
def test_names_are_those_of_ip_netns(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(netns, "NAMES", tmp_path)
    with namespace() as other:
        (tmp_path / "job-42").symlink_to(other.path)
        assert call_inside("job-42", own_namespace) == Path(other.path).stat().st_ino


def fail() -> None:
    raise KeyError("mine")


@needs_namespaces
def test_errors_of_the_function_come_out() -> None:
    with namespace() as other, pytest.raises(KeyError, match="mine"):
        call_inside(other.path, fail)


def ended() -> str:
    """The path of a namespace whose process has ended."""
    done = subprocess.Popen([sys.executable, "-c", ""])
    done.wait()
    return f"/proc/{done.pid}/ns/net"


@pytest.mark.parametrize(
    "path", ["/run/netns/no-such-name", "no-such-name", ended()], ids=["path", "name", "process-that-ended"]
)
def test_namespace_that_is_not_there(path: str) -> None:
    with pytest.raises(NamespaceError, match=r"^there is no network namespace /(run/netns|proc)/"):
        call_inside(path, own_namespace)


@needs_namespaces
@pytest.mark.parametrize("path", ["/proc/self/ns/uts", "/etc/passwd"], ids=["other-kind", "file"])
def test_what_is_no_network_namespace(path: str) -> None:
    with pytest.raises(NamespaceError, match=f"there is no network namespace {path}"):
        call_inside(path, own_namespace)


def test_other_failures_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    def exhausted(descriptor: int, flags: int) -> None:
        raise OSError(errno.ENOMEM, os.strerror(errno.ENOMEM))

    monkeypatch.setattr(netns, "setns", exhausted)
    with pytest.raises(
        NamespaceError, match=r"cannot enter the network namespace .*: Cannot allocate memory"
    ):
        call_inside(OWN, own_namespace)


SCRIPT = """
from jobgate.gateway.netns import NamespaceError, call_inside
try:
    call_inside("/proc/self/ns/net", lambda: None)
except NamespaceError as error:
    print(error)
"""


def test_ordinary_user_is_told_what_is_missing() -> None:
    command = ordinary([sys.executable, "-c", SCRIPT])
    path = str(Path(__file__).resolve().parents[2] / "src")
    environment = {**os.environ, "PYTHONPATH": path}
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=environment, timeout=30)
    assert done.stdout == (
        "may not enter the network namespace /proc/self/ns/net: that needs CAP_SYS_ADMIN, or root\n"
    )
