"""One row for each client: whether it works through the gate, and what a person sees of a refusal."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from .clients import NUMBER, REASON, TEXT
from .site import Site

SCHEMES = ("http", "https")
ALLOWED, REFUSED = "ok.test", "evil.test"
#: What can be seen of a refusal, the best first.
SHOWN = {"the sentence": TEXT, "the reason": REASON, "the number": NUMBER}
NOTHING = "nothing"
NOT_SPOKEN = "–"
BY_TUNNEL = 'works to port 80; elsewhere with `tls = "any"`'
HEAD = ("client", "HTTP", "HTTPS", "refused over HTTP", "refused over HTTPS", "seen with")
BEGIN, END = "<!-- table: begin -->", "<!-- table: end -->"


@dataclass(frozen=True, slots=True)
class Fetch:
    """One attempt that a client is to make.

    Attributes:
        site: Where to.
        scheme: ``http`` or ``https``.
        name: Host of the origin, allowed or not.
        folder: Empty, for what the client writes.
        tools: What was made for all attempts (programs compiled, trust stores).
    """

    site: Site
    scheme: str
    name: str
    folder: Path
    tools: Path

    def url(self, path: str) -> str:
        """Of something that the origin has."""
        return self.site.https(path, self.name) if self.scheme == "https" else self.site.http(path, self.name)

    def run(self, *command: str, **more: str) -> Attempt:
        """Run the client with the variables of a job; ``more``: where it keeps things, whom it trusts."""
        environment = {**self.site.environment, **more}
        done = subprocess.run(
            command, cwd=self.folder, env=environment, capture_output=True, timeout=120, check=False
        )
        return Attempt(done.returncode, done.stdout, done.stderr)


@dataclass(frozen=True, slots=True)
class Attempt:
    """How it ended."""

    exit_code: int
    stdout: bytes
    stderr: bytes

    @property
    def said(self) -> str:
        """All that a person would have seen."""
        return (self.stdout + self.stderr).decode(errors="replace")

    def with_output(self, wanted: bytes) -> Attempt:
        """The same, but failed unless it printed this."""
        return self if self.stdout == wanted else Attempt(self.exit_code or -1, self.stdout, self.stderr)

    def with_file(self, path: Path) -> Attempt:
        """The same, but failed unless this file is there."""
        return self if path.exists() else Attempt(self.exit_code or -1, self.stdout, self.stderr)


@dataclass(frozen=True, slots=True)
class Client:
    """One client of the matrix.

    Attributes:
        name: As people call it.
        programs: All that must be installed.
        fetch: Makes an attempt; exit code 0 means that what was fetched is right.
        version: Prints what it is.
        schemes: What it speaks.
        prepare: Makes its tools once, in their folder.
        missing: Why it cannot be tried here; empty if it can, asked once the programs are there.
        plain_tunnels: Over HTTP it makes a tunnel, whatever the port: works where ``tls = "any"``.
    """

    name: str
    programs: tuple[str, ...]
    fetch: Callable[[Fetch], Attempt]
    version: Sequence[str]
    schemes: tuple[str, ...] = SCHEMES
    prepare: Callable[[Site, Path], None] = lambda site, tools: None
    missing: Callable[[], str] = lambda: ""
    plain_tunnels: bool = False

    @property
    def absent(self) -> str:
        """Why it cannot be tried here; empty if it can."""
        lacking = [program for program in self.programs if shutil.which(program) is None]
        return f"{', '.join(lacking)} is not installed" if lacking else self.missing()


def shown(said: str) -> str:
    """What of a refusal a person finds in a client's words."""
    return next((what for what, pattern in SHOWN.items() if re.search(pattern, said)), NOTHING)


def seen_with(client: Client) -> str:
    """The version, or what stands for it."""
    done = subprocess.run(client.version, capture_output=True, text=True, check=False)
    match = re.search(r"\d+(\.\d+)+", done.stdout + done.stderr)
    return match[0] if match else "?"


def row_of(client: Client, outcomes: Mapping[tuple[str, str], Attempt]) -> list[str]:
    """The cells of a row, but for the version.

    Args:
        client: Whose row.
        outcomes: By scheme and name of the host.
    """
    reached = [_reached(client, scheme, outcomes.get((scheme, ALLOWED))) for scheme in SCHEMES]
    refused = [_refused(outcomes.get((scheme, REFUSED))) for scheme in SCHEMES]
    return [client.name, *reached, *refused]


def _reached(client: Client, scheme: str, attempt: Attempt | None) -> str:
    if attempt is None:
        return NOT_SPOKEN
    if attempt.exit_code:
        return "fails"
    return BY_TUNNEL if client.plain_tunnels and scheme == "http" else "works"


def _refused(attempt: Attempt | None) -> str:
    if attempt is None:
        return NOT_SPOKEN
    return shown(attempt.said) if attempt.exit_code else "no error"


def read_table(page: Path) -> dict[str, list[str]]:
    """The rows of a page, by client."""
    text = page.read_text().partition(BEGIN)[2].partition(END)[0]
    lines = [line for line in text.splitlines() if line.startswith("| ")][1:]
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    return {row[0]: row for row in rows}


def write_table(page: Path, rows: Mapping[str, Sequence[str]], order: Sequence[str]) -> None:
    """Put the rows into a page; those of clients that were not tried stay."""
    kept = {**read_table(page), **rows}
    lines = ["| " + " | ".join(kept[name]) + " |" for name in order if name in kept]
    table = "\n".join(["| " + " | ".join(HEAD) + " |", "|" + "---|" * len(HEAD), *lines])
    before, _, rest = page.read_text().partition(BEGIN)
    after = rest.partition(END)[2]
    page.write_text(f"{before}{BEGIN}\n{table}\n{END}{after}")
