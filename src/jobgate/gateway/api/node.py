"""The node: its policy, a new one, and how it is."""

from __future__ import annotations

import asyncio
import time
from dataclasses import asdict
from http import HTTPStatus

from aiohttp import web

from jobgate import __version__
from jobgate.config.load import ConfigError, load_text
from jobgate.config.settings import NodeSettings, Settings
from jobgate.gateway.reload import needs_restart
from jobgate.gateway.weakening import weakenings
from jobgate.proxy.records import timestamp

from .answers import json_response
from .bodies import TOML_TYPES, read_text
from .context import control_of
from .problems import ApiProblem
from .shapes import rate_shape

_PLACE = "policy"


async def show_policy(request: web.Request) -> web.Response:
    """What bounds every job now."""
    settings = control_of(request).registry.settings
    return json_response(
        {
            "node": node_shape(settings.node),
            "limits": asdict(settings.limits),
            "timeouts": asdict(settings.timeouts),
        }
    )


async def validate(request: web.Request) -> web.Response:
    """Read a configuration and say what it would change; nothing is changed."""
    text = await read_text(request, TOML_TYPES)
    try:
        settings = await asyncio.to_thread(load_text, text, _PLACE)
    except ConfigError as error:
        problems = [_problem(line) for line in error.problems]
        return json_response({"valid": False, "problems": problems, "weakenings": [], "needs_restart": []})
    return json_response(
        {"valid": True, "problems": [], **_effects(control_of(request).registry.settings, settings)}
    )


async def reload(request: web.Request) -> web.Response:
    """Read the configuration file again."""
    control = control_of(request)
    async with control.changing():
        report = await control.registry.reload()
    return json_response({key: list(value) for key, value in report._asdict().items()})


async def show_node(request: web.Request) -> web.Response:
    """What runs here."""
    control = control_of(request)
    gate = control.gate
    return json_response(
        {
            "version": __version__,
            "at": time.time(),
            "started_at": timestamp(control.started_at),
            "draining": gate.draining,
            "mode": gate.settings.node.mode.value,
            "jobs": len(gate.jobs),
            "connections": gate.connections,
            "max_connections": gate.max_connections,
        }
    )


async def healthy(_: web.Request) -> web.Response:
    """The loop turns."""
    return json_response({"status": "ok"})


async def ready(request: web.Request) -> web.Response:
    """New connections are accepted."""
    if control_of(request).gate.draining:
        raise ApiProblem(HTTPStatus.SERVICE_UNAVAILABLE, "draining", "The gateway is about to stop.")
    return json_response({"status": "ready"})


def node_shape(node: NodeSettings) -> dict[str, object]:
    """Show ``[node]`` as it stands in a configuration; rates in bytes/s, ``null`` is unlimited."""
    return {
        "networks": [network.value for network in node.networks],
        "allow": None if node.allow is None else node.allow.entries(),
        "deny": [str(rule) for rule in node.deny],
        "deny_addresses": [str(rule) for rule in node.deny_addresses],
        "allow_addresses": [str(rule) for rule in node.allow_addresses],
        "max_rate_up": rate_shape(node.max_rate_up),
        "max_rate_down": rate_shape(node.max_rate_down),
        "total_rate_up": rate_shape(node.total_rate_up),
        "total_rate_down": rate_shape(node.total_rate_down),
        "via": node.via,
        "no_proxy": list(node.no_proxy),
        "refusal_note": node.refusal_note,
        "connect_ports": _ports(str(node.connect_ports)),
        "http_ports": _ports(str(node.http_ports)),
        "close_revoked": node.close_revoked,
        "mode": node.mode.value,
    }


def _ports(text: str) -> list[str]:
    return text.split(",") if text else []


def _effects(old: Settings, new: Settings) -> dict[str, object]:
    return {"weakenings": weakenings(old, new), "needs_restart": needs_restart(old, new)}


def _problem(line: str) -> dict[str, str]:
    """Take a problem apart: where, and what."""
    text = line.removeprefix(f"{_PLACE}: ")
    key, colon, message = text.partition(": ")
    return {"key": key, "message": message} if colon else {"key": "", "message": text}
