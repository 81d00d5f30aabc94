"""How the plugin is set up: variables in the environment of ``ray start``. Pure."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import NamedTuple, TypeVar

from jobgate.config.gateway import DEFAULT_CONTROL
from jobgate.config.readers import integer, number, read_no_proxy
from jobgate.gateway.variables import parse_address

T = TypeVar("T")

#: A policy is served this long after Ray's agent was last heard of.
LEASE_S = 300.0
#: Jobs that are active at once under one policy of a node.
MAX_JOBS = 256


class Options(NamedTuple):
    """What the plugin is told.

    Attributes:
        control: Where the gateway's control API is.
        token_file: With the token of that; ``""``: it wants none.
        address: ``host:port`` of the gateway as workers see it; ``""``: it says so itself.
        no_proxy: Hosts that workers reach directly: the cluster.
        lease_s: Seconds that a policy lives on without the agent.
        max_jobs: Under one policy.
    """

    control: str
    token_file: str
    address: str
    no_proxy: tuple[str, ...]
    lease_s: float
    max_jobs: int


def read_options(environ: Mapping[str, str]) -> Options:
    """Read them; what is not there has its default.

    Raises:
        ValueError: One is wrong: which, and how it is written.
    """
    address = environ.get("JOBGATE_RAY_ADDRESS", "")
    if address:
        _read("JOBGATE_RAY_ADDRESS", parse_address, address)
    hosts = [text for text in re.split(r"[,\s]+", environ.get("JOBGATE_RAY_NO_PROXY", "")) if text]
    return Options(
        control=environ.get("JOBGATE_CONTROL") or DEFAULT_CONTROL.path,
        token_file=environ.get("JOBGATE_CONTROL_TOKEN_FILE", ""),
        address=address,
        no_proxy=_read("JOBGATE_RAY_NO_PROXY", read_no_proxy, hosts),
        lease_s=_read("JOBGATE_RAY_LEASE_S", number(1.0, 86400.0), _number(environ, "LEASE_S", LEASE_S)),
        max_jobs=_read("JOBGATE_RAY_MAX_JOBS", integer(1, 10_000), _number(environ, "MAX_JOBS", MAX_JOBS)),
    )


def _read(name: str, reader: Callable[[object], T] | Callable[[str], T], value: object) -> T:
    try:
        return reader(value)  # type: ignore[arg-type]  # a text where it wants one
    except ValueError as error:
        raise ValueError(f"{name}: {error}") from None


def _number(environ: Mapping[str, str], name: str, default: float) -> object:
    """A number where the text is one, else the text, for the reader to refuse."""
    text = environ.get(f"JOBGATE_RAY_{name}", "")
    if not text:
        return default
    try:
        return int(text) if text.isdecimal() else float(text)
    except ValueError:
        return text
