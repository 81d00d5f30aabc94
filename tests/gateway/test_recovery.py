from __future__ import annotations

import signal

import pytest

from jobgate.gateway.recovery import MAX_PAUSE_S, ending, pause_s


def test_first_start_is_at_once_and_the_next_ones_later_and_later() -> None:
    assert [pause_s(failures) for failures in range(1, 8)] == [0.0, 1.0, 2.0, 4.0, 8.0, 16.0, MAX_PAUSE_S]
    assert pause_s(10**6) == MAX_PAUSE_S


@pytest.mark.parametrize(
    ("returncode", "text"),
    [
        (0, "it ended with exit code 0"),
        (3, "it ended with exit code 3"),
        (-signal.SIGKILL, "it was ended by SIGKILL"),
        (-63, "it was ended by signal 63"),
    ],
)
def test_end_of_a_process_in_words(returncode: int, text: str) -> None:
    assert ending(returncode) == text
