from __future__ import annotations

import dataclasses

import pytest

from jobgate.launch.plan import Plan


def test_plan_masks_run_unless_told_otherwise() -> None:
    assert not Plan(("true",), {}, proxy=True).keep_run


def test_plan_is_a_value() -> None:
    plan = Plan(("true",), {"A": "1"}, proxy=False)
    assert plan == Plan(("true",), {"A": "1"}, proxy=False)
    with pytest.raises(dataclasses.FrozenInstanceError):
        plan.proxy = True  # type: ignore[misc]
