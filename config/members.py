"""Lists and tables of a configuration file, read member by member.

All bad members are reported at once, each with its path below the list or table.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from typing import TypeVar

from .rule import quoted

_T = TypeVar("_T")


class MemberErrors(ValueError):
    """Bad members of a list or table.

    Args:
        errors: (path below the value, as ``[2]`` or ``."ok.test"[0]``; message).
    """

    def __init__(self, errors: Iterable[tuple[str, str]]) -> None:
        self.errors = list(errors)
        super().__init__("\n".join(f"{path}: {message}" for path, message in self.errors))


def text_of(value: object) -> str:
    """Take a text, and nothing else for one."""
    if not isinstance(value, str):
        raise ValueError(f"expected a text, got {kind_of(value)}")
    return value


def members_of(value: object, read: Callable[[object], _T]) -> tuple[_T, ...]:
    """Read all members of a list."""
    if not isinstance(value, list):
        raise ValueError(f"expected a list, got {kind_of(value)}")
    members: list[_T] = []
    errors: list[tuple[str, str]] = []
    for index, member in enumerate(value):
        try:
            members.append(read(member))
        except ValueError as error:
            prefix = f"{quoted(member)}: " if isinstance(member, str) else ""
            errors.append((f"[{index}]", f"{prefix}{error}"))
    if errors:
        raise MemberErrors(errors)
    return tuple(members)


def entries_of(value: object, read: Callable[[str, object], None]) -> None:
    """Read all entries of a table."""
    if not isinstance(value, dict):
        raise ValueError(f"expected a table, got {kind_of(value)}")
    errors: list[tuple[str, str]] = []
    for key, entry in value.items():
        try:
            read(key, entry)
        except MemberErrors as error:
            errors += [(f".{key_of(key)}{path}", message) for path, message in error.errors]
        except ValueError as error:
            errors.append((f".{key_of(key)}", str(error)))
    if errors:
        raise MemberErrors(errors)


def key_of(key: str) -> str:
    """Write a key as it stands in TOML, bounded in length."""
    return key if re.fullmatch(r"[A-Za-z0-9_-]{1,100}", key) else quoted(key)


def kind_of(value: object) -> str:
    """Name the type of a value in the words of TOML."""
    match value:
        case bool():
            return "true" if value else "false"
        case str():
            return f"the text {quoted(value)}"
        case int() | float():
            return f"the number {bounded(value)}"
        case list():
            return "a list"
        case dict():
            return "a table"
        case _:
            return "a date or time"


def bounded(value: float) -> str:
    """Write a number in at most 24 characters: an integer of TOML may have thousands of digits."""
    if isinstance(value, int) and abs(value) >= 10**20:
        return "a number of more than 20 digits"
    return str(value)
