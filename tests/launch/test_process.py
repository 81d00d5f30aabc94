from __future__ import annotations

import os
import signal

import pytest

from jobgate.launch.errors import EXIT_FAILED
from jobgate.launch.process import exit_code, fork


def ended(pid: int) -> int:
    return exit_code(os.waitpid(pid, 0)[1])


@pytest.mark.parametrize("code", [0, 1, 255])
def test_child_ends_with_what_its_body_returns(code: int) -> None:
    assert ended(fork(lambda: code)) == code


def test_child_with_a_defect_says_so_and_runs_nothing_of_the_parent(
    capfd: pytest.CaptureFixture[str],
) -> None:
    def body() -> int:
        raise RuntimeError("defect")

    assert ended(fork(body)) == EXIT_FAILED
    assert "RuntimeError: defect" in capfd.readouterr().err


def test_child_that_leaves_by_sys_exit_does_not_go_on() -> None:
    def body() -> int:
        raise SystemExit(3)

    assert ended(fork(body)) == EXIT_FAILED


def test_signal_is_128_and_its_number() -> None:
    def body() -> int:
        os.kill(os.getpid(), signal.SIGKILL)
        return 0

    assert ended(fork(body)) == 137
