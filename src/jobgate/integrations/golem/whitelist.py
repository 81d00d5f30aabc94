"""Golem's domain whitelists: ``strict.lst`` and ``regex.lst``, ``domain_whitelist.json`` of a provider.

Pure: texts in, an allow list out. A strict entry of Golem's is a whole host and nothing
else; one that could never match there is not made to match here.

Source: yagna, agent/provider/src/startup_config.rs, utils/manifest-utils/src/matching/domain.rs;
ya-installer-resources, whitelist/ (the stem of a file's name is its type, one pattern a line).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

from jobgate.config.pattern import HostPattern
from jobgate.config.rule import RuleError, parse_rule, quoted

from ..allowlist import Allowlist, Refused, Source, Taken
from ..documents import DocumentError, read_json
from .expressions import translate

STRICT = "strict"
REGEX = "regex"

_STEM = re.compile(r"(?:.*[-_.])?(strict|regex)")

NOTES = (
    "Golem opens every port of a host; here an entry without a port opens CONNECT to 443 "
    'and plain HTTP to 80 and 1024-65535: add "host:port" for another',
    "a name with one dot at its end is the same name here, and was another one there",
)


class Pattern(NamedTuple):
    """One entry of a whitelist: ``strict`` or ``regex``."""

    source: Source
    kind: str


def kind_of_file(stem: str) -> str | None:
    """Tell the type of a ``.lst`` file by the stem of its name: ``regex``, ``golem-whitelist-regex``."""
    match = _STEM.fullmatch(stem)
    return match[1] if match else None


def read_lines(text: str, kind: str, place: str) -> list[Pattern]:
    """Read a ``.lst`` file: one pattern a line; blank lines and lines that begin with ``#`` are left out."""
    numbered = ((number, line.strip(" \t\r")) for number, line in enumerate(text.split("\n"), start=1))
    return [
        Pattern(Source(f"{place}:{number}", line), kind)
        for number, line in numbered
        if line and not line.startswith("#")
    ]


def read_whitelist(text: str, place: str) -> list[Pattern]:
    """Read ``domain_whitelist.json``.

    Raises:
        DocumentError: Not JSON, or not a whitelist.
    """
    document = read_json(text, place)
    patterns = document.get("patterns") if isinstance(document, dict) else None
    if not isinstance(patterns, list):
        raise DocumentError(
            f'{place}: no whitelist: expected {{"patterns": [{{"domain": ..., "match": ...}}]}}'
        )
    return list(_patterns(patterns, place))


def _patterns(patterns: list[object], place: str) -> Iterator[Pattern]:
    for index, pattern in enumerate(patterns):
        where = f"{place}[{index}]"
        domain = pattern.get("domain") if isinstance(pattern, dict) else None
        if not isinstance(pattern, dict) or not isinstance(domain, str):
            raise DocumentError(f'{where}: expected {{"domain": "...", "match": "strict" or "regex"}}')
        kind = pattern.get("match", STRICT)
        if kind not in (STRICT, REGEX):
            raise DocumentError(f'{where}: "match" is "strict" or "regex"')
        yield Pattern(Source(where, domain), str(kind))


def import_patterns(patterns: list[Pattern], *, expressions: bool = True) -> Allowlist:
    """Make an allow list of a whitelist.

    Args:
        patterns: In their order.
        expressions: Keep what no rule can say as an expression, else refuse it.
    """
    imported = Allowlist(notes=NOTES)
    imported.add(_import(pattern, expressions) for pattern in patterns)
    return imported


def _import(pattern: Pattern, expressions: bool) -> Taken | Refused:
    if pattern.kind == STRICT:
        return _strict(pattern.source)
    outcome = translate(pattern.source)
    if isinstance(outcome, Taken) and isinstance(outcome.entry, HostPattern) and not expressions:
        return Refused(
            pattern.source, "no name or suffix says the same: list the names, or allow expressions"
        )
    return outcome


def _strict(source: Source) -> Taken | Refused:
    try:
        rule = parse_rule(source.text)
    except RuleError as error:
        return Refused(source, str(error))
    if rule.suffix or rule.port is not None:
        meant = "a suffix" if rule.suffix else "a port"
        return Refused(
            source,
            f"{meant} in a strict entry never matched: write {quoted(str(rule.host))}, or add "
            f"{quoted(str(rule))} by hand",
        )
    changed = () if source.text.isascii() else (f"is written {quoted(str(rule))} in requests",)
    return Taken(source, rule, changed)
