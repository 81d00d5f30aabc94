"""A guard inside a job: it goes on only behind a gate.

Ray only logs a runtime environment's field that it does not know. On a node without the
plugin, a job that asked for ``egress`` would run with the node's network. As
``worker_process_setup_hook`` this fails each worker there, and ``jobgate ray check -- CMD``
fails the driver. Both are the job's own: what has to hold against the job is for the node's
network to hold.
"""

from __future__ import annotations

import base64
import json
import os
import re
from collections.abc import Mapping
from http.client import HTTPConnection, HTTPException
from typing import NamedTuple
from urllib.parse import unquote, urlsplit

#: For the gate of the same node.
TIMEOUT_S = 5.0
MAX_BODY_BYTES = 1 << 20
PROBE = "http://jobgate.internal/denials"
#: What a driver's tasks are told by Ray, as JSON.
JOB_CONFIG = "RAY_JOB_CONFIG_JSON_ENV_VAR"

#: Where a worker of network "none" is led: nobody listens there (RFC 863), and what is refused ends at once.
NOWHERE = "http://127.0.0.1:9"

_ADVICE = "is the plugin in RAY_RUNTIME_ENV_PLUGINS of this node, and egress in the runtime environment?"
_POLICY = r"ray-[0-9a-f]{8}-[0-9]+"
_MEMBER = re.compile(rf"(?P<policy>{_POLICY})\.(?P<member>[A-Za-z0-9_-]{{1,64}})")
_NAME_IN_URL = re.compile(rf"(//{_POLICY}\.)[A-Za-z0-9_-]{{1,64}}(:)")
_SUBMISSION = re.compile(r"[A-Za-z0-9_-]{1,64}")


class NotGated(RuntimeError):
    """This process is not behind a gate; the text says what was found and what to do."""


class Gate(NamedTuple):
    """Where the variables lead.

    Attributes:
        job_id: The name shown to the gateway.
    """

    host: str
    port: int
    job_id: str
    token: str


def find_gate(environ: Mapping[str, str]) -> Gate:
    """Read what the plugin has set.

    Raises:
        NotGated: It has not, or something else has been set since.
    """
    urls = {environ.get(name, "") for name in ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY")}
    if len(urls) != 1 or "" in urls:
        raise NotGated(f"the proxy variables are not those of a gate: {_ADVICE}")
    if urls == {NOWHERE}:
        raise NotGated('egress is of network "none", which has no gate: leave out the check, or list domains')
    try:
        url = urlsplit(urls.pop())
        user, port = unquote(url.username or ""), url.port
    except ValueError:
        user, port = "", None
    if not _MEMBER.fullmatch(user) or url.hostname is None or port is None:
        raise NotGated(f"the proxy is none that the plugin has set: {_ADVICE}")
    return Gate(url.hostname, port, user, unquote(url.password or ""))


def ask_gate(gate: Gate) -> None:
    """Ask the gate for the job's own refusals: it serves nobody else with them.

    Raises:
        NotGated: It does not answer, or does not know the job.
    """
    credentials = base64.b64encode(f"{gate.job_id}:{gate.token}".encode()).decode("ascii")
    connection = HTTPConnection(gate.host, gate.port, timeout=TIMEOUT_S)
    try:
        connection.request("GET", PROBE, headers={"Proxy-Authorization": f"Basic {credentials}"})
        response = connection.getresponse()
        body, reason = response.read(MAX_BODY_BYTES), response.headers.get("X-Jobgate-Reason", "")
    except (OSError, HTTPException) as error:
        raise NotGated(f"no gate answers at {gate.host}:{gate.port}: {error}") from error
    finally:
        connection.close()
    if response.status != 200:
        raise NotGated(
            f"the gate at {gate.host}:{gate.port} refuses {gate.job_id}: {reason or response.status}"
        )
    try:
        is_gate = isinstance(json.loads(body), list)
    except ValueError:
        is_gate = False
    if not is_gate:
        raise NotGated(f"what answers at {gate.host}:{gate.port} is no gate of jobgate")


def require_gate() -> None:
    """Do nothing behind a gate; anywhere else fail. For ``worker_process_setup_hook``.

    Raises:
        NotGated: Why.
    """
    ask_gate(find_gate(os.environ))


def submission_of(environ: Mapping[str, str]) -> str | None:
    """The id of the submitted job whose driver this is, if it is one."""
    try:
        config = json.loads(environ.get(JOB_CONFIG, ""))
        found = config["metadata"]["job_submission_id"]
    except (ValueError, KeyError, TypeError):
        return None
    return found if isinstance(found, str) and _SUBMISSION.fullmatch(found) else None


def as_submission(environ: Mapping[str, str]) -> dict[str, str]:
    """The environment of a driver under a name of its own.

    Ray starts the drivers of all submitted jobs under one number, that of its job supervisor:
    they would share one rate. The id of the submission tells them apart.
    """
    submission = submission_of(environ)
    if submission is None:
        return dict(environ)
    return {
        name: _NAME_IN_URL.sub(rf"\g<1>{submission}\g<2>", value)
        if name.lower().endswith("_proxy")
        else value
        for name, value in environ.items()
    }
