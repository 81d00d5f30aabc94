r"""From a regular expression of a Golem whitelist to a rule or an anchored pattern. Pure.

Golem searches: ``domain.com`` also matches ``domain.com.hacked.pro`` and, because of the
dot, ``mydomainxcom``. What leading-dot rules can say is said by them; an expression that
is anchored is kept, with dots that were meant as dots; every other is refused with the
spelling that is safe. Nothing is taken that would let more pass than it did, but for
the apex of a suffix, and that is said.

Source: yagna, utils/manifest-utils/src/matching/domain.rs (lower case, ``x`` flag, RegexSet search).
"""

from __future__ import annotations

import re

from jobgate.config.pattern import (
    PREFIX,
    HostPattern,
    PatternError,
    Token,
    is_alternation,
    literal_end,
    parse_pattern,
    tokens_of,
)
from jobgate.config.rule import Rule, RuleError, parse_rule, quoted

from ..allowlist import Refused, Source, Taken

# Blanks of ASCII: \s has characters that are none to Golem.
_IGNORED = re.compile(r"(\\.)|[ \t\n\r\f\v]+|#[^\n]*", re.DOTALL)
_INVERTED = re.compile(r"\\[A-Z]")
# "(^|\.)" in front: the name itself and all below it.
_AT_A_LABEL = re.compile(r"\((?:\?:)?(?:\^\|\\\.|\\\.\|\^)\)")

_ANY_SPELLINGS = ([("any", "."), ("times", "*")], [("any", "."), ("times", "+")])
#: What may follow a dot that is there exactly once.
_ONCE = ("literal", "dot", "any", "set", "open")
_DOT_TAKEN = "an unescaped '.' is taken as a dot, not as any character"
_GENERIC = r"list the names, or write an expression like ^cdn[0-9]+\.example\.com$"


class _Refusal(ValueError):
    """The expression is not taken."""


def translate(source: Source) -> Taken | Refused:
    """Take one expression, or say why not."""
    changes: list[str] = []
    try:
        entry = _translate(_as_golem_reads(source.text, changes), changes)
    except (_Refusal, PatternError, RuleError) as error:
        return Refused(source, str(error))
    return Taken(source, entry, tuple(changes))


def _as_golem_reads(text: str, changes: list[str]) -> str:
    """Lower case, without blanks and comments."""
    plain = _IGNORED.sub(lambda match: match[1] or "", text)
    if plain != text.strip(" \t\n\r\f\v"):
        changes.append("blanks and comments inside are left out, as Golem does")
    if _INVERTED.search(plain):
        changes.append(r"Golem reads expressions in lower case, \D as \d: so does this")
    return plain.lower()


def _translate(text: str, changes: list[str]) -> Rule | HostPattern:
    at_label = _AT_A_LABEL.match(text)
    anchored = text.startswith("^")
    ends = text.endswith("$") and not text.endswith(r"\$")
    body = text[at_label.end() if at_label else int(anchored) : len(text) - int(ends)]
    tokens = _with_literal_dots(list(tokens_of(body)), changes)
    if is_alternation(tokens):
        raise _Refusal(f"'|' outside a group: each part needs its own entry; {_GENERIC}")
    literal, before = literal_end(tokens)
    if not ends:
        raise _Refusal(f"no '$' at the end: {_example(tokens, '', '.hacked.pro')}{_safe(tokens)}")
    if literal.endswith("."):
        raise _Refusal(f"no name ends with a dot: {_GENERIC}")
    head = tokens[:before]
    if at_label is not None:
        return _below(tokens, literal, head)
    if not head:
        return _plain(tokens, literal, anchored, changes)
    if _is_anything(head) and literal.startswith("."):
        return _suffix(literal, changes)
    if anchored and _is_optional_prefix(head) and not literal.startswith("."):
        return parse_rule(f".{literal}")
    at_dot = not anchored and [token.kind for token in tokens[:2]] in (["dot", kind] for kind in _ONCE)
    if not (anchored or at_dot or _is_anything(head[:2])):
        raise _Refusal(f"no '^' in front: {_example(tokens, 'my', '')}{_safe(tokens)}")
    return _kept(".*" if at_dot else "", tokens)


def _with_literal_dots(tokens: list[Token], changes: list[str]) -> list[Token]:
    """Take dots for dots, where they stand for exactly one character."""
    read: list[Token] = []
    for index, token in enumerate(tokens):
        is_repeated = index + 1 < len(tokens) and tokens[index + 1].kind == "times"
        is_one = token.kind == "any" and not is_repeated
        read.append(Token("dot", r"\.") if is_one else token)
    if read != tokens:
        changes.append(_DOT_TAKEN)
    return read


def _plain(tokens: list[Token], literal: str, anchored: bool, changes: list[str]) -> Rule:
    """An expression without any choice."""
    if literal.startswith("."):
        if anchored:
            raise _Refusal("no name begins with a dot" + _safe(tokens))
        return _suffix(literal, changes)
    if not anchored:
        raise _Refusal(f"no '^' in front: {_example(tokens, 'my', '')}{_safe(tokens)}")
    return parse_rule(literal)


def _below(tokens: list[Token], literal: str, head: list[Token]) -> Rule:
    """What follows "(^|\\.)"."""
    if head or literal.startswith("."):
        raise _Refusal(f"'^' inside: {_GENERIC}{_safe(tokens)}")
    return parse_rule(f".{literal}")


def _suffix(literal: str, changes: list[str]) -> Rule:
    """All names below one, as Golem has it; here the name itself is one of them."""
    rule = parse_rule(literal)
    changes.append(f"also covers {quoted(str(rule.host))} itself")
    return rule


def _kept(front: str, tokens: list[Token]) -> HostPattern:
    body = front + "".join(token.text for token in tokens)
    try:
        return parse_pattern(f"{PREFIX}^{body}$")
    except PatternError as error:
        safe = _safe(tokens)
        raise _Refusal(f"{error}{'' if _GENERIC in safe else safe}") from None


def _is_anything(head: list[Token]) -> bool:
    return [tuple(token) for token in head] in _ANY_SPELLINGS


def _is_optional_prefix(head: list[Token]) -> bool:
    """Say whether the head is ``(.*\\.)?``."""
    kinds = [token.kind for token in head]
    return (
        kinds == ["open", "any", "times", "dot", "close", "times"]
        and head[2].text in ("*", "+")
        and head[5].text == "?"
    )


def _example(tokens: list[Token], front: str, end: str) -> str:
    """Show what an expression that is open at one end matches besides."""
    literal, before = literal_end(tokens)
    if before or not literal.strip("."):
        return "it also matches longer names"
    return f'it also matches "{front}{literal.lstrip(".")}{end}"'


def _safe(tokens: list[Token]) -> str:
    """Say what to write for what was probably meant."""
    literal, before = literal_end(tokens)
    whole = before == 0 or literal.startswith(".") or _is_anything(tokens[:before])
    name = literal.lstrip(".") if whole else literal.partition(".")[2]
    try:
        rule = parse_rule(f".{name}")
    except RuleError:
        return f": {_GENERIC}"
    return f': write "{rule.host}" or "{rule}"'
