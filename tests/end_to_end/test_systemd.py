"""The program and its units under a real systemd, installed by the commands of docs/systemd.md as written.

Played are two things: pip finds a folder of wheels instead of an index, since that systemd has no network,
and `python3` is the interpreter of the tests.
"""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.checkout import checkout
from support.docker_engine import ROOT, download_wheels
from support.docker_page import shape
from support.systemd import Systemd, SystemdError, systemd

pytestmark = [pytest.mark.systemd, pytest.mark.timeout(240)]

CONFIG = "/etc/jobgate/jobgate.toml"
RUN = "/run/jobgate"
JOB = '\n[[job]]\nid = "nightly"\ntoken = "0123456789abcdef"\nnetwork = "http"\ndomains = ["example.com"]\n'
PROXY = "http://nightly:0123456789abcdef@127.0.0.1:3128"
ASK = f"""
import sys, urllib.error, urllib.request
opener = urllib.request.build_opener(urllib.request.ProxyHandler({{"http": "{PROXY}"}}))
try:
    opener.open("http://other.example/", timeout=30)
except urllib.error.HTTPError as error:
    print(error.code, error.reason)
"""
HOLD = """
import socket, sys
request = b"GET http://jobgate.internal/denials HTTP/1.1\\r\\nHost: jobgate.internal\\r\\n\\r\\n"
with socket.create_connection(("127.0.0.1", int(sys.argv[1]))) as sock:
    for _ in sys.stdin:
        sock.sendall(request)
        print(sock.recv(15).decode(), flush=True)
"""


PAGE = (ROOT / "docs" / "systemd.md").read_text()


def commands_of(text: str) -> list[str]:
    """What root types."""
    blocks = re.findall(r"^```console\n(.*?)^```$", text, re.M | re.S)
    return [line[2:] for block in blocks for line in block.splitlines() if line.startswith("# ")]


def section(title: str) -> str:
    """A section of the page."""
    return PAGE.split(f"\n## {title}\n")[1].split("\n## ")[0]


def run_all(made: Systemd, commands: list[str]) -> None:
    """Run them in one shell, from the checkout."""
    python = f'python3() {{ {shlex.quote(sys.executable)} "$@"; }}'
    index = f"export PIP_NO_INDEX=1 PIP_FIND_LINKS={made.folder}/wheels"
    made.run("sh", "-e", text="\n".join([f"cd {made.folder}", python, index, *commands]))


@pytest.fixture(scope="module")
def booted(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Systemd]:
    folder = checkout(tmp_path_factory.mktemp("checkout"))
    try:
        with systemd(folder) as made:
            download_wheels(folder / "wheels")
            run_all(made, commands_of(section("Install"))[:-2])
            made.run("sh", "-c", f"cat >> {CONFIG}", text=JOB)
            made.run("systemctl", "start", "systemd-journald")
            yield made
    except SystemdError as error:
        pytest.skip(f"no systemd can start here: {error}")


@pytest.fixture
def service(booted: Systemd) -> Iterator[Systemd]:
    booted.run("systemctl", "start", "jobgate.service")
    yield booted
    booted.run("systemctl", "stop", "jobgate.service")


@pytest.fixture
def socket(booted: Systemd) -> Iterator[Systemd]:
    booted.run("systemctl", "start", "jobgate.socket")
    yield booted
    booted.run("systemctl", "stop", "jobgate.socket", "jobgate.service")


def ask(made: Systemd) -> str:
    """A request through the gateway, which refuses it."""
    return made.run(sys.executable, "-c", ASK).strip()


def words(text: str, pattern: str) -> list[str]:
    """Commands inside the prose, that match."""
    return [" ".join(found.split()) for found in re.findall(f"`({pattern}[^`]*)`", text)]


REFUSED = "403 Forbidden (jobgate: not-listed)"


def test_service_serves_and_its_commands_find_it(service: Systemd) -> None:
    assert service.show("jobgate", "ActiveState") == "active"
    assert service.show("jobgate", "StatusErrno") == "0"
    assert ask(service) == REFUSED
    assert "nightly" in service.run("jobgate", "jobs", "list")


def test_first_steps_of_the_page_add_a_job_and_show_the_log(booted: Systemd) -> None:
    install = section("Install")
    *_, enable, add = commands_of(install)
    (said,) = re.findall(r"^train-42 listens on .*$", install, re.M)
    run_all(booted, [enable])
    assert shape(booted.run("sh", "-c", add).strip()) == shape(said)
    booted.run("jobgate", "jobs", "remove", "train-42")
    (log,) = words(install, "journalctl ")
    assert '"event":"ready"' in booted.run("sh", "-c", log)
    (python,) = words(install, "readlink ")
    assert Path(booted.run("sh", "-c", python).strip()).is_relative_to(sys.base_prefix)
    run_all(booted, [enable.replace("enable", "disable")])


