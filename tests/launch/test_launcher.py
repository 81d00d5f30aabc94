"""A job from outside: its exit, its signals, its end, and the refusal to start it unconfined."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from signal import Signals

import pytest

from jobgate.launch.errors import LaunchError
from jobgate.launch.launcher import start
from jobgate.launch.plan import Plan
from support import forbidding, signals_job
from support.jobs import (
    COMMAND,
    DEADLINE_S,
    as_identity,
    environment,
    only_child,
    read_line,
    read_to_end,
    run,
    running,
)

SIGNALS_JOB = ("--", sys.executable, signals_job.__file__)
LEFTOVERS = ("--", "sh", "-c", "setsid sleep 1000 & sleep 1000 & echo started; exec sleep 1000")
PRINT_NETWORK = "import os; print(os.readlink('/proc/self/ns/net'))"

DRIVER = """
import os, signal, socket, sys
from jobgate.launch.errors import LaunchError
from jobgate.launch.launcher import start
from jobgate.launch.plan import Plan
def launch(*command, proxy=False):
    return start(Plan(command, os.environ, proxy=proxy))
"""


def drive(identity: str, script: str) -> subprocess.CompletedProcess[str]:
    """Use the launcher from a script, without the command line and the gate."""
    command = [sys.executable, "-c", DRIVER + script]
    return subprocess.run(
        as_identity(identity, command),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=DEADLINE_S,
        env=environment(),
        check=False,
    )


@pytest.mark.parametrize(
    "number",
    [
        Signals.SIGHUP,
        Signals.SIGINT,
        Signals.SIGQUIT,
        Signals.SIGUSR1,
        Signals.SIGUSR2,
        Signals.SIGWINCH,
        Signals.SIGCONT,
    ],
)
def test_signal_to_the_launcher_reaches_the_job(number: Signals) -> None:
    with running("user", *SIGNALS_JOB) as process:
        assert read_line(process) == "ready"
        process.send_signal(number)
        assert read_line(process) == number.name
        process.send_signal(signal.SIGTERM)
        assert read_to_end(process) == b"SIGTERM\n"
        assert process.wait(DEADLINE_S) == 4


def test_signal_that_the_job_does_not_handle_ends_it(identity: str) -> None:
    with running(identity, *LEFTOVERS) as process:
        assert read_line(process) == "started"
        process.send_signal(signal.SIGTERM)
        assert read_to_end(process) == b""
        assert process.wait(DEADLINE_S) == 128 + signal.SIGTERM


def test_killing_the_launcher_leaves_nothing(identity: str) -> None:
    with running(identity, *LEFTOVERS) as process:
        assert read_line(process) == "started"
        process.kill()
        assert read_to_end(process) == b""


def test_stopped_pid_1_is_killed_with_the_launcher(identity: str) -> None:
    """It cannot see the end of file on its control socket then; the kernel sees the death of its parent."""
    with running(identity, *LEFTOVERS) as process:
        assert read_line(process) == "started"
        os.kill(only_child(only_child(process.pid)), signal.SIGSTOP)
        process.kill()
        assert read_to_end(process) == b""


def test_launcher_without_a_gate_hands_out_a_socket_of_the_job(identity: str) -> None:
    """The caller listens on 127.0.0.1:3128 inside the job's namespace, and lives outside."""
    done = drive(
        identity,
        """
client = "import socket; print(socket.create_connection(('127.0.0.1', 3128)).recv(9))"
with launch(sys.executable, "-c", client, proxy=True) as job:
    (proxy,) = job.ready()
    proxy.listen()
    job.begin()
    client, peer = proxy.accept()
    client.sendall(b"from out")
    client.close()
    code = job.wait()
print(code, proxy.getsockname(), peer[0])
""",
    )
    assert done.stdout == "b'from out'\n0 ('127.0.0.1', 3128) 127.0.0.1\n"


def test_signal_before_the_job_begins_ends_the_launcher() -> None:
    done = drive(
        "user",
        """
with launch("echo", "begun") as job:
    job.ready()
    os.kill(os.getpid(), signal.SIGTERM)
    try:
        job.begin()
    except LaunchError as error:
        print(error, error.exit_code)
""",
    )
    assert done.stdout == "SIGTERM before the job began 143\n"


