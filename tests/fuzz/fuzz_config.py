"""Configurations: settings that hold together, or problems of one line each."""

from __future__ import annotations

from jobgate.config.load import ConfigError, load_text
from jobgate.config.policy import narrow
from jobgate.config.settings import Settings

WORDS = (
    b"[node]\n", b"[log]\n", b"[dns]\n", b"[limits]\n", b"[timeouts]\n", b"[env]\n", b"[[job]]\n",
    b"[dns.hosts]\n", b"networks = ", b"allow = [", b"deny = [", b"deny_addresses = [",
    b"allow_addresses = [", b"domains = [", b"network = ", b'"http"', b'"full"', b'"none"', b"id = ",
    b"listen = ", b"unix:/", b"127.0.0.1:3128", b"max_rate_up = ", b"rate_down = ", b'"10mbit"',
    b'"unlimited"', b"burst_bytes = ", b"job_header = ", b"connect_ports = ", b"http_ports = ",
    b'"1024-65535"', b"servers = [", b"head_s = ", b"via = ", b"labels.", b'"""', b"'''", b"[[", b"]]",
    b"{", b"}", b"0x", b"1e9", b"inf", b"nan", b"-0.0", b"\\u0000", b"\\U0010FFFF", b"1979-05-27T07:32:00Z",
    b"10.0.0.0/8", b"[::1]:53", b"true", b"a.b = 1\n",
)  # fmt: skip


def TestOneInput(data: bytes) -> None:
    """Load a text."""
    try:
        settings = load_text(data.decode("utf-8", "replace"), "x.toml")
    except ConfigError as error:
        check_problems(error.problems)
    else:
        check_settings(settings)


def check_problems(problems: list[str]) -> None:
    """Each problem is one line that a terminal can show."""
    assert problems, "refused without a reason"
    for problem in problems:
        assert problem.startswith("x.toml: "), "a problem that is nowhere"
        assert len(problem.splitlines()) == 1, "a problem of several lines"
        assert "\x1b" not in problem, "a problem that a terminal would obey"
        problem.encode()


def check_settings(settings: Settings) -> None:
    """No job may do more than its node, and names are told apart."""
    node = settings.node.policy
    for job in settings.jobs:
        narrow(job.policy, node)
    ids = [job.id for job in settings.jobs]
    assert len(set(ids)) == len(ids), "two jobs with one id"
    assert settings.limits.max_target_bytes <= settings.limits.max_head_bytes
