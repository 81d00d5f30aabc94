from __future__ import annotations

import math
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from jobgate.cli.options import (
    JobOptions,
    Words,
    job_options,
    load_settings,
    network_option,
    settings_with_job,
)
from jobgate.config.load import load_text
from jobgate.config.policy import Mode, Network, Tls
from jobgate.config.settings import JobSettings, Settings

ONE_JOB = """
[[job]]
id = "train"
listen = "127.0.0.1:3128"
domains = [".example.com"]
network = "http"
deny = ["bad.example.com"]
rate_up = "1mbit"
"""
TWO_JOBS = (
    ONE_JOB
    + '[[job]]\nid = "other"\nlisten = "127.0.0.1:3129"\ndomains = ["example.net"]\nnetwork = "http"\n'
)


def job_of(options: JobOptions, text: str = "", job_id: str = "job") -> JobSettings:
    settings = load_text(text) if text else load_settings(None)
    (job,) = settings_with_job(settings, options, job_id=job_id).jobs
    return job


def domains_of(job: JobSettings) -> list[str]:
    return [str(rule) for rule in job.policy.domains]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("a,b", ["a", "b"]),
        (" a  b\nc\t", ["a", "b", "c"]),
        ("a, ,b,", ["a", "b"]),
        ("", []),
    ],
    ids=["commas", "white space", "both", "empty"],
)
def test_words_of_the_environment(text: str, words: list[str]) -> None:
    assert Words().split_envvar_value(text) == words


def test_domains_alone_mean_http_at_ten_megabits() -> None:
    job = job_of(JobOptions(domains=(".example.com",)))
    assert (job.id, job.policy.network, domains_of(job)) == ("job", Network.HTTP, [".example.com"])
    assert (job.policy.rate_up, job.policy.rate_down) == (1_250_000.0, 1_250_000.0)


def test_nothing_said_means_no_network() -> None:
    assert job_of(JobOptions()).policy.network is Network.NONE


def test_full_needs_no_configuration() -> None:
    assert job_of(JobOptions(network="full")).policy.network is Network.FULL


def test_own_rate_of_a_direction_beats_the_common_one() -> None:
    job = job_of(JobOptions(domains=("example.com",), rate="1MB", rate_down="unlimited"))
    assert (job.policy.rate_up, job.policy.rate_down) == (1e6, math.inf)


def test_only_job_of_the_file_is_the_base() -> None:
    job = job_of(JobOptions(deny=("worse.example.com",), rate_down="2mbit"), ONE_JOB)
    assert (job.id, job.listen, domains_of(job)) == ("train", "127.0.0.1:3128", [".example.com"])
    assert [str(rule) for rule in job.policy.deny] == ["bad.example.com", "worse.example.com"]
    assert (job.policy.rate_up, job.policy.rate_down) == (125_000.0, 250_000.0)


def test_domain_replaces_the_domains_of_the_file() -> None:
    assert domains_of(job_of(JobOptions(domains=("example.org",)), ONE_JOB)) == ["example.org"]


def test_job_of_that_id_is_the_base() -> None:
    assert domains_of(job_of(JobOptions(), TWO_JOBS, "other")) == ["example.net"]


def test_rate_is_bounded_by_the_node() -> None:
    job = job_of(JobOptions(domains=("example.com",), rate="unlimited"), '[node]\nmax_rate_up = "1mbit"\n')
    assert (job.policy.rate_up, job.policy.rate_down) == (125_000.0, math.inf)


@pytest.mark.parametrize(
    ("options", "text", "message"),
    [
        (
            JobOptions(network="none", domains=("a.example",)),
            "",
            "--domain has no meaning with --network none",
        ),
        (
            JobOptions(network="full", domains=("a.example",)),
            "",
            "--domain has no meaning with --network full",
        ),
        (JobOptions(network="http"), "", "--network http needs at least one domain"),
        (JobOptions(domains=("*.x.com",)), "", '--domain: "*.x.com": '),
        (JobOptions(domains=("a.example",), deny=("http://x",)), "", '--deny: "http://x": '),
        (JobOptions(domains=("a.example",), rate="fast"), "", '--rate: "fast": '),
        (JobOptions(domains=("a.example",), rate_up="0"), "", '--rate-up: "0": '),
        (JobOptions(), TWO_JOBS, "the file has several jobs (train, other)"),
        (JobOptions(network="full"), "[node]\n", "network: the node does not accept"),
        (JobOptions(domains=("a.example",)), '[node]\nallow = ["b.example"]\n', "not covered by the node's"),
    ],
    ids=[
        "none",
        "full",
        "http",
        "domain",
        "deny",
        "rate",
        "rate-up",
        "several",
        "network of the node",
        "domain of the node",
    ],
)
def test_contradiction_is_a_usage_error(options: JobOptions, text: str, message: str) -> None:
    with pytest.raises(click.UsageError) as error:
        job_of(options, text)
    assert message in error.value.message


