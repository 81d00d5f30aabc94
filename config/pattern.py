r"""Regular expressions of the node's allow list, as imported from lists that have them.

A pattern is written ``regex:^...$`` and means names only. It is taken in a small part of
RE2's syntax in which three things can be told from the text: it is anchored at both
ends, it ends with at least two literal labels (as a suffix has at least two), and it is
matched in linear time. Nothing else can be said in its place by a name or a suffix.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

from .host import HostError, Name, parse_host
from .rule import quoted

#: What marks an entry; a host named "regex" can still be listed, its port is a number.
PREFIX = "regex:"
#: Longer ones cost memory in proportion, and nobody reads them.
MAX_PATTERN_CHARS = 200
#: Of the automaton of one pattern, in bytes; with less, RE2 is slower and still linear.
_MAX_AUTOMATON_BYTES = 1 << 18

_TOKEN = re.compile(
    r"(?P<literal>[a-z0-9_-]|\\[_-])"
    r"|(?P<dot>\\\.)"
    r"|(?P<any>\.)"
    r"|(?P<set>\[\^?(?:[a-z0-9_.-]|\\[dw.-])+\]|\\[dw])"
    r"|(?P<open>\((?:\?:|(?!\?)))"
    r"|(?P<close>\))"
    r"|(?P<bar>\|)"
    r"|(?P<times>[*+?]|\{[0-9]{1,3}(?:,[0-9]{0,3})?\})"
)
# Lower case would turn them into their opposites.
_INVERTED = re.compile(r"\\[A-Z]")


class PatternError(ValueError):
    """Not a pattern that can be taken; the message says why and what to write."""


class Token(NamedTuple):
    """One piece of an expression.

    Attributes:
        kind: ``literal``, ``dot`` (a literal one), ``any``, ``set``, ``open``, ``close``, ``bar``, ``times``.
        text: As written.
    """

    kind: str
    text: str


@dataclass(frozen=True, slots=True)
class HostPattern:
    """A pattern, which matches names that end in ``.tail`` and no others.

    Attributes:
        text: ``^...$``, in lower case.
        tail: The literal labels at the end.
        port: Always ``None``: as an entry without a port.
    """

    text: str
    tail: Name
    port: None = field(default=None, init=False)
    _fullmatch: Callable[[str], object] = field(compare=False, repr=False, default=lambda _: None)

    def matches(self, name: Name) -> bool:
        """Say whether the pattern means this name; in time linear in its length."""
        return self._fullmatch(name) is not None

    def __str__(self) -> str:
        return f"{PREFIX}{self.text}"


def is_pattern(entry: str) -> bool:
    """Say whether an entry of a list is meant as a pattern, well written or not."""
    text = entry.strip(" \t")
    return text.startswith(PREFIX) and not text.removeprefix(PREFIX).isdigit()


def parse_pattern(entry: str) -> HostPattern:
    """Read an entry that ``is_pattern``.

    Raises:
        PatternError: It is not anchored, ends with fewer than two literal labels, uses what is
            not understood here, or RE2 refuses it; or RE2 is not installed.
    """
    written = entry.strip(" \t").removeprefix(PREFIX)
    if _INVERTED.search(written):
        raise PatternError(r"\D, \S and \W mean the opposite of \d, \s and \w: write a [set]")
    text = written.lower()
    if len(text) > MAX_PATTERN_CHARS:
        raise PatternError(f"an expression has at most {MAX_PATTERN_CHARS} characters")
    if not (text.startswith("^") and text.endswith("$") and len(text) > 2):
        raise PatternError(f"an expression is anchored at both ends: write {quoted(f'{PREFIX}^...$')}")
    body = text[1:-1]
    tokens = list(tokens_of(body))
    tail = _tail(tokens)
    return HostPattern(text, tail, _compiled(body))


def tokens_of(body: str) -> Iterator[Token]:
    """Take an expression without its anchors apart.

    Raises:
        PatternError: A piece outside the syntax understood here.
    """
    at = 0
    while at < len(body):
        match = _TOKEN.match(body, at)
        if match is None or match.lastgroup is None:
            raise PatternError(
                f"{quoted(body[at : at + 2])} is not understood here: write names, '\\.', '.', "
                "[sets], (groups|of|names) and * + ? {n}"
            )
        yield Token(match.lastgroup, match[0])
        at = match.end()


def literal_end(tokens: list[Token]) -> tuple[str, int]:
    """Return the literal text at the end of an expression, and how many tokens are before it."""
    text: list[str] = []
    for token in reversed(tokens):
        if token.kind not in ("literal", "dot"):
            break
        text.append(token.text[-1])
    return "".join(reversed(text)), len(tokens) - len(text)


def is_alternation(tokens: list[Token]) -> bool:
    """Say whether an expression is several, of which each would need its own anchors."""
    depth = 0
    for token in tokens:
        depth += {"open": 1, "close": -1}.get(token.kind, 0)
        if token.kind == "bar" and depth <= 0:
            return True
    return False


def _tail(tokens: list[Token]) -> Name:
    """The whole labels at the end that are literal."""
    if is_alternation(tokens):
        raise PatternError("'|' outside a group splits the anchors: write ^(a|b)\\.example\\.com$")
    literal, before = literal_end(tokens)
    if before == 0:
        raise PatternError(f"an expression without any choice: write {quoted(literal)}")
    tail = literal.partition(".")[2]
    try:
        host = parse_host(tail.encode("ascii"))
    except HostError:
        host = None
    if not isinstance(host, Name) or "." not in host or host != tail:
        raise PatternError(
            r"an expression ends with two literal labels at least, as in ^cdn[0-9]+\.example\.com$: "
            "otherwise whoever registers a name could be meant"
        )
    return host


def _compiled(body: str) -> Callable[[str], object]:
    """Compile an expression; what its ``fullmatch`` returns is ``None`` or a match."""
    try:
        import re2  # a list without expressions does not need it
    except ImportError:
        raise PatternError(
            "an expression needs google-re2: install jobgate[golem], or list the names"
        ) from None
    options = re2.Options()
    options.log_errors = False
    options.max_mem = _MAX_AUTOMATON_BYTES
    try:
        fullmatch: Callable[[str], object] = re2.compile(body, options).fullmatch
    except re2.error as error:
        reason = error.args[0] if error.args else ""
        text = reason.decode("utf-8", "replace") if isinstance(reason, bytes) else str(reason)
        raise PatternError(f"not a regular expression: {text}") from None
    return fullmatch
