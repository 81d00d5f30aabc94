"""The ``egress`` field of a Ray runtime environment: what a job asks for. Pure.

What the domains and rates mean, and whether the node allows them, the gateway decides when
it is asked to take the job. Here is refused what would make the field mean something else
than it says.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import NamedTuple

FIELD = "egress"

_NETWORKS = ("none", "http", "full")
_LISTS = ("domains", "deny")
_RATES = ("rate", "rate_up", "rate_down")
_KEYS = ("network", *_LISTS, *_RATES, "tls")

#: Fields by which Ray starts the worker in a container, without what plugins set.
_CONTAINERS = ("image_uri", "container")
#: Fields whose packages Ray's agent installs, in its own environment.
_INSTALLS = ("pip", "uv", "conda")
#: Fields that may be a place in the network, from where Ray's agent loads them.
_PLACES = ("working_dir", "py_modules", "java_jars")
#: Ray's own store, filled by the driver.
_OWN_STORE = "gcs://"


class Egress(NamedTuple):
    """What is asked for.

    Attributes:
        network: ``none``, ``http`` or ``full``.
        settings: Keys of a job of the gateway, in one order for one policy.
    """

    network: str
    settings: Mapping[str, object]

    @property
    def uri(self) -> str:
        """Equal policies have one; Ray counts its users."""
        text = json.dumps(self.settings, sort_keys=True)
        return f"egress://{hashlib.sha256(text.encode()).hexdigest()[:32]}"


def read_egress(runtime_env: Mapping[str, object]) -> Egress | None:
    """Read the field; ``None``: it is not there.

    Raises:
        ValueError: It is wrong, and how it is written.
    """
    value = runtime_env.get(FIELD)
    if value is None:
        return None
    if not isinstance(value, Mapping):
        raise ValueError('egress: expected a table, as in {"network": "http", "domains": [".example.com"]}')
    unknown = [str(key) for key in value if key not in _KEYS]
    if unknown:
        raise ValueError(f"egress.{unknown[0]}: unknown key; known are {', '.join(_KEYS)}")
    network = value.get("network", "http" if "domains" in value else "none")
    if network not in _NETWORKS:
        raise ValueError(f"egress.network: expected one of: {', '.join(_NETWORKS)}")
    settings: dict[str, object] = {"network": network}
    for key in _LISTS:
        if key in value:
            settings[key] = sorted(set(_texts(key, value[key])))
    for key in (*_RATES, "tls"):
        if key in value:
            settings[key] = _scalar(key, value[key])
    rate = settings.pop("rate", None)
    if rate is not None:
        settings = {"rate_up": rate, "rate_down": rate, **settings}
    if network != "http" and len(settings) > 1:
        extra = next(key for key in settings if key != "network")
        raise ValueError(f'egress.{extra}: only for network "http", not for "{network}": leave it out')
    return Egress(str(network), settings)


def check_company(runtime_env: Mapping[str, object], *, agent_is_gated: bool) -> None:
    """Refuse fields beside ``egress`` that go around it.

    Args:
        runtime_env: With ``egress`` in it.
        agent_is_gated: Ray's agent itself reaches the network through a gate.

    Raises:
        ValueError: What cannot be there, and what to do instead.
    """
    egress = read_egress(runtime_env)
    if egress is None or egress.network == "full":
        return
    for field in _CONTAINERS:
        if runtime_env.get(field):
            raise ValueError(
                f"{field}: Ray starts the container without what egress sets: leave egress out, and give the "
                'container the variables of "jobgate env JOB --format json" as env_vars'
            )
    loads = [field for field in _INSTALLS if runtime_env.get(field)]
    loads += [field for field in _PLACES if _is_remote(runtime_env.get(field))]
    if loads and not agent_is_gated:
        raise ValueError(
            f"{loads[0]}: Ray's agent loads this from the network itself, past the job's gate: start Ray "
            "behind a gate of its own, or put it into the node's image"
        )
    env_vars = runtime_env.get("env_vars")
    own = [name for name in env_vars if is_proxy_variable(str(name))] if isinstance(env_vars, Mapping) else []
    if loads and own:
        raise ValueError(
            f"env_vars.{own[0]}: would lead Ray's agent around its gate for {loads[0]}: leave it out"
        )


def is_proxy_variable(name: str) -> bool:
    """Whether clients take a variable for their way to a proxy, or around one."""
    return name.lower().endswith("_proxy")


def _texts(key: str, value: object) -> list[str]:
    if not isinstance(value, list | tuple) or not all(isinstance(entry, str) for entry in value):
        raise ValueError(f'egress.{key}: expected a list of texts, as in [".example.com"]')
    return list(value)


def _scalar(key: str, value: object) -> str | int | float:
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise ValueError(f'egress.{key}: expected a text or a number, as in "10mbit"')
    return value


def _is_remote(value: object) -> bool:
    places = value if isinstance(value, list | tuple) else [value]
    return any(isinstance(one, str) and "://" in one and not one.startswith(_OWN_STORE) for one in places)
