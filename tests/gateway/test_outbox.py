from __future__ import annotations

import os
from collections import deque

import pytest

from jobgate.gateway.link import MAX_DESCRIPTORS
from jobgate.gateway.outbox import Message, drop, next_of


def test_connections_that_come_one_after_another_are_one_message() -> None:
    messages: deque[Message] = deque(
        [
            ({"add": "a"}, None),
            ({"connection": ["192.0.2.1:1", 2]}, 7),
            ({"connection": ["192.0.2.1:2", 2]}, 8),
            ({"listen": 1}, 9),
        ]
    )
    assert next_of(messages) == ({"add": "a"}, [])
    assert next_of(messages) == ({"connections": [["192.0.2.1:1", 2], ["192.0.2.1:2", 2]]}, [7, 8])
    assert next_of(messages) == ({"listen": 1}, [9])
    assert not messages


def test_message_has_no_more_descriptors_than_the_kernel_takes() -> None:
    messages: deque[Message] = deque(({"connection": [str(n), 2]}, n) for n in range(MAX_DESCRIPTORS + 1))
    assert len(next_of(messages)[1]) == MAX_DESCRIPTORS
    assert next_of(messages) == ({"connections": [[str(MAX_DESCRIPTORS), 2]]}, [MAX_DESCRIPTORS])


def test_dropped_messages_leave_nothing_open() -> None:
    reader, writer = os.pipe()
    messages: deque[Message] = deque(
        [({"connection": ["unix", 1]}, reader), ({"listen": 1}, writer), ({}, None)]
    )
    drop(messages)
    assert not messages
    for descriptor in (reader, writer):
        with pytest.raises(OSError, match="Bad file descriptor"):
            os.fstat(descriptor)
