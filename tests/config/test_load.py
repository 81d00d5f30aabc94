"""Configuration files."""

from __future__ import annotations

import math
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobgate.config.host import Name
from jobgate.config.load import ConfigError, load_file, load_text, read_settings
from jobgate.config.policy import Mode, Network
from jobgate.config.settings import Settings

EVERYTHING = """
[node]
networks = ["none", "http", "full"]
allow = [".example.com", ".example.net"]
deny = ["requester.example:1234"]
deny_addresses = ["192.0.2.7:1234"]
allow_addresses = ["10.0.0.0/8", "127.0.0.1:8081", "::1"]
max_rate_up = "unlimited"
max_rate_down = "5mbit"
via = ""
total_rate_up = "1gbit"
close_revoked = false
mode = "report"
no_proxy = ["10.0.0.0/8"]
refusal_note = "ask ops@example.com"
connect_ports = [443, "8443"]
http_ports = ["80", "1024-65535"]
[listen]
control = "127.0.0.1:9900"
control_token_file = "/etc/jobgate/token"
control_mode = "0660"
metrics = "127.0.0.1:9901"
proxy = ["172.30.0.1:3128", "unix:/run/jobgate/proxy.sock"]
[state]
path = "/var/lib/jobgate/state.db"
[upstream]
proxy = "http://user:pass@corp:3128"
no_proxy = [".intern.example"]
[log]
path = "/var/log/jobgate.log"
[env]
PIP_INDEX_URL = "https://mirror.example/simple"
[dns]
servers = ["192.0.2.53", "127.0.0.1:5353", "[::1]:53"]
hosts = {"ok.test" = ["127.0.0.1"]}
timeout_s = 2
cache_entries = 16
[limits]
max_head_bytes = 8192
max_target_bytes = 8192
max_content_bytes = 1000
requests_per_s_per_job = 0
dns_names_per_s_per_job = 1.5
max_fields = 100
max_connections = 10
max_connections_per_job = 5
relay_buffer_bytes = 4096
[timeouts]
head_s = 1
dial_s = 2.5
upstream_response_s = 3
keepalive_s = 4
tunnel_idle_s = 5
half_closed_s = 6
drain_s = 0
upgrade_drain_s = 60
[[job]]
id = "train-42"
listen = "127.0.0.1:3128"
domains = ["www.example.com"]
network = "http"
[job.env]
PIP_INDEX_URL = "https://other.example/simple"
[[job]]
id = "open"
network = "full"
labels = { team = "x" }
"""


def problems_of(text: str) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        load_text(text)
    return caught.value.problems


def test_load_text_of_nothing_is_the_defaults() -> None:
    assert load_text("") == Settings()


def test_load_text_reads_every_section() -> None:
    settings = load_text(EVERYTHING)
    assert settings.node.networks == tuple(Network)
    assert (settings.node.max_rate_up, settings.node.max_rate_down) == (math.inf, 625_000.0)
    assert [str(rule) for rule in settings.node.allow_addresses] == ["10.0.0.0/8", "127.0.0.1:8081", "::1"]
    assert (settings.log.path, settings.node.via) == ("/var/log/jobgate.log", "")
    assert settings.env == {"PIP_INDEX_URL": "https://mirror.example/simple"}
    assert [str(server) for server in settings.dns.servers] == ["192.0.2.53:53", "127.0.0.1:5353", "[::1]:53"]
    assert (settings.limits.relay_buffer_bytes, settings.limits.dns_names_per_s_per_job) == (4096, 1.5)
    assert (settings.timeouts.dial_s, settings.timeouts.drain_s) == (2.5, 0.0)
    assert (settings.node.total_rate_up, settings.node.close_revoked) == (125_000_000.0, False)
    assert (settings.node.policy.mode, settings.timeouts.upgrade_drain_s) == (Mode.REPORT, 60.0)
    assert (str(settings.listen.control), settings.listen.control_token_file) == (
        "127.0.0.1:9900",
        "/etc/jobgate/token",
    )
    assert (str(settings.listen.metrics), settings.listen.control_mode) == ("127.0.0.1:9901", 0o660)
    assert list(map(str, settings.listen.proxy)) == ["172.30.0.1:3128", "unix:/run/jobgate/proxy.sock"]
    assert settings.state.path == "/var/lib/jobgate/state.db"
    assert str(settings.upstream.proxy) == "http://corp:3128"
    assert Name("x.intern.example") in settings.upstream.no_proxy
    assert [(job.id, job.policy.network, job.policy.rate_down) for job in settings.jobs] == [
        ("train-42", Network.HTTP, 625_000.0),
        ("open", Network.FULL, 625_000.0),
    ]


