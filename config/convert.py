"""Tables of a configuration file into dataclasses.

The readers in the fields' annotations do the reading; here the fields are walked,
unknown keys found, and all errors of a table gathered. An annotation that is a string
carries no reader, so the modules of these dataclasses do without
``from __future__ import annotations``.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple, TypeVar

from .members import MemberErrors, key_of

_T = TypeVar("_T")


class Problem(NamedTuple):
    """Something wrong in a file.

    Attributes:
        path: Where, below the table: ``domains[2]``.
        message: What, and how to put it right.
    """

    path: str
    message: str

    def below(self, table: str) -> Problem:
        """Locate the problem from one table further up."""
        return self._replace(path=f"{table}.{self.path}")


def read_table(kind: type[_T], table: object) -> tuple[_T, list[Problem], frozenset[str]]:
    """Read a table into a dataclass all of whose fields have defaults.

    Returns:
        The value, with the defaults in place of what was wrong; the problems; and the
        keys that were wrong, about which no further conclusion should be drawn.

    Raises:
        ValueError: It is no table at all.
    """
    if not isinstance(table, dict):
        raise ValueError("expected a table")
    values: dict[str, object] = {}
    problems: list[Problem] = []
    readers = _readers(kind)
    for key, read in readers.items():
        if key not in table:
            continue
        try:
            values[key] = read(table[key])
        except MemberErrors as error:
            problems += [Problem(f"{key}{path}", message) for path, message in error.errors]
        except ValueError as error:
            problems.append(Problem(key, str(error)))
    problems += [unknown_key(key, list(readers)) for key in sorted(table.keys() - readers.keys())]
    return kind(**values), problems, frozenset(table.keys() - values.keys())


def unknown_key(key: str, known: list[str]) -> Problem:
    """Report a key that has no meaning here, with the one that was probably meant."""
    from difflib import get_close_matches  # large, and rarely needed

    close = get_close_matches(key, known, n=1)
    hint = f', did you mean "{close[0]}"?' if close else f"; the keys here are: {', '.join(sorted(known))}"
    return Problem(key_of(key), f"unknown key{hint}")


def _readers(kind: type) -> dict[str, Callable[[object], object]]:
    """The readers of a dataclass's fields, in their order."""
    return {name: annotation.__metadata__[0].read for name, annotation in kind.__annotations__.items()}
