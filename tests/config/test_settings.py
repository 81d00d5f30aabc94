"""The defaults, which people build on, and the cost of having them."""

from __future__ import annotations

import math
import subprocess
import sys
from dataclasses import FrozenInstanceError, fields

import pytest

from jobgate.config.policy import JobPolicy, Network, NodePolicy
from jobgate.config.rules import RuleSet
from jobgate.config.settings import JobSettings, NodeSettings, Settings

DEFAULTS = {
    "limits.max_head_bytes": 65536,
    "limits.max_target_bytes": 16384,
    "limits.max_content_bytes": 0,
    "limits.requests_per_s_per_job": 200,
    "limits.dns_names_per_s_per_job": 20,
    "limits.max_fields": 128,
    "limits.max_connections": 20000,
    "limits.max_connections_per_job": 256,
    "limits.relay_buffer_bytes": 65536,
    "timeouts.head_s": 10.0,
    "timeouts.dial_s": 10.0,
    "timeouts.hello_s": 5.0,
    "timeouts.upstream_response_s": 300.0,
    "timeouts.keepalive_s": 60.0,
    "timeouts.tunnel_idle_s": 3600.0,
    "timeouts.half_closed_s": 300.0,
    "timeouts.drain_s": 30.0,
    "dns.servers": (),
    "dns.hosts": {},
    "dns.timeout_s": 5.0,
    "dns.cache_entries": 4096,
    "log.path": "-",
    "node.via": "jobgate",
    "node.refusal_note": "",
    "node.no_proxy": (),
    "node.networks": (Network.NONE, Network.HTTP),
    "node.allow": None,
    "node.deny": RuleSet(),
    "node.deny_addresses": (),
    "node.allow_addresses": (),
    "node.max_rate_up": math.inf,
    "node.max_rate_down": math.inf,
}


@pytest.mark.parametrize("key", DEFAULTS)
def test_default(key: str) -> None:
    section, name = key.split(".")
    assert getattr(getattr(Settings(), section), name) == DEFAULTS[key]


def test_default_ports() -> None:
    node = Settings().node
    assert (str(node.connect_ports), str(node.http_ports)) == ("443", "80,1024-65535")


def test_every_simple_default_is_in_the_table() -> None:
    sections = {"node", "log", "dns", "limits", "timeouts"}
    keys = {f"{name}.{field.name}" for name in sections for field in fields(getattr(Settings(), name))}
    assert keys - {"node.connect_ports", "node.http_ports"} == set(DEFAULTS)


def test_job_defaults() -> None:
    job = JobSettings("j")
    assert (job.policy, job.listen, job.burst_bytes, job.job_header) == (JobPolicy(), "", None, "")
    assert (job.max_connections, dict(job.env), dict(job.labels)) == (256, {}, {})


def test_node_policy_carries_every_field() -> None:
    node = NodeSettings(allow=RuleSet.parse(["a.b"]), max_rate_up=5.0)
    for field in fields(NodePolicy):
        assert getattr(node.policy, field.name) == getattr(node, field.name)


def test_settings_are_frozen() -> None:
    with pytest.raises(FrozenInstanceError):
        Settings().limits.max_fields = 1  # type: ignore[misc]


def test_import_without_a_file_needs_no_cattrs_and_no_idna() -> None:
    late = {"cattrs", "attrs", "idna", "tomllib", "asyncio", "socket"}
    code = f"import sys, jobgate.config; print({late} & set(sys.modules))"
    path = ":".join(sys.path)
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, env={"PYTHONPATH": path}
    )
    assert result.stdout.strip() == "set()"