def test_load_text_reports_all_at_once_in_the_order_of_sections() -> None:
    assert problems_of(
        """
        [[job]]
        id = "a"
        network = "http"
        listen = "127.0.0.1:3128"
        domains = ["ok.test", "a.b", "*.example.com"]
        [dns]
        servers = ["dns.example"]
        hosts = {"a b" = ["127.0.0.1"]}
        [env]
        "A B" = ""
        [limits]
        relay_buffer_bytes = 4095
        max_fields = "128"
        [node]
        vai = "x"
        """
    ) == [
        'jobgate.toml: node.vai: unknown key, did you mean "via"?',
        'jobgate.toml: dns.servers[0]: "dns.example": expected an address, as in "192.0.2.7" '
        'or "2001:db8::1", not a name',
        'jobgate.toml: dns.hosts."a b": a host name consists of letters, digits, hyphens, '
        "underscores and dots",
        'jobgate.toml: limits.max_fields: expected a whole number, got the text "128"',
        "jobgate.toml: limits.relay_buffer_bytes: expected a number from 4096 to 16777216, got 4095",
        'jobgate.toml: env."A B": a variable\'s name has letters, digits and underscores, no digit in front',
        'jobgate.toml: job[0].domains[2]: "*.example.com": write ".example.com"',
    ]


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        pytest.param("a = [", "jobgate.toml: not TOML: ", id="unfinished"),
        pytest.param("a = 1\nb = = 2", "jobgate.toml: line 2, column 5: not TOML: ", id="position"),
        pytest.param("x = " + "[" * 9000, "jobgate.toml: nested too deeply", id="deep"),
        pytest.param("x = " + "1" * 5000, "jobgate.toml: not TOML: ", id="long-number"),
        pytest.param("nod = 1", 'jobgate.toml: nod: unknown key, did you mean "node"?', id="D-unknown-key"),
        pytest.param("node = 1", "jobgate.toml: node: expected a table", id="no-table"),
        pytest.param("env = 1", "jobgate.toml: env: expected a table, got the number 1", id="env-no-table"),
        pytest.param("job = {}", "jobgate.toml: job: expected an array of tables", id="job-no-array"),
        pytest.param("[listen]\nworkers = 0", "jobgate.toml: listen.workers: expected", id="no-workers"),
        pytest.param('[node]\nmode = "off"', "jobgate.toml: node.mode: expected one of: enforce", id="mode"),
        pytest.param(
            "[node]\nclose_revoked = 1",
            "jobgate.toml: node.close_revoked: expected true or false, got the number 1",
            id="revoke",
        ),
        pytest.param(
            '[listen]\ncontrol = "127.0.0.1:9900"',
            "jobgate.toml: listen.control_token_file: missing: with control",
            id="control-token",
        ),
        pytest.param(
            '[listen]\nmetrics = "127.0.0.1:1"\nproxy = ["127.0.0.1:1"]',
            'jobgate.toml: listen.proxy[0]: "127.0.0.1:1" is the listener of listen.metrics already',
            id="listen-twice",
        ),
        pytest.param(
            '[upstream]\nproxy = "corp:3128"',
            "jobgate.toml: upstream.proxy: not the URL of a proxy",
            id="upstream",
        ),
        pytest.param(
            "[timeouts]\nhello_s = 0", "jobgate.toml: timeouts.hello_s: a time limit is above", id="hello"
        ),
        pytest.param(
            "[timeouts]\nhead_s = 0", "jobgate.toml: timeouts.head_s: a time limit is above", id="zero"
        ),
        pytest.param(
            "[timeouts]\nhead_s = inf", "jobgate.toml: timeouts.head_s: expected a number", id="inf"
        ),
        pytest.param(
            "[timeouts]\nhead_s = nan", "jobgate.toml: timeouts.head_s: expected a number", id="nan"
        ),
        pytest.param(
            "[limits]\nmax_head_bytes = 4096",
            "jobgate.toml: limits.max_target_bytes: a target is part of a head: at most max_head_bytes, 4096",
            id="target-over-head",
        ),
        pytest.param(
            '[node]\nallow_addresses = ["10.0.0.1/8"]',
            'jobgate.toml: node.allow_addresses[0]: "10.0.0.1/8": the address has host bits beyond '
            'the prefix: write "10.0.0.0/8"',
            id="D-host-bits",
        ),
        pytest.param(
            '[node]\nmax_rate_up = "10parsec"', "jobgate.toml: node.max_rate_up: unknown unit", id="D-unit"
        ),
        pytest.param(
            "[node]\nmax_rate_up = nan", "jobgate.toml: node.max_rate_up: a rate is from", id="D-nan"
        ),
        pytest.param(
            "[node]\nmax_rate_up = 1979-05-27", "jobgate.toml: node.max_rate_up: expected a rate", id="date"
        ),
        pytest.param("[log]\npath = ''", "jobgate.toml: log.path: expected the path", id="log-path"),
    ],
)
def test_load_text_says_what_and_where(text: str, problem: str) -> None:
    problems = problems_of(text)
    assert len(problems) == 1
    assert problems[0].startswith(problem)


def test_bad_node_networks_blame_no_job() -> None:
    assert problems_of('node.networks = ["all"]\n[[job]]\nid = "a"\nnetwork = "full"') == [
        'jobgate.toml: node.networks[0]: "all": expected one of: none, http, full'
    ]


