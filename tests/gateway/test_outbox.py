from __future__ import annotations

import os
from collections import deque

import pytest

from jobgate.gateway.link import MAX_DESCRIPTORS
from jobgate.gateway.outbox import Batch, Connection, Message, drop, forget, keep_connections, next_of


def connection(number: int) -> Message:
    return Connection(f"192.0.2.1:{number}", 2, "job"), number


def test_connections_that_come_one_after_another_are_one_message() -> None:
    messages: deque[Message] = deque([({"add": "a"}, None), connection(7), connection(8), ({"listen": 1}, 9)])
    both = [("192.0.2.1:7", 2, "job"), ("192.0.2.1:8", 2, "job")]
    expected = [
        Batch(1, {"add": "a"}, []),
        Batch(2, {"connections": both}, [7, 8]),
        Batch(1, {"listen": 1}, [9]),
    ]
    for batch in expected:
        assert next_of(messages) == batch
        for _ in range(batch.size):
            messages.popleft()
    assert not messages


def test_message_has_no_more_descriptors_than_the_kernel_takes() -> None:
    messages: deque[Message] = deque(map(connection, range(MAX_DESCRIPTORS + 1)))
    size, _, descriptors = next_of(messages)
    assert (size, len(descriptors)) == (MAX_DESCRIPTORS, MAX_DESCRIPTORS)
    for _ in range(size):
        messages.popleft()
    assert next_of(messages).descriptors == [MAX_DESCRIPTORS]


def is_open(descriptor: int) -> bool:
    try:
        os.fstat(descriptor)
    except OSError:
        return False
    return True


@pytest.fixture
def messages() -> deque[Message]:
    """A connection, a listener, and something without a descriptor."""
    reader, writer = os.pipe()
    return deque([(Connection("unix", 1, "job"), reader), ({"listen": 1}, writer), ({}, None)])


def test_dropped_messages_leave_nothing_open(messages: deque[Message]) -> None:
    descriptors = [descriptor for _, descriptor in messages if descriptor is not None]
    drop(messages)
    assert not messages
    assert not any(map(is_open, descriptors))


def test_sent_messages_leave_nothing_open_and_others_are_kept(messages: deque[Message]) -> None:
    first, second, _ = (descriptor for _, descriptor in messages)
    assert first is not None
    assert second is not None
    forget(messages, 1)
    assert [is_open(first), is_open(second), len(messages)] == [False, True, 2]
    forget(messages, 2)
    assert [is_open(second), len(messages)] == [False, 0]


def test_connections_outlive_other_messages(messages: deque[Message]) -> None:
    (_, first), (_, second), _ = messages
    assert first is not None
    assert second is not None
    kept = keep_connections(messages)
    assert kept == [(Connection("unix", 1, "job"), first)]
    assert [is_open(first), is_open(second), len(messages)] == [True, False, 0]
    drop(deque(kept))
