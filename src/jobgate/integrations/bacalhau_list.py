"""Bacalhau's allowlist of domains, one a line, as an allow list of ours. Pure.

Source: bacalhau, ops/terraform/remote_files/scripts/{apply-http-allowlist.sh,http-domain-allowlist.txt}.
"""

from __future__ import annotations

from jobgate.config.rule import RuleError, parse_rule, quoted

from .allowlist import Allowlist, Refused, Source, Taken

NOTES = (
    "there an entry is compared as a text with what a job asks for; here it covers: "
    '".example.com" covers "example.com" and every name below it, in any spelling',
    "an entry opens CONNECT to 443, and plain HTTP to 80 and 1024-65535",
)


def read_allowlist(text: str, place: str) -> Allowlist:
    """Read a list; blank lines and what follows ``#`` are left out."""
    imported = Allowlist(notes=NOTES)
    lines = (
        (number, line.partition("#")[0].strip(" \t\r"))
        for number, line in enumerate(text.split("\n"), start=1)
    )
    imported.add(_import(Source(f"{place}:{number}", line)) for number, line in lines if line)
    return imported


def _import(source: Source) -> Taken | Refused:
    try:
        rule = parse_rule(source.text)
    except RuleError as error:
        return Refused(source, str(error))
    if rule.port is not None:
        return Refused(source, f"a port there never matched: write {quoted(str(rule.host))}")
    changes = [f"also covers {quoted(str(rule.host))} itself"] if rule.suffix else []
    if str(rule) != source.text.lower():
        changes.append(f"is written {quoted(str(rule))}")
    return Taken(source, rule, tuple(changes))
