"""Parameters of queries: each is described and read in one place. Unknown ones are errors. Pure."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Generic, TypeVar

from jobgate.config.host import Name
from jobgate.config.rule import parse_rule

from .problems import BadRequest

if TYPE_CHECKING:
    from multidict import MultiMapping

T = TypeVar("T", covariant=True)

JOB_ID_PATTERN = "^[A-Za-z0-9._-]{1,128}$"


@dataclass(frozen=True, slots=True)
class Parameter(Generic[T]):
    """One parameter.

    Args:
        name: In the query.
        description: One sentence.
        schema: Of OpenAPI.
        read: From its text; raises ``ValueError`` with what to write.
        default: Where it is absent.
        repeated: It may be there more than once: all occurrences count.
    """

    name: str
    description: str
    schema: Mapping[str, object]
    read: Callable[[str], T]
    default: T
    repeated: bool = False

    def of(self, query: MultiMapping[str]) -> T:
        """Read it.

        Raises:
            BadRequest: It is there twice, or is not what it should be.
        """
        texts = query.getall(self.name, [])
        if not texts:
            return self.default
        if len(texts) > 1:
            raise BadRequest(f"The parameter {self.name} is there {len(texts)} times: write it once.")
        return self._one(texts[0])

    def all_of(self, query: MultiMapping[str]) -> list[T]:
        """Read every occurrence of a repeated one.

        Raises:
            BadRequest: One is not what it should be.
        """
        return [self._one(text) for text in query.getall(self.name, [])]

    def _one(self, text: str) -> T:
        try:
            return self.read(text)
        except ValueError as error:
            raise BadRequest(f"The parameter {self.name} is wrong: {error}.") from None


def check_names(query: MultiMapping[str], known: Iterable[str]) -> None:
    """Find parameters that have no meaning here.

    Raises:
        BadRequest: There is one.
    """
    known = sorted(known)
    for name in query:
        if name not in known:
            wanted = f"those here are: {', '.join(known)}" if known else "there are none here"
            raise BadRequest(f"Unknown parameter {ascii(name)[:80]}: {wanted}.")


def _whole(low: int, high: int) -> Callable[[str], int]:
    def read(text: str) -> int:
        if not re.fullmatch(r"[0-9]{1,9}", text) or not low <= int(text) <= high:
            raise ValueError(f"expected a whole number from {low} to {high}")
        return int(text)

    return read


def _number(name: str, description: str, *, low: int = 1, high: int, default: int) -> Parameter[int]:
    schema = {"type": "integer", "minimum": low, "maximum": high, "default": default}
    return Parameter(name, description, schema, _whole(low, high), default)


def _matching(pattern: str, expected: str) -> Callable[[str], str]:
    def read(text: str) -> str:
        if not re.fullmatch(pattern, text):
            raise ValueError(f"expected {expected}")
        return text

    return read


def _text(name: str, description: str, *, pattern: str, expected: str, default: str = "") -> Parameter[str]:
    return Parameter(
        name, description, {"type": "string", "pattern": pattern}, _matching(pattern, expected), default
    )


def _choice(name: str, description: str, *, choices: list[str]) -> Parameter[str]:
    schema = {"type": "string", "enum": choices, "default": choices[0]}
    return Parameter(
        name, description, schema, _matching("|".join(choices), " or ".join(choices)), choices[0]
    )


_LABEL = "[A-Za-z0-9_]([A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?"
_SUFFIX_PATTERN = f"^({_LABEL}[.]){{1,3}}[A-Za-z]([A-Za-z0-9-]{{0,50}}[A-Za-z0-9])?$"


def _suffix(text: str) -> Name:
    """Read a name as a suffix rule has it."""
    _matching(_SUFFIX_PATTERN, "a name of two to four labels")(text)
    return Name(str(parse_rule(f".{text}").host))


AFTER = _text(
    "after",
    "Go on behind this id: `next` of the page before.",
    pattern="^[A-Za-z0-9._-]{0,128}$",
    expected="the id of a job",
)
LIMIT = _number("limit", "Jobs on a page.", high=500, default=100)
_LABEL_PATTERN = "^[^=]{1,200}(=[^\\x00]{0,1000})?$"
LABEL = Parameter(
    "label",
    "Only jobs with this label (`team`), or this value of it (`team=vision`). If repeated, all must hold.",
    {"type": "string", "pattern": _LABEL_PATTERN},
    _matching(_LABEL_PATTERN, "a label, or label=value"),
    "",
    repeated=True,
)
LINES = _number("limit", "The newest lines.", high=1000, default=100)
TOP = _number("top", "Hosts in each list.", high=1000, default=50)
SUFFIX = Parameter(
    "suffix",
    "Join the names below this one (`example.com`) into one entry. May be repeated.",
    {"type": "string", "pattern": _SUFFIX_PATTERN, "maxLength": 245},
    _suffix,
    Name(""),
    repeated=True,
)
FORM = _choice("format", "JSON, lines of a configuration, or options.", choices=["json", "toml", "options"])
ADDRESS = _text(
    "address",
    "The gateway as the job sees it; by default the job's listener, or a shared one.",
    pattern="^([A-Za-z0-9._-]{1,253}|\\[[0-9A-Fa-f:.]{2,45}\\]):[0-9]{1,5}$",
    expected="HOST:PORT",
)
JOB = _text(
    "job", "Only lines of this job; by default of all.", pattern=JOB_ID_PATTERN, expected="the id of a job"
)
