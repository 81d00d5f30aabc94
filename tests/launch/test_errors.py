from __future__ import annotations

import errno

import pytest

from jobgate.launch.errors import EXIT_FAILED, LaunchError, SetupError, Step, during


def test_system_error_becomes_the_step_that_failed() -> None:
    with pytest.raises(SetupError) as caught, during(Step.LOOPBACK):
        raise PermissionError(errno.EPERM, "no")
    assert (caught.value.step, caught.value.number) == (Step.LOOPBACK, errno.EPERM)


def test_defect_stays_what_it_is() -> None:
    with pytest.raises(TypeError), during(Step.LOOPBACK):
        raise TypeError


def test_failure_of_ours_is_125_unless_said() -> None:
    assert LaunchError("x").exit_code == EXIT_FAILED == 125
    assert LaunchError("x", 143).exit_code == 143
