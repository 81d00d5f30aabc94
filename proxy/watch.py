"""A small text file that others change: read again when it has changed."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Generic, TypeVar

# The file is looked at no more often than this: a look costs a system call.
CHECK_INTERVAL_S = 1.0

_T = TypeVar("_T")
_Version = tuple[int, int, int]


class WatchedFile(Generic[_T]):
    """The parsed text of a file, at most ``CHECK_INTERVAL_S`` old.

    A file that is missing or unreadable counts as empty; bytes that are not UTF-8
    are replaced, so that one odd line does not hide the others.

    Args:
        path: The file; it may come and go.
        parse: Turns the text into the value; must accept any text.
        clock: Seconds, monotonic.
    """

    def __init__(self, path: Path, parse: Callable[[str], _T], clock: Callable[[], float]) -> None:
        self._path = path
        self._parse = parse
        self._clock = clock
        self._next_check = clock()
        self._version: _Version | None = None
        self._value = parse("")

    def value(self) -> _T:
        if self._clock() >= self._next_check:
            self._next_check = self._clock() + CHECK_INTERVAL_S
            self._refresh()
        return self._value

    def _refresh(self) -> None:
        version = self._current_version()
        if version == self._version:
            return
        self._version = version
        self._value = self._parse(self._text())

    def _current_version(self) -> _Version | None:
        try:
            status = os.stat(self._path)
        except OSError:
            return None
        return status.st_mtime_ns, status.st_size, status.st_ino

    def _text(self) -> str:
        try:
            return self._path.read_text(encoding="utf-8", errors="replace")
        except OSError:
            return ""
