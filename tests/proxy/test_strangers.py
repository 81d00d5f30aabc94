from __future__ import annotations

from collections import Counter
from ipaddress import ip_address

from hypothesis import given
from hypothesis import strategies as st

from jobgate.proxy.strangers import Strangers

ONE, OTHER = ip_address("192.0.2.1"), ip_address("192.0.2.2")


def test_each_origin_has_a_bound_of_its_own() -> None:
    strangers = Strangers()
    assert [strangers.enter(ONE, each=2, in_all=9) for _ in range(3)] == [True, True, False]
    assert strangers.enter(OTHER, each=2, in_all=9)
    assert len(strangers) == 3
    strangers.leave(ONE)
    assert strangers.enter(ONE, each=2, in_all=9)


def test_all_origins_together_have_a_bound() -> None:
    strangers = Strangers()
    assert strangers.enter(ONE, each=9, in_all=1)
    assert not strangers.enter(OTHER, each=9, in_all=1)
    strangers.leave(ONE)
    assert strangers.enter(OTHER, each=9, in_all=1)


@given(st.lists(st.tuples(st.sampled_from([ONE, OTHER, 1000, None]), st.booleans()), max_size=60))
def test_counts_are_those_of_a_list(steps: list[tuple[object, bool]]) -> None:
    strangers = Strangers()
    inside: Counter[object] = Counter()
    for origin, comes in steps:
        if comes:
            has_room = inside[origin] < 3 and inside.total() < 5
            assert strangers.enter(origin, each=3, in_all=5) is has_room  # type: ignore[arg-type]
            inside[origin] += has_room
        elif inside[origin]:
            strangers.leave(origin)  # type: ignore[arg-type]
            inside[origin] -= 1
        assert len(strangers) == inside.total()
