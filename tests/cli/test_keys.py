"""Keys from a pseudo-terminal."""

from __future__ import annotations

import asyncio
import os
import termios
from collections.abc import Iterator

import pytest

from jobgate.cli.keys import pressed_keys
from support.wait import until


@pytest.fixture
def terminal() -> Iterator[tuple[int, int]]:
    """Both ends: the person's and the program's."""
    person, program = os.openpty()
    yield person, program
    os.close(person)
    os.close(program)


async def test_each_key_is_told_without_enter(terminal: tuple[int, int]) -> None:
    person, program = terminal
    keys: list[str] = []
    with pressed_keys(program, keys.append):
        os.write(person, b"dq")
        await until(lambda: len(keys) == 2)
    assert keys == ["d", "q"]


async def test_terminal_is_left_as_it_was(terminal: tuple[int, int]) -> None:
    _, program = terminal
    before = termios.tcgetattr(program)
    with pressed_keys(program, lambda _: None):
        assert not termios.tcgetattr(program)[3] & termios.ICANON
        assert termios.tcgetattr(program)[3] & termios.ISIG  # Ctrl+C goes on working
    assert termios.tcgetattr(program) == before


async def test_bytes_that_are_no_keys_do_no_harm(terminal: tuple[int, int]) -> None:
    person, program = terminal
    keys: list[str] = []
    with pressed_keys(program, keys.append):
        os.write(person, b"\xff\x1b[Aq")
        await until(lambda: "q" in keys)
    assert keys[-1] == "q"


async def test_no_terminal_has_no_keys() -> None:
    read, write = os.pipe()
    keys: list[str] = []
    with pressed_keys(read, keys.append):
        os.write(write, b"d")
        await asyncio.sleep(0)
    os.close(read)
    os.close(write)
    assert keys == []
