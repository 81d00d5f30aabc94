"""What the job's namespaces hold and keep out, seen from inside as a user and as root."""

from __future__ import annotations

import os
import socket
import subprocess
import sys

import pytest

from support.jobs import COMMAND, Findings, as_identity, common_folder, environment, run
from support.ordinary_user import UID

SHOW_RUN = "import os; print(*sorted(os.listdir('/run')))"


def test_only_interface_is_loopback(findings: Findings) -> None:
    assert findings["interfaces"] == ["lo"]


@pytest.mark.parametrize("name", ["net", "pid", "mnt", "ipc"])
def test_namespace_is_not_the_hosts(name: str, findings: Findings, host_namespaces: dict[str, str]) -> None:
    assert findings["namespaces"][name] != host_namespaces[name]


@pytest.mark.parametrize("way", ["tcp", "udp", "tcp6", "udp6"])
def test_no_way_leads_out(way: str, findings: Findings) -> None:
    assert findings["reached"][way] == "ENETUNREACH"


@pytest.mark.parametrize("way", ["host tcp", "host tcp6", "host abstract"])
def test_listeners_of_the_host_are_not_there(way: str, findings: Findings) -> None:
    """Loopback answers (it is up), and nobody listens."""
    assert findings["reached"][way] == "ECONNREFUSED"


def test_listeners_of_the_host_are_there_outside(places: dict[str, str]) -> None:
    socket.create_connection(("127.0.0.1", int(places["tcp"]))).close()
    with socket.socket(socket.AF_UNIX) as client:
        client.connect("\0" + places["abstract"])


def test_run_is_empty(findings: Findings) -> None:
    assert os.listdir("/run"), "this machine's /run is empty: nothing is tested"
    assert findings["run"] == []


def test_keep_run_leaves_run(identity: str) -> None:
    done = run(identity, "--keep-run", "--", sys.executable, "-c", SHOW_RUN)
    assert done.stdout.split() == sorted(os.listdir("/run"))


def test_directory_below_run_is_refused() -> None:
    if os.geteuid() != 0:
        pytest.skip("only root may enter a directory below /run for sure")
    script = 'cd "$(mktemp -d /run/jobgate-test-XXXXXX)"; "$@"; code=$?; rmdir "$PWD"; exit $code'
    command = ["sh", "-c", script, "sh", sys.executable, "-m", "jobgate", "run", "true"]
    done = subprocess.run(command, env=environment(), capture_output=True, text=True, check=False)
    assert done.returncode == 125
    assert "--keep-run" in done.stderr


def test_ids_are_kept(findings: Findings) -> None:
    assert findings["ids"] in ([0, 0], [UID, UID], [os.getuid(), os.getgid()])


def test_file_of_the_job_belongs_to_the_user() -> None:
    with common_folder() as folder:
        path = folder / "made"
        assert run("user", "--", "touch", str(path)).returncode == 0
        assert path.stat().st_uid == (UID if os.geteuid() == 0 else os.getuid())


def test_job_can_join_no_network(findings: Findings) -> None:
    assert findings["join"] == "EPERM"


@pytest.mark.parametrize("way", ["uncover /run", "look below /run"])
def test_mask_stays_for_a_nested_user_namespace(way: str, findings: Findings) -> None:
    assert findings["nested"][way] == "EINVAL"


def test_nested_user_namespace_rules_no_network(findings: Findings) -> None:
    assert findings["nested"]["no new network"] == "EPERM"
    assert findings["nested"]["the network of the job"] == "EPERM"
    assert findings["nested"]["a new network"] == "ok"


def test_root_cannot_write_what_root_may_write_without_capability(root_findings: Findings) -> None:
    assert root_findings["writes"]["/proc/sys/kernel/core_pattern"] == "EROFS"
    assert root_findings["writes"]["/proc/sysrq-trigger"] in ("EROFS", "ENOENT")


def test_mounts_of_the_job_do_not_show_outside() -> None:
    """Where mounts are shared between namespaces, as systemd sets it up."""
    script = """
import pathlib, subprocess, sys
from jobgate.launch import linux
linux.unshare(linux.CLONE_NEWNS)
linux.mount("", "/", "", linux.MS_REC | 1 << 20)
mounts = pathlib.Path("/proc/self/mountinfo")
before = mounts.read_text()
inside = subprocess.run([*sys.argv[1:], "cat", mounts], capture_output=True, check=True, text=True).stdout
print(" /run " in inside, mounts.read_text() == before)
"""
    command = as_identity("root", [sys.executable, "-c", script, *COMMAND, "run", "--"])
    done = subprocess.run(command, env=environment(), capture_output=True, text=True, check=True)
    assert done.stdout == "True True\n"