def test_bad_node_allow_blames_no_job() -> None:
    text = """
    node.allow = ["*.b.c"]
    [[job]]
    id = "a"
    network = "http"
    listen = "127.0.0.1:1"
    domains = ["x.y"]
    """
    assert problems_of(text) == ['jobgate.toml: node.allow[0]: "*.b.c": write ".b.c"']


def test_bad_shared_listeners_blame_no_job() -> None:
    job = '[[job]]\nid = "a"\nnetwork = "http"\ntoken = "t"\ndomains = ["x.y"]'
    assert problems_of(f'listen.proxy = ["x"]\n{job}') == [
        'jobgate.toml: listen.proxy[0]: "x": write "127.0.0.1:3128", "[::1]:3128" or "unix:/path"'
    ]
    assert problems_of(f"listen.metrics = 1\n{job}")[1].startswith(
        "jobgate.toml: job[0].token: the job has no"
    )


def test_bad_control_is_not_said_to_lack_a_token() -> None:
    assert len(problems_of('listen.control = "localhost:9900"')) == 1


def test_no_control_needs_no_token() -> None:
    assert load_text('listen.control = ""').listen.control is None


def test_secrets_are_in_no_error_and_no_repr() -> None:
    text = """
    listen.proxy = ["127.0.0.1:3128"]
    upstream.proxy = "http://user:s3cret@corp:3128"
    [[job]]
    id = "a"
    network = "http"
    token = "s3cret"
    domains = ["x.y"]
    """
    settings = load_text(text)
    assert settings.jobs[0].token == "s3cret"
    assert "s3cret" not in repr(settings)
    broken = text.replace("s3cret@corp:3128", "s3cret@corp").replace('"s3cret"', '"s3cret "')
    problems = problems_of(broken)
    assert [problem.split(": ")[1] for problem in problems] == ["upstream.proxy", "job[0].token"]
    assert "s3cret" not in "".join(problems)


def test_load_file_names_the_file(tmp_path: Path) -> None:
    path = tmp_path / "gate.toml"
    path.write_text("nod = 1")
    with pytest.raises(ConfigError) as caught:
        load_file(path)
    assert str(caught.value) == f'{path}: nod: unknown key, did you mean "node"?'


def test_load_file_reads(tmp_path: Path) -> None:
    path = tmp_path / "gate.toml"
    path.write_text(EVERYTHING)
    assert load_file(str(path)) == load_text(EVERYTHING)


def test_load_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"gate\.toml: cannot be read: No such file or directory"):
        load_file(tmp_path / "gate.toml")


def test_load_file_that_is_not_utf_8(tmp_path: Path) -> None:
    path = tmp_path / "gate.toml"
    path.write_bytes(b"a = '\xff'")
    with pytest.raises(ConfigError, match="not UTF-8 at byte 5"):
        load_file(path)


SECTIONS = ["node", "listen", "state", "upstream", "log", "dns", "limits", "timeouts", "env", "job", "x"]
NODE_KEYS = ["networks", "allow", "deny", "deny_addresses", "via", "no_proxy", "connect_ports"]
JOB_KEYS = ["id", "listen", "domains", "network", "rate_up", "burst", "labels", "job_header"]
ENTRANCE_KEYS = ["token", "clients", "netns", "peer_uids", "expires", "mode", "control", "metrics", "proxy"]
OTHER_KEYS = ["hosts", "servers", "timeout_s", "max_fields", "head_s", "drain_s"]
KEYS = st.sampled_from(SECTIONS + NODE_KEYS + JOB_KEYS + ENTRANCE_KEYS + OTHER_KEYS)
SCALARS = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=8)
    | st.sampled_from(
        ["http", "none", "a.b", ".a.b", "*.a.b", "127.0.0.1:3128", "10.0.0.0/8", "10mbit", "::1"]
    )
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=4),
    max_leaves=12,
)


@given(st.dictionaries(KEYS, VALUES, max_size=6))
def test_read_settings_of_anything_gives_settings_and_problems(document: dict[str, object]) -> None:
    settings, problems = read_settings(document)
    assert isinstance(settings, Settings)
    assert all("\n" not in f"{path}{message}" for path, message in problems)


@given(st.text(max_size=60))
def test_load_text_gives_settings_or_a_config_error(text: str) -> None:
    try:
        settings = load_text(text)
    except ConfigError as error:
        assert error.problems  # noqa: PT017 (either outcome is right)
    else:
        assert isinstance(settings, Settings)


@pytest.mark.parametrize(("text", "loaded"), [("[node]", set[str]()), ('[[job]]\nid = "a"', {"hashlib"})])
def test_file_loads_only_what_reads_it(text: str, loaded: set[str]) -> None:
    code = (
        f"import sys; from jobgate.config.load import load_text; load_text({text!r})\n"
        "print(*{'cattrs', 'attr', 'difflib', 'hashlib', 'asyncio', 'socket'} & set(sys.modules))"
    )
    environment = {"PYTHONPATH": ":".join(sys.path)}
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environment
    )
    assert set(done.stdout.split()) == loaded
