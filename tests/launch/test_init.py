"""Pid 1 of a job: what it hides, how it ends, what ends with it."""

from __future__ import annotations

import os
import signal
import sys

import pytest

from jobgate.launch.errors import EXIT_FAILED
from jobgate.launch.handshake import connected_pair
from jobgate.launch.init import execute, watch
from jobgate.launch.plan import Plan
from jobgate.launch.process import fork
from support.jobs import Findings, common_folder, only_child, read_line, read_to_end, run, running


def test_job_sees_its_own_processes_only(findings: Findings) -> None:
    assert findings["pids"] == [1, findings["own_pid"]]


def test_job_has_the_standard_streams_only(findings: Findings) -> None:
    assert findings["descriptors"] == [0, 1, 2]


def test_launcher_is_out_of_reach(findings: Findings) -> None:
    assert findings["launcher"]["kill"] == "ESRCH"


@pytest.mark.parametrize("way", ["trace pid 1", "take a descriptor of pid 1", "memory of pid 1"])
def test_pid_1_is_closed_to_the_job(way: str, findings: Findings) -> None:
    assert findings["launcher"][way] in ("EPERM", "EACCES")


def test_job_has_the_signals_of_a_program_started_by_a_shell(findings: Findings) -> None:
    assert findings["signals"] == {"blocked": [], "ignored": []}


def test_ignored_signal_stays_ignored() -> None:
    done = run("user", "--", "sh", "-c", "trap '' HUP; exec sh -c 'kill -HUP $$; echo alive'")
    assert done.stdout == "alive\n"


def test_broken_pipe_ends_the_job_quietly(identity: str) -> None:
    """Python ignores SIGPIPE; what it starts must not."""
    done = run(identity, "--", "sh", "-c", "kill -PIPE $$; echo alive")
    assert (done.returncode, done.stdout) == (128 + signal.SIGPIPE, "")


@pytest.mark.parametrize(
    ("script", "code"),
    [("exit 0", 0), ("exit 7", 7), ("exit 255", 255), ("kill -TERM $$", 143), ("kill -KILL $$", 137)],
    ids=["0", "7", "255", "TERM", "KILL"],
)
def test_exit_code_is_that_of_the_job(script: str, code: int, identity: str) -> None:
    assert run(identity, "--", "sh", "-c", script).returncode == code


def test_program_that_does_not_exist_is_127(identity: str) -> None:
    done = run(identity, "--", "no-such-program")
    assert (done.returncode, done.stderr) == (127, "jobgate: cannot run 'no-such-program': no such program\n")


@pytest.mark.parametrize("content", [None, b"\x7fELF"], ids=["directory", "format"])
def test_program_that_cannot_be_executed_is_126(content: bytes | None, identity: str) -> None:
    with common_folder() as folder:
        path = folder / "program"
        if content is None:
            path.mkdir()
        else:
            path.write_bytes(content)
        path.chmod(0o755)
        done = run(identity, "--", str(path))
    assert done.returncode == 126
    assert done.stderr.startswith(f"jobgate: cannot run '{path}': ")


def test_execute_reports_a_missing_program(capfd: pytest.CaptureFixture[str]) -> None:
    """In this process: signal settings change to what they are by default, and back."""
    before = {number: signal.getsignal(number) for number in (signal.SIGPIPE, signal.SIGXFSZ, signal.SIGINT)}
    try:
        code = execute(Plan(("no\nsuch",), {}, proxy=False), set())
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    assert code == 127
    assert capfd.readouterr().err == "jobgate: cannot run 'no\\nsuch': no such program\n"


def test_processes_left_behind_end_with_the_job(identity: str) -> None:
    script = "setsid sleep 1000 & sleep 1000 & (sleep 1000 &) ; echo started"
    with running(identity, "--", "sh", "-c", script) as process:
        # They hold standard output: its end is theirs.
        assert read_to_end(process) == b"started\n"
        assert process.wait() == 0


def test_orphans_are_reaped(identity: str) -> None:
    """Orphans that have ended, even all at once, must not stay as zombies while the job runs."""
    script = (
        "import os, time\n"
        "reader, writer = os.pipe()\n"
        "if os.fork() == 0:\n"
        "    os.close(writer)\n"
        "    for _ in range(20):\n"
        "        if os.fork() == 0:\n"
        "            os.read(reader, 1)\n"
        "            os._exit(0)\n"
        "    os._exit(0)\n"
        "os.wait()\n"
        "os.close(writer)\n"
        "deadline = time.monotonic() + 20\n"
        "own = {1, os.getpid()}\n"
        "while {int(name) for name in os.listdir('/proc') if name.isdecimal()} != own:\n"
        "    assert time.monotonic() < deadline, 'a zombie'\n"
    )
    assert run(identity, "--", sys.executable, "-c", script).returncode == 0


def test_killing_pid_1_leaves_nothing(identity: str) -> None:
    with running(identity, "--", "sh", "-c", "setsid sleep 1000 & echo $$; exec sleep 1000") as process:
        assert read_line(process) != ""
        os.kill(only_child(only_child(process.pid)), signal.SIGKILL)
        assert read_to_end(process) == b""
        assert process.wait() == 128 + signal.SIGKILL


def test_job_cannot_end_pid_1(identity: str) -> None:
    done = run(identity, "--", "sh", "-c", "kill -KILL 1; kill -TERM 1; echo alive")
    assert (done.returncode, done.stdout) == (0, "alive\n")


def test_command_line_is_passed_on_byte_for_byte(identity: str) -> None:
    argument = os.fsdecode(b"\xff --x $HOME\n*")
    done = run(identity, "--", "sh", "-c", 'printf %s "$1" | od -An -tx1', "sh", argument)
    assert bytes.fromhex(done.stdout.replace(" ", "").replace("\n", "")) == os.fsencode(argument)


def test_working_directory_is_kept(identity: str) -> None:
    assert run(identity, "--", "pwd").stdout.strip() == os.getcwd()


def test_launcher_that_is_gone_ends_the_watch() -> None:
    """Whatever the kernel's signal does: pid 1 sees the end of file, and its own end ends the rest."""
    ours, theirs = connected_pair()
    ours.close()

    def job() -> int:
        signal.pause()
        return 0

    job_pid = fork(job)
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGCHLD})
    with theirs:
        assert watch(job_pid, theirs) == EXIT_FAILED
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGCHLD})
    os.kill(job_pid, signal.SIGKILL)
    os.waitpid(job_pid, 0)
