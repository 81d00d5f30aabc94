"""From two looks at the jobs to rows."""

from __future__ import annotations

import pytest

from jobgate.cli.top_model import SORTS, Look, Row, rows_of, sorted_rows, sum_of


def look(
    id: str = "a", *, up: int = 0, down: int = 0, waited: float = 0.0, connections: int = 0, refused: int = 0
) -> Look:
    return Look(id, "active", connections, 10, refused, up, down, None, 1_250_000.0, waited, waited)


def test_rate_is_the_difference_by_the_time() -> None:
    (row,) = rows_of({"a": look(up=100, down=1000, waited=1.0)}, [look(up=300, down=1000, waited=3.0)], 2.0)
    assert (row.up, row.down, row.held) == (100.0, 0.0, 2.0)


@pytest.mark.parametrize(
    ("before", "span_s"),
    [({}, 1.0), ({"a": look(down=9000)}, 1.0), ({"a": look()}, 0.0)],
    ids=["new job", "counts anew", "no time between"],
)
def test_no_rate_is_made_up(before: dict[str, Look], span_s: float) -> None:
    (row,) = rows_of(before, [look(up=5000, down=5000)], span_s)
    assert (row.up, row.down, row.held) == (0.0, 0.0, 0.0)


ROWS = [
    Row(look("b", connections=1, refused=5), up=1.0, down=3.0, held=0.0),
    Row(look("c", connections=2, refused=5), up=2.0, down=2.0, held=0.5),
    Row(look("a", connections=3, refused=0), up=3.0, down=1.0, held=0.25),
]


@pytest.mark.parametrize(
    ("sort", "order"),
    [
        ("id", "abc"),
        ("down", "bca"),
        ("up", "acb"),
        ("connections", "acb"),
        ("waiting", "cab"),
        ("refused", "bca"),
    ],
)
def test_largest_comes_first_and_equal_ones_by_id(sort: str, order: str) -> None:
    assert "".join(row.look.id for row in sorted_rows(ROWS, sort)) == order


def test_every_sort_has_its_case() -> None:
    assert set(SORTS) == {"id", "down", "up", "connections", "waiting", "refused"}


def test_sum_is_of_all_rows() -> None:
    total = sum_of(ROWS)
    assert (total.jobs, total.connections, total.requests, total.refused) == (3, 6, 30, 10)
    assert (total.up, total.down, total.held) == (6.0, 6.0, 0.75)
