"""How a job finds its gate: the address as the job sees it, and the variables that say so. Pure."""

from __future__ import annotations

import re
from collections.abc import Sequence
from urllib.parse import quote

from jobgate.config.endpoints import Endpoint, UnixPath
from jobgate.config.host import host_text
from jobgate.config.settings import JobSettings, Settings
from jobgate.launch.environment import proxy_variables

_ADDRESS = re.compile(r"(?P<host>[^\s/@]+):(?P<port>[0-9]{1,5})", re.ASCII)


#: Stands where the gateway knows only the hash of a job's token.
TOKEN_PLACE = "TOKEN"  # noqa: S105  a word for a token, and none


class NoAddress(ValueError):
    """Nothing tells how the job reaches its gate; the text says what is known."""


def parse_address(text: str) -> tuple[str, int]:
    """Read ``HOST:PORT`` as it stands in a URL.

    Raises:
        ValueError: It is something else.
    """
    match = _ADDRESS.fullmatch(text)
    if match is None:
        raise ValueError(f'"{text}": write HOST:PORT')
    return match["host"], int(match["port"])


def address_for_job(job_id: str, listeners: Sequence[Endpoint | UnixPath]) -> tuple[str, int]:
    """Find the first listener that a job can dial as it is written.

    Args:
        job_id: For the error.
        listeners: The job's own, or the shared ones.

    Raises:
        NoAddress: All of them are paths, wildcard addresses, or of a port that is not known.
    """
    for where in listeners:
        if isinstance(where, Endpoint) and not where.address.is_unspecified and where.port:
            return host_text(where.address), where.port
    shown = ", ".join(map(str, listeners)) or "nowhere"
    raise NoAddress(f'job "{job_id}" listens on {shown}')


def job_variables(
    settings: Settings, job: JobSettings, address: tuple[str, int], *, token: str, java_options: str = ""
) -> dict[str, str]:
    """The proxy's variables, then the file's ``[env]``, then the job's own.

    Args:
        settings: Of the node.
        job: Whose they are.
        address: Of the gate as the job sees it.
        token: The job's; ``""``: it needs none.
        java_options: What ``JAVA_TOOL_OPTIONS`` holds already.

    Source: RFC 3986 §3.2.1 (how a token stands in a URL).
    """
    host, port = address
    variables = proxy_variables(
        host,
        port,
        credentials=_credentials(job.id, token),
        no_proxy=settings.node.no_proxy,
        java_options=java_options,
    )
    return {**variables, **settings.env, **job.env}


def with_token(value: str, job_id: str, token: str) -> str:
    """Put a job's token where a variable has a place for it."""
    return value.replace(f"//{job_id}:{TOKEN_PLACE}@", f"//{_credentials(job_id, token)}@")


def _credentials(job_id: str, token: str) -> str:
    return f"{job_id}:{quote(token, safe='')}" if token else ""