def test_upgrade_is_the_installation_once_more() -> None:
    (upgrade,) = words(section("Change, restart, upgrade"), "/opt/")
    assert commands_of(section("Install"))[0].endswith(f" && {upgrade}")


def test_process_has_no_rights(service: Systemd) -> None:
    pid = service.show("jobgate", "MainPID")
    lines = service.run("cat", f"/proc/{pid}/status").splitlines()
    status = dict(line.split(":\t", 1) for line in lines)
    assert {status[name] for name in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb")} == {"0" * 16}
    assert (status["NoNewPrivs"], status["Seccomp"]) == ("1", "2")
    assert set(status["Uid"].split()) == {service.run("id", "-u", "jobgate").strip()}


def test_files_are_for_those_they_are_for(service: Systemd) -> None:
    service.run(
        "jobgate", "jobs", "add", "by-path", "--domain", "example.com", f"--listen=unix:{RUN}/job.sock"
    )
    shown = service.run("stat", "--format=%a %U:%G %n", "/etc/jobgate", CONFIG, RUN, "/var/lib/jobgate")
    shown += service.run("stat", "--format=%a %U:%G %n", f"{RUN}/control.sock", f"{RUN}/job.sock")
    service.run("jobgate", "jobs", "remove", "by-path")
    assert shown.splitlines() == [
        "750 root:jobgate /etc/jobgate",
        f"640 root:jobgate {CONFIG}",
        f"755 jobgate:jobgate {RUN}",
        "700 jobgate:jobgate /var/lib/jobgate",
        f"600 jobgate:jobgate {RUN}/control.sock",
        f"660 jobgate:jobgate {RUN}/job.sock",
    ]


def test_reload_takes_a_file_on_or_fails_and_changes_nothing(service: Systemd) -> None:
    before = service.run("cat", CONFIG)
    pid = service.show("jobgate", "MainPID")
    service.run("sh", "-c", f"cat >> {CONFIG}", text=JOB.replace("nightly", "weekly"))
    service.run("systemctl", "reload", "jobgate")
    assert "weekly" in service.run("jobgate", "jobs", "list")
    service.run("sh", "-c", f"cat >> {CONFIG}", text="nonsense = 1\n")
    assert service.call("systemctl", "reload", "jobgate").returncode != 0
    assert "nonsense" in service.run("systemctl", "status", "jobgate")
    assert "weekly" in service.run("jobgate", "jobs", "list")
    service.run("sh", "-c", f"cat > {CONFIG}", text=before)
    service.run("systemctl", "reload", "jobgate")
    assert "weekly" not in service.run("jobgate", "jobs", "list")
    assert (service.show("jobgate", "ActiveState"), service.show("jobgate", "MainPID")) == ("active", pid)


def test_state_that_root_has_left_is_the_services(booted: Systemd) -> None:
    """Somebody tries the gateway by hand, as the README has it, and then installs it."""
    booted.run("mkdir", "-p", "/var/lib/jobgate")
    booted.run("touch", "/var/lib/jobgate/state.db")
    booted.run("chown", "-R", "root:root", "/var/lib/jobgate")
    booted.run("systemd-tmpfiles", "--create", "jobgate.conf")
    booted.run("systemctl", "start", "jobgate")
    owner = booted.run("stat", "--format=%U", "/var/lib/jobgate/state.db").strip()
    booted.run("systemctl", "stop", "jobgate")
    assert owner == "jobgate"


def test_wrong_file_is_not_tried_again_and_again(booted: Systemd) -> None:
    before = booted.run("cat", CONFIG)
    booted.run("sh", "-c", f"cat >> {CONFIG}", text="nonsense = 1\n")
    done = booted.call("systemctl", "start", "jobgate")
    (log,) = words(section("Install"), "journalctl ")
    assert "nonsense" in booted.run("sh", "-c", log)
    state = booted.show("jobgate", "ActiveState"), booted.show("jobgate", "NRestarts")
    booted.run("sh", "-c", f"cat > {CONFIG}", text=before)
    assert done.returncode != 0
    assert state == ("failed", "0")
    (restart,) = words(section("Install"), "systemctl restart ")
    run_all(booted, [restart])
    assert booted.run("systemctl", "is-active", "jobgate.socket", "jobgate.service") == "active\n" * 2
    booted.run("systemctl", "stop", "jobgate.socket", "jobgate.service")


def test_first_connection_starts_the_service(socket: Systemd) -> None:
    assert socket.show("jobgate", "ActiveState") == "inactive"
    assert ask(socket) == REFUSED
    assert socket.show("jobgate", "ActiveState") == "active"


def test_restart_refuses_no_connection_and_keeps_the_control_socket(socket: Systemd) -> None:
    pids = set()
    for _ in range(3):
        with subprocess.Popen(socket.command("systemctl", "restart", "jobgate")) as restart:
            assert [ask(socket) for _ in range(5)] == [REFUSED] * 5
            assert restart.wait(60) == 0
        pids.add(socket.show("jobgate", "MainPID"))
        assert "nightly" in socket.run("jobgate", "jobs", "list")
    assert len(pids) == 3


def test_change_to_take_overs_refuses_no_connection(socket: Systemd) -> None:
    run_all(socket, ["systemctl enable jobgate.socket jobgate.service", "systemctl start jobgate"])
    run_all(socket, commands_of(section("Change, restart, upgrade"))[:-1])
    with subprocess.Popen(socket.command("systemctl", "start", "jobgate@1")) as start:
        assert [ask(socket) for _ in range(5)] == [REFUSED] * 5
        assert start.wait(60) == 0
    while socket.show("jobgate", "ActiveState") != "inactive":
        pass
    assert ask(socket) == REFUSED
    assert socket.show("jobgate@1", "ActiveState") == "active"
    socket.run("systemctl", "stop", "jobgate@1")


def test_second_instance_takes_over_and_the_first_ends_with_its_last_connection(booted: Systemd) -> None:
    booted.run("systemctl", "start", "jobgate@1")
    port = booted.run("jobgate", "jobs", "add", "held", "--domain", "example.com").strip().rpartition(":")[2]
    hold = booted.command(sys.executable, "-c", HOLD, port)
    with subprocess.Popen(hold, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as client:
        assert client.stdin is not None
        assert client.stdout is not None

        def answer() -> str:
            assert client.stdin is not None
            assert client.stdout is not None
            print(file=client.stdin, flush=True)
            return client.stdout.readline()

        assert answer() == "HTTP/1.1 200 OK\n"
        booted.run("systemctl", "start", "jobgate@2")
        assert [booted.show(f"jobgate@{n}", "ActiveState") for n in (1, 2)] == ["active", "active"]
        assert "held" in booted.run("jobgate", "jobs", "list")
        answer()  # what is on its way is answered, by the first
    while booted.show("jobgate@1", "ActiveState") == "active":
        pass
    assert booted.show("jobgate@1", "Result") == "success"
    assert booted.show("jobgate@2", "ActiveState") == "active"
    assert "held" in booted.run("jobgate", "jobs", "list")
    assert ask(booted) == REFUSED
    booted.run("systemctl", "stop", "jobgate@2")


def test_drop_in_of_the_page_lets_a_job_listen_in_its_own_namespace(booted: Systemd) -> None:
    (drop_in,) = re.findall(r"^```ini\n(.*?)^```$", PAGE, re.M | re.S)
    (edit,) = words(PAGE, "systemctl edit ")
    booted.run("sh", "-c", "cat > /tmp/drop-in", text=drop_in)
    typed = ("script", "-qec", edit, "/dev/null")  # it asks for a terminal
    booted.run("env", "SYSTEMD_EDITOR=cp /tmp/drop-in", *typed)
    holder = booted.command("unshare", "--net", "sh", "-c", "ip link set lo up; echo $$; exec cat")
    with subprocess.Popen(holder, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as job:
        assert job.stdout is not None
        pid = job.stdout.readline().strip()
        before = booted.run("cat", CONFIG)
        inside = f'listen = "127.0.0.1:3128"\nnetns = "/proc/{pid}/ns/net"\n'
        booted.run("sh", "-c", f"cat >> {CONFIG}", text=JOB.replace("nightly", "inside") + inside)
        booted.run("systemctl", "start", "jobgate")
        refused = booted.call("nsenter", f"--target={pid}", "--net", sys.executable, "-c", ASK)
        booted.run("systemctl", "stop", "jobgate")
        booted.run("sh", "-c", f"cat > {CONFIG}", text=before)
        booted.run("rm", "/etc/systemd/system/jobgate.service.d/override.conf")
        booted.run("systemctl", "daemon-reload")
        job.kill()
    assert "407" in refused.stdout, refused  # it is another job's token


def test_removal_leaves_nothing(booted: Systemd) -> None:
    """The last test here."""
    booted.run("systemctl", "enable", "--now", "jobgate@1")
    run_all(booted, commands_of(section("Remove it")))
    places = ("/etc", "/opt", "/run", "/usr/bin", "/usr/lib", "/var/lib")
    assert booted.run("find", *places, "-name", "*jobgate*") == ""
    assert booted.call("getent", "passwd", "jobgate").returncode != 0
