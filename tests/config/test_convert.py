"""Tables into dataclasses."""

# No "from __future__ import annotations": see jobgate.config.convert.

from dataclasses import dataclass
from typing import Annotated

import pytest

from jobgate.config.convert import Problem, read_table, unknown_key
from jobgate.config.readers import Reader, integer, read_rules
from jobgate.config.rules import NO_RULES, RuleSet


@dataclass(frozen=True, slots=True)
class Sample:
    count: Annotated[int, Reader(integer(1, 9))] = 1
    size: Annotated[int, Reader(integer(1, 9))] = 2
    rules: Annotated[RuleSet, Reader(read_rules)] = NO_RULES


def test_read_table_reads_fields_and_keeps_defaults() -> None:
    assert read_table(Sample, {"count": 3}) == (Sample(3), [], frozenset())


def test_read_table_reports_everything_and_keeps_what_is_sound() -> None:
    table = {"count": "3", "size": 5, "rules": ["a.b", "*.c.d"], "cuont": 1}
    value, problems, bad = read_table(Sample, table)
    assert value == Sample(size=5)
    assert bad == {"count", "rules", "cuont"}
    assert problems == [
        Problem("count", 'expected a whole number, got the text "3"'),
        Problem("rules[1]", '"*.c.d": write ".c.d"'),
        Problem("cuont", 'unknown key, did you mean "count"?'),
    ]


@pytest.mark.parametrize("table", [[], "a", 1, None])
def test_read_table_refuses_what_is_no_table(table: object) -> None:
    with pytest.raises(ValueError, match="expected a table"):
        read_table(Sample, table)


def test_unknown_key_without_a_near_one_lists_them() -> None:
    assert unknown_key("zzz", ["b", "a"]) == Problem("zzz", "unknown key; the keys here are: a, b")


def test_problem_below_a_table() -> None:
    assert Problem("a[1]", "x").below("job[0]") == Problem("job[0].a[1]", "x")
