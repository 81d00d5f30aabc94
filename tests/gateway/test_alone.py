"""A service beside which there is no other: a sidecar."""

from __future__ import annotations

import socket

from jobgate.gateway.alone import Alone
from jobgate.gateway.inherited import Inherited
from jobgate.gateway.listeners import bound_to


async def test_nobody_is_met_or_waited_for() -> None:
    followed: list[bool] = []
    alone = Alone(lambda: None)
    await alone.meet([], take_over=True)
    await alone.begin()
    await alone.confirm()
    await alone.wait(lambda: followed.append(True))
    await alone.follow()
    alone.give_up()
    await alone.close()
    assert (alone.known, alone.successor, followed) == (None, None, [])


async def test_socket_of_the_service_manager_is_there_to_be_taken_and_closed_otherwise() -> None:
    taken, left = (socket.create_server(("127.0.0.1", 0)) for _ in range(2))
    alone = Alone(lambda: None)
    await alone.meet([Inherited(taken), Inherited(left)], take_over=False)
    with taken:
        assert alone.inheritance.take(bound_to(taken)) is taken
        await alone.close()
        assert (taken.fileno() >= 0, left.fileno()) == (True, -1)


def test_hangup_reopens_the_log() -> None:
    reopened: list[bool] = []
    Alone(lambda: reopened.append(True)).on_hangup()
    assert reopened == [True]