def test_signal_to_the_group_before_the_job_begins_ends_it() -> None:
    """A key at the terminal while the job is being isolated: pid 1 has it, the launcher does not count it."""
    done = drive(
        "user",
        """
from jobgate.launch import linux
os.setsid()
with launch("echo", "begun") as job:
    job.ready()
    os.killpg(0, signal.SIGINT)
    linux.read_signals(job._signals)
    job.begin()
    print(job.wait())
""",
    )
    assert done.stdout == "130\n"


def test_signal_that_comes_when_the_job_has_ended_changes_nothing() -> None:
    done = drive(
        "user",
        """
with launch("true") as job:
    job.ready()
    job.begin()
    code = job.wait()
    os.kill(os.getpid(), signal.SIGTERM)
print(code)
""",
    )
    assert (done.returncode, done.stdout) == (0, "0\n")


def test_job_that_never_begins_is_gone_when_the_launcher_leaves(identity: str) -> None:
    done = drive(
        identity,
        """
with launch("echo", "begun") as job:
    job.ready()
print(job.exit_code)
""",
    )
    assert done.stdout == "137\n"


def test_setup_that_ends_silently_is_an_error() -> None:
    done = drive(
        "user",
        """
from jobgate.launch import launcher
launcher.run_child = lambda *arguments: 9
try:
    with launch("true") as job:
        job.ready()
except LaunchError as error:
    print(error, error.exit_code)
""",
    )
    assert done.stdout == "the job's set-up ended with exit code 9 125\n"


@pytest.mark.parametrize(
    ("way", "said"),
    [
        (
            "max_user_namespaces",
            "user namespace: No space left on device: user.max_user_namespaces=0 forbids it",
        ),
        ("max_net_namespaces", "No space left on device: user.max_net_namespaces=0 forbids it"),
        ("unmapped", "runs in a user namespace without an id for it"),
        ("seccomp", "user namespace: Operation not permitted: a seccomp filter"),
    ],
)
def test_forbidden_namespaces_are_refused_and_the_setting_named(way: str, said: str) -> None:
    command = [sys.executable, forbidding.__file__, way, *COMMAND, "run", "echo", "ran"]
    done = subprocess.run(
        as_identity("user", command), capture_output=True, text=True, env=environment(), check=False
    )
    assert (done.returncode, done.stdout) == (125, "")
    assert said in done.stderr
    assert done.stderr.count("\n") == 1


def test_root_without_capabilities_is_refused() -> None:
    """The kernel lets nobody else keep uid 0 in a new user namespace."""
    command = [sys.executable, forbidding.__file__, "powerless root", *COMMAND, "run", "echo", "ran"]
    done = subprocess.run(
        as_identity("root", command), capture_output=True, text=True, env=environment(), check=False
    )
    assert (done.returncode, done.stdout) == (125, "")
    assert "CAP_SETFCAP" in done.stderr


def test_masked_proc_is_refused() -> None:
    command = as_identity("user", [*COMMAND, "run", "echo", "ran"])
    done = subprocess.run(
        as_identity("root", [sys.executable, forbidding.__file__, "masked /proc", *command]),
        capture_output=True,
        text=True,
        env=environment(),
        check=False,
    )
    assert (done.returncode, done.stdout) == (125, "")
    assert "fresh /proc: Operation not permitted: parts of /proc are masked here" in done.stderr


def test_unknown_machine_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    machine = os.uname_result(("Linux", "host", "6.1", "#1", "riscv64"))
    monkeypatch.setattr(os, "uname", lambda: machine)
    with pytest.raises(LaunchError, match="riscv64"):
        start(Plan(("true",), {}, proxy=False))


def test_full_leaves_network_and_variables_alone(identity: str) -> None:
    job = ["--network", "full", "--", sys.executable, "-c", PRINT_NETWORK]
    assert run(identity, *job).stdout.strip() == os.readlink("/proc/self/ns/net")
    done = run(
        identity, "--network", "full", "--", "sh", "-c", "echo $http_proxy", variables={"http_proxy": "x"}
    )
    assert (done.stdout, done.stderr) == ("x\n", "")


@pytest.mark.parametrize(("program", "code"), [("no-such-program", 127), ("/", 126)])
def test_full_has_the_same_exit_codes(program: str, code: int) -> None:
    assert run("user", "--network", "full", program).returncode == code
    assert run("user", "--network", "full", "sh", "-c", "exit 9").returncode == 9
