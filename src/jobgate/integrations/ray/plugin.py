"""The plugin of Ray's runtime environment agent: ``egress`` in a runtime environment.

Set in the environment of ``ray start`` on every node:

    RAY_RUNTIME_ENV_PLUGINS='[{"class": "jobgate.integrations.ray.plugin.EgressPlugin", "priority": 5}]'

Ray calls this on the agent's event loop. What goes wrong here fails the runtime environment,
and so the task: nothing starts without its gate. Where the plugin is not installed, Ray only
logs that it does not know the field: ``guard.py`` is for that.

Source: ray/_private/runtime_env/plugin.py of Ray 2.60 (a developer API).
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from logging import Logger
from pathlib import Path
from typing import Protocol

from ray._private.runtime_env.plugin import RuntimeEnvPlugin

from jobgate.client import Client
from jobgate.client.errors import GatewayError

from .environment import cluster_hosts, put_over
from .leases import Leases
from .options import Options, read_options
from .request import FIELD, check_company, read_egress

#: More than the cap of Ray's cache, which counts bytes: so a policy goes with its last user.
SIZE_BYTES = 1 << 50
#: For one request to the gateway of the same node.
TIMEOUT_S = 10.0


class Context(Protocol):
    """What Ray starts a worker with."""

    env_vars: dict[str, str]


class EgressPlugin(RuntimeEnvPlugin):  # type: ignore[misc]  # Ray is not there when types are checked
    """``{"egress": {"network": "http", "domains": [".example.com"]}}``."""

    name = FIELD
    priority = 5

    def __init__(self) -> None:
        options = read_options(os.environ)
        self._leases = Leases(options, cluster_hosts(sys.argv), lambda: open_gateway(options))

    @staticmethod
    def validate(runtime_env_dict: Mapping[str, object]) -> None:
        """Refuse what is wrong before anything is asked for.

        Raises:
            ValueError: What it is.
        """
        check_company(runtime_env_dict, agent_is_gated=is_gated(os.environ))

    def get_uris(self, runtime_env: Mapping[str, object]) -> list[str]:
        """The policy's name; Ray counts how many use it, by asking at each start and end of a worker."""
        try:
            egress = read_egress(runtime_env)
        except ValueError:  # Ray expects none here, and asks ``validate`` next
            return []
        return [] if egress is None else [egress.uri]

    async def create(
        self, uri: str | None, runtime_env: Mapping[str, object], context: Context, logger: Logger
    ) -> float:
        """Have the gateway serve the policy.

        Raises:
            GatewayError: It does not.
            ValueError: There are too many policies.
        """
        egress = read_egress(runtime_env)
        if egress is not None:
            try:
                await self._leases.take(egress)
            except (GatewayError, OSError, ValueError) as error:
                # Ray shows all of its way to whoever sent the job; what counts is what it says.
                raise error.with_traceback(None) from None
        return SIZE_BYTES

    def modify_context(
        self, uris: list[str], runtime_env: Mapping[str, object], context: Context, logger: Logger
    ) -> None:
        """Lead the worker to the gate; what it says of proxies itself does not count.

        The mapping is another one afterwards: that of before is the runtime environment's own,
        and what Ray's agent installs with.
        """
        for uri in uris:
            variables = self._leases.variables(uri)
            if variables:
                context.env_vars = put_over(context.env_vars, variables)

    def delete_uri(self, uri: str, logger: Logger) -> float:
        """Let the policy go: nobody uses it any more."""
        self._leases.give_up(uri)
        return SIZE_BYTES


def open_gateway(options: Options) -> Client:
    """The gateway of this node.

    Raises:
        OSError: The file with its token cannot be read.
    """
    token = Path(options.token_file).read_text("ascii").strip() if options.token_file else None
    return Client(options.control, token=token, timeout_s=TIMEOUT_S)


def is_gated(environ: Mapping[str, str]) -> bool:
    """Whether what runs with this environment finds a proxy for HTTP and for HTTPS."""
    return all(environ.get(name) or environ.get(name.upper()) for name in ("http_proxy", "https_proxy"))
