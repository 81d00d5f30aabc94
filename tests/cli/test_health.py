from __future__ import annotations

import pytest

from jobgate.cli import call
from support.gate_probe import HEALTHY, one_answer, tcp_listener


def test_nobody_there_is_one_line_and_exit_1(capsys: pytest.CaptureFixture[str]) -> None:
    listener, port = tcp_listener()
    listener.close()
    assert call(["health", f"127.0.0.1:{port}"]) == 1
    assert capsys.readouterr().err == f"jobgate: 127.0.0.1:{port}: Connection refused\n"


def test_address_comes_from_the_listen_variable(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    listener, port = tcp_listener()
    monkeypatch.setenv("JOBGATE_LISTEN", f"0.0.0.0:{port}")
    with one_answer(listener, lambda sock: sock.sendall(HEALTHY)):
        assert call(["health"]) == 0
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize("address", ["127.0.0.1", ":3128", "127.0.0.1:http", ""])
def test_address_without_port_is_a_usage_error(address: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert call(["health", address]) == 2
    assert "write ADDRESS:PORT" in capsys.readouterr().err