def test_every_bad_domain_is_named() -> None:
    with pytest.raises(click.UsageError) as error:
        job_of(JobOptions(domains=("*.x.com", "ok.example", "a b")))
    assert len(error.value.message.splitlines()) == 2


def test_load_settings_of_nothing_accepts_every_network() -> None:
    assert set(load_settings(None).node.networks) == set(Network)
    assert load_settings(None).jobs == Settings().jobs


@pytest.mark.parametrize(
    ("content", "message"),
    [(b"[nope]\n", "nope"), (b"\xff", "")],
    ids=["unknown key", "not UTF-8"],
)
def test_load_settings_says_what_is_wrong_with_the_file(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "gate.toml"
    path.write_bytes(content)
    with pytest.raises(click.UsageError) as error:
        load_settings(str(path))
    assert "gate.toml" in error.value.message
    assert message in error.value.message


@pytest.mark.parametrize(
    ("said", "expected"), [(None, Tls.REQUIRE), ("any", Tls.ANY), ("require", Tls.REQUIRE)]
)
def test_tls_is_required_unless_said(said: str | None, expected: Tls) -> None:
    assert job_of(JobOptions(domains=("example.com",), tls=said)).policy.tls is expected


@pytest.mark.parametrize("network", ["none", "full"])
def test_network_without_domains_leaves_those_of_the_file_out(network: str) -> None:
    text = '[node]\nnetworks = ["none", "http", "full"]\n' + ONE_JOB
    policy = job_of(JobOptions(network=network), text).policy
    assert (policy.network, len(policy.domains), len(policy.deny)) == (Network(network), 0, 0)


def test_report_means_http_without_any_list() -> None:
    job = job_of(JobOptions(report=True))
    assert (job.policy.network, job.policy.mode, domains_of(job)) == (Network.HTTP, Mode.REPORT, [])


@pytest.mark.parametrize(
    ("options", "quotas"),
    [
        (JobOptions(), (5, 7)),
        (JobOptions(max_bytes_up=1), (1, 7)),
        (JobOptions(max_bytes_down=0), (5, 0)),
    ],
    ids=["of the file", "option wins", "lifted"],
)
def test_quotas(options: JobOptions, quotas: tuple[int, int]) -> None:
    job = job_of(options, f"{ONE_JOB}max_bytes_up = 5\nmax_bytes_down = 7\n", "train")
    assert (job.max_bytes_up, job.max_bytes_down) == quotas


def gathered(args: list[str], *, network: bool) -> JobOptions:
    """What a command with the options of a job is handed for these words."""
    found: list[JobOptions] = []

    @job_options
    @click.argument("rest")
    def note(options: JobOptions, rest: str) -> None:
        assert rest == "rest"
        found.append(options)

    command = click.command()(network_option(note) if network else note)
    result = CliRunner().invoke(command, [*args, "rest"], catch_exceptions=False)
    assert (result.exit_code, result.output) == (0, "")
    return found[0]


@pytest.mark.parametrize(
    ("words", "options"),
    [
        ("", JobOptions()),
        ("--domain a.example --domain b.example", JobOptions(domains=("a.example", "b.example"))),
        ("--deny a.example --tls any", JobOptions(deny=("a.example",), tls="any")),
        (
            "--rate 1MB --rate-up 2MB --rate-down 3MB",
            JobOptions(rate="1MB", rate_up="2MB", rate_down="3MB"),
        ),
        (
            "--max-bytes-up 1 --max-bytes-down 2 --report",
            JobOptions(max_bytes_up=1, max_bytes_down=2, report=True),
        ),
    ],
    ids=["nothing", "domains", "deny and tls", "rates", "quotas and report"],
)
def test_options_of_a_job_come_as_one_value(words: str, options: JobOptions) -> None:
    assert gathered(words.split(), network=False) == options


def test_network_is_one_of_them_where_a_command_has_it() -> None:
    assert gathered(["--network", "full"], network=True) == JobOptions(network="full")
