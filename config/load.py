"""From a TOML text to ``Settings``, with all errors at once.

A file is taken whole or not at all. Each problem names the file, the key path, and
what to write instead; a key whose feature does not exist is an unknown key.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

from .conflicts import listen_problems
from .convert import Problem, read_table, unknown_key
from .endpoints import UnixPath
from .gateway import ListenSettings, StateSettings, UpstreamSettings
from .members import MemberErrors
from .policy import Network, NodePolicy
from .readers import read_environment
from .settings import (
    DnsSettings,
    JobSettings,
    LimitSettings,
    LogSettings,
    NodeSettings,
    Settings,
    TimeoutSettings,
)

_T = TypeVar("_T")

_SECTIONS = ["node", "listen", "log", "state", "upstream", "env", "dns", "limits", "timeouts", "job"]
# tomllib has the position in the text only (until Python 3.14).
_TOML_POSITION = re.compile(
    r"(?P<what>.*) \(at line (?P<line>[0-9]+), column (?P<column>[0-9]+)\)", re.DOTALL
)


class ConfigError(ValueError):
    """A configuration that cannot be used.

    Args:
        problems: One line each: place, key path, what is wrong and what to write.
    """

    def __init__(self, problems: Iterable[str]) -> None:
        self.problems = list(problems)
        super().__init__("\n".join(self.problems))


def load_file(path: str | Path) -> Settings:
    """Read a configuration file.

    Raises:
        ConfigError: It cannot be read, is not TOML, or says something impossible.
    """
    try:
        text = Path(path).read_text(encoding="utf-8")
    except OSError as error:
        raise ConfigError([f"{path}: cannot be read: {error.strerror}"]) from None
    except UnicodeDecodeError as error:
        raise ConfigError([f"{path}: not UTF-8 at byte {error.start}: save the file as UTF-8"]) from None
    return load_text(text, str(path))


def load_text(text: str, place: str = "jobgate.toml") -> Settings:
    """Read a configuration.

    Args:
        text: TOML.
        place: What the problems are said to be in.

    Raises:
        ConfigError: All problems of the text.
    """
    try:
        document = tomllib.loads(text)
    except RecursionError:
        raise ConfigError([f"{place}: nested too deeply"]) from None
    except ValueError as error:  # TOMLDecodeError, and int() of more than 4300 digits
        raise ConfigError([_toml_problem(str(error), place)]) from None
    settings, problems = read_settings(document)
    if problems:
        raise ConfigError(f"{place}: {problem.path}: {problem.message}" for problem in problems)
    return settings


def read_settings(document: Mapping[str, object]) -> tuple[Settings, list[Problem]]:
    """Read a parsed configuration; the settings count only when there is no problem."""
    reader = _Sections(document)
    node = reader.section("node", NodeSettings)
    listen = reader.section("listen", ListenSettings)
    log = reader.section("log", LogSettings)
    state = reader.section("state", StateSettings)
    upstream = reader.section("upstream", UpstreamSettings)
    dns = reader.section("dns", DnsSettings)
    limits = reader.section("limits", LimitSettings)
    timeouts = reader.section("timeouts", TimeoutSettings)
    reader.check_listen(listen)
    reader.check_limits(limits)
    env = reader.environment()
    # What the file meant to accept is not known then: no job is blamed for it.
    bounds = replace(node, networks=tuple(Network)) if "networks" in reader.bad["node"] else node
    # A bad list of shared listeners is no empty one.
    shared = bool(listen.proxy) or "proxy" in reader.bad["listen"]
    jobs, problems = _jobs(document, bounds.policy, shared=shared)
    problems = reader.problems + problems + listen_problems(listen, jobs)
    problems += [unknown_key(key, _SECTIONS) for key in document if key not in _SECTIONS]
    return Settings(node, log, dns, limits, timeouts, env, jobs, listen, state, upstream), problems


def _jobs(
    document: Mapping[str, object], node: NodePolicy, *, shared: bool
) -> tuple[tuple[JobSettings, ...], list[Problem]]:
    """Read the jobs; a file without any, as a sidecar's, does not load what reads them."""
    if "job" not in document:
        return (), []
    from .jobs import read_jobs

    return read_jobs(document["job"], node, shared=shared)


class _Sections:
    """The single tables of a document, read one by one into one list of problems."""

    def __init__(self, document: Mapping[str, object]) -> None:
        self._document = document
        self.problems: list[Problem] = []
        self.bad: dict[str, frozenset[str]] = {}

    def section(self, name: str, kind: type[_T]) -> _T:
        """Read one table; an absent one has all defaults."""
        try:
            value, problems, self.bad[name] = read_table(kind, self._document.get(name, {}))
        except ValueError as error:
            self.problems.append(Problem(name, str(error)))
            value, problems, self.bad[name] = read_table(kind, {})
        self.problems += [problem.below(name) for problem in problems]
        return value

    def check_listen(self, listen: ListenSettings) -> None:
        """Find a control API that everybody on the network could use."""
        keys = ("control", "control_token_file")
        if not self.bad["listen"].isdisjoint(keys) or listen.control_token_file:
            return
        if listen.control is not None and not isinstance(listen.control, UnixPath):
            message = f'missing: with control = "{listen.control}" whoever connects must show a token'
            self.problems.append(Problem("listen.control_token_file", message))

    def check_limits(self, limits: LimitSettings) -> None:
        """Find limits that contradict each other."""
        keys = ("max_target_bytes", "max_head_bytes")
        if self.bad["limits"].isdisjoint(keys) and limits.max_target_bytes > limits.max_head_bytes:
            message = f"a target is part of a head: at most max_head_bytes, {limits.max_head_bytes}"
            self.problems.append(Problem("limits.max_target_bytes", message))

    def environment(self) -> Mapping[str, str]:
        """Read the variables of all jobs."""
        try:
            return read_environment(self._document.get("env", {}))
        except MemberErrors as error:
            self.problems += [Problem(f"env{path}", message) for path, message in error.errors]
        except ValueError as error:
            self.problems.append(Problem("env", str(error)))
        return {}


def _toml_problem(message: str, place: str) -> str:
    match = _TOML_POSITION.fullmatch(message)
    if match is None:
        return f"{place}: not TOML: {message}"
    return f"{place}: line {match['line']}, column {match['column']}: not TOML: {match['what']}"
