"""Tables of a configuration file into dataclasses, by cattrs.

The readers in the fields' annotations do the reading; cattrs walks the fields, finds
unknown keys, and gathers every error of a table. cattrs drops ``Annotated`` from
annotations that are strings, so the modules of these dataclasses do without
``from __future__ import annotations``.
"""

from __future__ import annotations

from dataclasses import fields
from difflib import get_close_matches
from typing import NamedTuple, TypeVar

from cattrs import ClassValidationError, Converter, ForbiddenExtraKeysError

from .members import MemberErrors, key_of
from .readers import Reader

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
    try:
        return _CONVERTER.structure(table, kind), [], frozenset()
    except ClassValidationError as error:
        problems, bad = _problems(error)
    sound = {key: value for key, value in table.items() if key not in bad}
    return _CONVERTER.structure(sound, kind), problems, bad


def unknown_key(key: str, known: list[str]) -> Problem:
    """Report a key that has no meaning here, with the one that was probably meant."""
    close = get_close_matches(key, known, n=1)
    hint = f', did you mean "{close[0]}"?' if close else f"; the keys here are: {', '.join(sorted(known))}"
    return Problem(key_of(key), f"unknown key{hint}")


def _problems(error: ClassValidationError) -> tuple[list[Problem], frozenset[str]]:
    """Take apart what cattrs gathered for one table."""
    problems: list[Problem] = []
    bad: set[str] = set()
    of_fields, others = error.group_exceptions()
    for cause, note in of_fields:
        bad.add(note.name)
        if isinstance(cause, MemberErrors):
            problems += [Problem(f"{note.name}{path}", message) for path, message in cause.errors]
        else:
            problems.append(Problem(note.name, str(cause)))
    for cause in others:
        if not isinstance(cause, ForbiddenExtraKeysError):
            raise cause
        known = [field.name for field in fields(cause.cl)]
        problems += [unknown_key(key, known) for key in sorted(cause.extra_fields)]
        bad |= cause.extra_fields
    return problems, frozenset(bad)


def _reader(annotation: object) -> Reader | None:
    marks: tuple[object, ...] = getattr(annotation, "__metadata__", ())
    return next((mark for mark in marks if isinstance(mark, Reader)), None)


def _converter() -> Converter:
    def structure(value: object, annotation: object) -> object:
        reader = _reader(annotation)
        return value if reader is None else reader.read(value)

    converter = Converter(detailed_validation=True, forbid_extra_keys=True)
    converter.register_structure_hook_func(lambda annotation: _reader(annotation) is not None, structure)
    return converter


_CONVERTER = _converter()
