from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Thread

import click
import pytest

from jobgate.cli import call
from jobgate.cli.health import PROBE, connect, judge, probe

HEALTHY = b"HTTP/1.1 400 Bad Request\r\nX-Jobgate-Reason: bad-request\r\nConnection: close\r\n\r\n"
DRAINING = HEALTHY.replace(b"400", b"503").replace(b"bad-request", b"draining")


@contextmanager
def one_answer(listener: socket.socket, answer: Callable[[socket.socket], None]) -> Iterator[list[bytes]]:
    """A server that reads one request and answers it as told."""
    received: list[bytes] = []

    def serve() -> None:
        with listener, listener.accept()[0] as sock:
            received.append(sock.recv(4096))
            answer(sock)

    thread = Thread(target=serve)
    thread.start()
    yield received
    thread.join()


def tcp_listener() -> tuple[socket.socket, int]:
    listener = socket.create_server(("127.0.0.1", 0))
    return listener, int(listener.getsockname()[1])


@pytest.mark.parametrize(
    ("head", "problem"),
    [
        (HEALTHY, ""),
        (HEALTHY.replace(b"X-Jobgate", b"x-jobgate"), ""),
        (DRAINING, "refuses requests (draining)"),
        (b"HTTP/1.1 400 Bad Request\r\nServer: other\r\n\r\n", "no jobgate answers there"),
        (b"HTTP/1.1 200 OK\r\n\r\nX-Jobgate-Reason: x\r\n", "no jobgate answers there"),
        (b"", "no jobgate answers there"),
    ],
    ids=["healthy", "letter case", "draining", "other server", "content is no field", "silence"],
)
def test_judge(head: bytes, problem: str) -> None:
    assert judge(head) == problem


def test_probe_asks_the_proxy_itself_and_reads_a_split_head() -> None:
    listener, port = tcp_listener()

    def answer(sock: socket.socket) -> None:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for byte in HEALTHY:
            sock.sendall(bytes([byte]))

    with one_answer(listener, answer) as received:
        assert probe(f"0.0.0.0:{port}", 5.0) == ""
    assert received == [PROBE]


def test_probe_of_a_unix_listener(tmp_path: Path) -> None:
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(tmp_path / "gate"))
    listener.listen()
    with one_answer(listener, lambda sock: sock.sendall(HEALTHY)):
        assert probe(f"unix:{tmp_path}/gate", 5.0) == ""


def test_nobody_there_is_one_line_and_exit_1(capsys: pytest.CaptureFixture[str]) -> None:
    listener, port = tcp_listener()
    listener.close()
    assert call(["health", f"127.0.0.1:{port}"]) == 1
    assert capsys.readouterr().err == f"jobgate: 127.0.0.1:{port}: Connection refused\n"


def test_silence_is_unhealthy() -> None:
    listener, port = tcp_listener()
    with listener:
        assert probe(f"127.0.0.1:{port}", 0.05) == "timed out"


def test_address_comes_from_the_listen_variable(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    listener, port = tcp_listener()
    monkeypatch.setenv("JOBGATE_LISTEN", f"0.0.0.0:{port}")
    with one_answer(listener, lambda sock: sock.sendall(HEALTHY)):
        assert call(["health"]) == 0
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize("address", ["127.0.0.1", ":3128", "127.0.0.1:http", ""])
def test_address_without_port_is_a_usage_error(address: str) -> None:
    with pytest.raises(click.UsageError):
        connect(address, 1.0)
