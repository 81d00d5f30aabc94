from __future__ import annotations

import pytest

from jobgate.client.values import Problem


@pytest.mark.parametrize(
    ("problem", "text"), [(Problem("tls", "wrong"), "tls: wrong"), (Problem("", "wrong"), "wrong")]
)
def test_problem_is_a_line(problem: Problem, text: str) -> None:
    assert str(problem) == text
