"""A watched file: read when it changed, looked at once a second at most."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from jobgate.proxy.watch import CHECK_INTERVAL_S, WatchedFile
from support.clock import VirtualClock


@pytest.fixture
def clock() -> VirtualClock:
    return VirtualClock()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "hosts"


def test_value_is_read_at_the_first_use(path: Path, clock: VirtualClock) -> None:
    watched = WatchedFile(path, str.split, clock.time)
    path.write_text("a b")
    assert watched.value() == ["a", "b"]


def test_value_follows_the_file_within_the_interval(path: Path, clock: VirtualClock) -> None:
    path.write_text("old")
    watched = WatchedFile(path, str, clock.time)
    assert watched.value() == "old"
    path.write_text("newer")
    clock.advance(CHECK_INTERVAL_S * 0.9)
    assert watched.value() == "old"
    clock.advance(CHECK_INTERVAL_S * 0.1)
    assert watched.value() == "newer"


def test_file_of_the_same_size_is_read_again_by_its_time(path: Path, clock: VirtualClock) -> None:
    path.write_text("old")
    watched = WatchedFile(path, str, clock.time)
    assert watched.value() == "old"
    path.write_text("new")
    os.utime(path, ns=(0, 1))
    clock.advance(CHECK_INTERVAL_S)
    assert watched.value() == "new"


def test_unchanged_file_is_parsed_once(path: Path, clock: VirtualClock) -> None:
    path.write_text("text")
    parsed: list[str] = []
    watched = WatchedFile(path, parsed.append, clock.time)
    for _ in range(3):
        watched.value()
        clock.advance(CHECK_INTERVAL_S)
    assert parsed == ["", "text"]


def test_missing_file_is_empty_and_may_come_and_go(path: Path, clock: VirtualClock) -> None:
    watched = WatchedFile(path, str, clock.time)
    assert watched.value() == ""
    path.write_text("here")
    clock.advance(CHECK_INTERVAL_S)
    assert watched.value() == "here"
    path.unlink()
    clock.advance(CHECK_INTERVAL_S)
    assert watched.value() == ""


def test_file_that_is_no_text_is_read_as_far_as_possible(path: Path, clock: VirtualClock) -> None:
    path.write_bytes(b"a \xff b")
    assert WatchedFile(path, str.split, clock.time).value() == ["a", "�", "b"]


def test_file_that_cannot_be_read_is_empty(path: Path, clock: VirtualClock) -> None:
    path.mkdir()
    assert WatchedFile(path, str, clock.time).value() == ""
