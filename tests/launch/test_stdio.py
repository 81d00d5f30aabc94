"""Standard streams that are sockets: the bytes arrive, the socket does not."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from jobgate.launch.stdio import Relay, run_relays
from support.jobs import (
    COMMAND,
    DEADLINE_S,
    as_identity,
    children,
    common_folder,
    environment,
    state,
    wait_for,
)

KINDS = "import os, stat; print(*(int(stat.S_ISSOCK(os.fstat(fd).st_mode)) for fd in (0, 1, 2)))"
LONG = bytes(range(256)) * 4096  # 1 MiB: more than pipes and sockets hold

Pair = tuple[socket.socket, socket.socket]


def tcp_pair() -> Pair:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        ours = socket.create_connection(listener.getsockname())
        theirs, _ = listener.accept()
    return ours, theirs


@pytest.fixture(params=["tcp", "unix"])
def pair(request: pytest.FixtureRequest) -> Iterator[Pair]:
    ours, theirs = tcp_pair() if request.param == "tcp" else socket.socketpair()
    ours.settimeout(DEADLINE_S)
    with ours, theirs:
        yield ours, theirs


@contextmanager
def start(
    identity: str, job: list[str], *, stdin: int, stdout: int, stderr: int = subprocess.PIPE
) -> Iterator[subprocess.Popen[bytes]]:
    command = as_identity(identity, [*COMMAND, "run", "--", *job])
    with subprocess.Popen(command, stdin=stdin, stdout=stdout, stderr=stderr, env=environment()) as process:
        try:
            yield process
        finally:
            process.kill()


def received(sock: socket.socket) -> bytes:
    with sock.makefile("rb") as stream:
        return stream.read()


def test_job_gets_pipes_for_sockets(pair: Pair, identity: str) -> None:
    ours, theirs = pair
    with start(
        identity, [sys.executable, "-c", KINDS], stdin=theirs.fileno(), stdout=theirs.fileno()
    ) as process:
        theirs.close()
        assert received(ours) == b"0 0 0\n"
        assert process.wait(DEADLINE_S) == 0


def test_everything_passes_both_ways(pair: Pair, identity: str) -> None:
    ours, theirs = pair
    with start(identity, ["cat"], stdin=theirs.fileno(), stdout=theirs.fileno()) as process:
        theirs.close()

        def send() -> None:
            ours.sendall(LONG)
            ours.shutdown(socket.SHUT_WR)

        sender = threading.Thread(target=send)
        sender.start()
        assert received(ours) == LONG
        sender.join(DEADLINE_S)
        assert process.wait(DEADLINE_S) == 0


def test_what_the_job_wrote_last_arrives(pair: Pair) -> None:
    """The job ends at once; the bytes are still on their way."""
    ours, theirs = pair
    job = ["head", "-c", "100000", "/dev/zero"]
    with start("user", job, stdin=subprocess.DEVNULL, stdout=theirs.fileno()) as process:
        theirs.close()
        assert received(ours) == bytes(100_000)
        assert process.wait(DEADLINE_S) == 0


def test_run_goes_on_until_all_is_carried_out() -> None:
    """The job has ended, and nobody has read a byte yet."""
    ours, theirs = socket.socketpair()
    theirs.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
    script = "head -c 60000 /dev/zero; touch marker"
    with ours, theirs, common_folder() as folder:
        marker = folder / "marker"
        job = ["sh", "-c", f"cd {folder}; {script}"]
        with start("user", job, stdin=subprocess.DEVNULL, stdout=theirs.fileno()) as process:
            theirs.close()
            wait_for(
                lambda: marker.exists() and len(children(process.pid)) < 2 and state(process.pid) in "SZ"
            )
            assert process.poll() is None
            assert received(ours) == bytes(60_000)
            assert process.wait(DEADLINE_S) == 0


def test_output_and_errors_on_one_socket_keep_their_order(pair: Pair) -> None:
    ours, theirs = pair
    script = "for i in 1 2 3 4 5; do echo out $i; echo err $i >&2; done"
    stream = theirs.fileno()
    with start("user", ["sh", "-c", script], stdin=subprocess.DEVNULL, stdout=stream, stderr=stream):
        theirs.close()
        assert received(ours).split() == [
            word for i in b"12345" for word in (b"out", b"%c" % i, b"err", b"%c" % i)
        ]


def test_flags_of_the_socket_are_untouched(pair: Pair) -> None:
    ours, theirs = pair
    before = os.get_blocking(theirs.fileno())
    with start("user", ["cat"], stdin=theirs.fileno(), stdout=theirs.fileno()) as process:
        ours.shutdown(socket.SHUT_WR)
        assert process.wait(DEADLINE_S) == 0
    assert os.get_blocking(theirs.fileno()) == before


def test_job_that_ends_before_its_input_ends_the_run(pair: Pair, identity: str) -> None:
    ours, theirs = pair
    with start(identity, ["true"], stdin=theirs.fileno(), stdout=subprocess.DEVNULL) as process:
        assert process.wait(DEADLINE_S) == 0
    ours.send(b"unread")


def test_missing_streams_do_not_take_descriptors_of_ours() -> None:
    script = 'exec "$@" <&- >&- 2>&-'
    with open(os.devnull) as null:
        done = subprocess.run(
            as_identity(
                "user",
                ["sh", "-c", script, "sh", *COMMAND, "run", "--", "sh", "-c", "ls /proc/self/fd; exit 5"],
            ),
            stdin=null,
            env=environment(),
            timeout=DEADLINE_S,
            check=False,
        )
    assert done.returncode == 5


def test_streams_that_are_no_sockets_are_the_very_same() -> None:
    job = [sys.executable, "-c", "import os; print(os.fstat(0).st_ino)"]
    reader, writer = os.pipe()
    os.close(writer)
    inode = os.fstat(reader).st_ino
    done = subprocess.run(
        as_identity("user", [*COMMAND, "run", "--", *job]),
        stdin=reader,
        capture_output=True,
        env=environment(),
        check=True,
    )
    os.close(reader)
    assert int(done.stdout) == inode


def test_relay_ends_when_the_reader_of_its_pipe_has_gone() -> None:
    ours, theirs = socket.socketpair()
    reader, writer = os.pipe()
    with ours, theirs:
        os.close(reader)
        run_relays([Relay(theirs.fileno(), writer, inward=True)])


def test_relay_of_a_socket_that_cannot_be_read_ends() -> None:
    """A listening socket, as inetd may hand over."""
    reader, writer = os.pipe()
    with socket.create_server(("127.0.0.1", 0)) as listener:
        client = socket.create_connection(listener.getsockname())
        with client:
            run_relays([Relay(listener.fileno(), writer, inward=True)])
    assert os.read(reader, 1) == b""
    os.close(reader)
