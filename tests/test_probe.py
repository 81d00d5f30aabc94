from __future__ import annotations

import socket
import subprocess
import sys
from pathlib import Path

import pytest

from jobgate import probe as module
from jobgate.probe import PROBE, connect, judge, main, probe
from support.docker_engine import ROOT
from support.gate_probe import DRAINING, HEALTHY, one_answer, tcp_listener
from support.netns import namespace, needs_namespaces


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


@needs_namespaces
@pytest.mark.parametrize(
    ("address", "source"), [("192.0.2.1", "127.0.0.1"), ("2001:db8:0::1", "::1")], ids=["IPv4", "IPv6"]
)
def test_gate_on_any_address_of_this_machine_is_asked_from_loopback(address: str, source: str) -> None:
    program = f"""
import socket
from jobgate.probe import connect
family = socket.AF_INET6 if ":" in "{address}" else socket.AF_INET
with socket.create_server(("{address}", 3128), family=family) as listener:
    with connect("[{address}]:3128", 5):
        print(listener.accept()[1][0])
"""
    with namespace() as inside:
        inside.run("ip", "address", "add", address, "dev", "lo")
        shown = inside.run("env", f"PYTHONPATH={ROOT}/src", sys.executable, "-c", program)
    assert shown.strip() == source


def test_silence_is_unhealthy() -> None:
    listener, port = tcp_listener()
    with listener:
        assert probe(f"127.0.0.1:{port}", 0.05) == "timed out"


@pytest.mark.parametrize("address", ["127.0.0.1", ":3128", "127.0.0.1:http", ""])
def test_address_without_port_is_an_error(address: str) -> None:
    with pytest.raises(ValueError, match="write ADDRESS:PORT"):
        connect(address, 1.0)


# --- the health check of the image

ASKED = {
    "listen": ({"JOBGATE_LISTEN": "0.0.0.0:3129"}, "0.0.0.0:3129"),
    "nothing": ({}, "127.0.0.1:3128"),
    "bacalhau": (
        {"BACALHAU_HTTP_DOMAINS": "[]", "JOBGATE_LISTEN": "0.0.0.0:3128"},
        "127.0.0.1:8080",
    ),
}


@pytest.mark.parametrize(("environ", "address"), ASKED.values(), ids=ASKED)
def test_image_is_asked_where_it_listens(
    environ: dict[str, str], address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []

    def answer(address: str) -> str:
        asked.append(address)
        return ""

    monkeypatch.setattr(module, "probe", answer)
    assert main(environ) == 0
    assert asked == [address]


def test_program_needs_neither_packages_nor_the_environment_of_python() -> None:
    listener, port = tcp_listener()
    command = [sys.executable, "-IS", module.__file__]
    with one_answer(listener, lambda sock: sock.sendall(HEALTHY)) as received:
        subprocess.run(command, env={"JOBGATE_LISTEN": f"0.0.0.0:{port}"}, check=True, timeout=20)
    assert received == [PROBE]


@pytest.mark.parametrize(
    ("answer", "problem"), [(DRAINING, "refuses requests (draining)"), (b"", "no jobgate answers there")]
)
def test_program_says_what_is_wrong(answer: bytes, problem: str, capsys: pytest.CaptureFixture[str]) -> None:
    listener, port = tcp_listener()
    with one_answer(listener, lambda sock: sock.sendall(answer)):
        assert main({"JOBGATE_LISTEN": f"127.0.0.1:{port}"}) == 1
    assert capsys.readouterr().err == f"jobgate: 127.0.0.1:{port}: {problem}\n"


def test_address_of_the_image_that_is_none_is_unhealthy(capsys: pytest.CaptureFixture[str]) -> None:
    assert main({"JOBGATE_LISTEN": "nowhere"}) == 1
    assert "write ADDRESS:PORT" in capsys.readouterr().err
