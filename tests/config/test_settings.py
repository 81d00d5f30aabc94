"""The defaults, which people build on, and the cost of having them."""

from __future__ import annotations

import math
import subprocess
import sys
from dataclasses import FrozenInstanceError, fields

import pytest

from jobgate.config.endpoints import UnixPath
from jobgate.config.policy import JobPolicy, Mode, Network, NodePolicy
from jobgate.config.rules import RuleSet
from jobgate.config.settings import JobSettings, NodeSettings, Settings
from jobgate.config.upstream import DIRECT_NOTHING

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
    "timeouts.upgrade_drain_s": 0.0,
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
    "node.total_rate_up": math.inf,
    "node.total_rate_down": math.inf,
    "node.close_revoked": True,
    "node.mode": Mode.ENFORCE,
    "listen.control": UnixPath("/run/jobgate/control.sock"),
    "listen.metrics": None,
    "listen.proxy": (),
    "listen.control_token_file": "",
    "listen.control_mode": 0o600,
    "listen.workers": 1,
    "state.path": "",
    "upstream.proxy": None,
    "upstream.no_proxy": DIRECT_NOTHING,
}


@pytest.mark.parametrize("key", DEFAULTS)
def test_default(key: str) -> None:
    section, name = key.split(".")
    assert getattr(getattr(Settings(), section), name) == DEFAULTS[key]


def test_default_ports() -> None:
    node = Settings().node
    assert (str(node.connect_ports), str(node.http_ports)) == ("443", "80,1024-65535")


def test_every_simple_default_is_in_the_table() -> None:
    sections = {"node", "listen", "log", "state", "upstream", "dns", "limits", "timeouts"}
    keys = {f"{name}.{field.name}" for name in sections for field in fields(getattr(Settings(), name))}
    assert keys - {"node.connect_ports", "node.http_ports"} == set(DEFAULTS)


def test_job_defaults() -> None:
    job = JobSettings("j")
    assert (job.policy, job.listen, job.burst_bytes, job.job_header) == (JobPolicy(), "", None, "")
    assert (job.max_connections, dict(job.env), dict(job.labels)) == (256, {}, {})
    assert (job.token, job.token_hash, job.clients, job.netns, job.peer_uids) == (
        "",
        None,
        (),
        "",
        frozenset(),
    )
    assert (job.max_bytes_up, job.max_bytes_down, job.max_duration_s, job.expires_at) == (0, 0, 0.0, None)


def test_a_job_shows_neither_its_token_nor_the_hash() -> None:
    shown = repr(JobSettings("j", token="s3cret", token_hash=b"digest"))
    assert "s3cret" not in shown
    assert "digest" not in shown


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
