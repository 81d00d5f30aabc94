from __future__ import annotations

from pathlib import Path

import click
import pytest

from jobgate.cli import call
from jobgate.cli.sidecar import listen_option, require_isolation
from jobgate.config.endpoints import parse_listen


@pytest.mark.parametrize(
    ("listen", "interfaces"),
    [
        ("127.0.0.1:3128", ["eth0"]),
        ("127.7.7.7:0", ["eth0", "eth1"]),
        ("[::1]:3128", ["eth0"]),
    ],
)
def test_job_in_a_namespace_with_another_way_out_is_not_served(listen: str, interfaces: list[str]) -> None:
    found = rf"by {', '.join(interfaces)} \(no lockdown: it is open\): .*`jobgate lockdown --uid.*--advisory"
    with pytest.raises(click.ClickException, match=found) as error:
        require_isolation(parse_listen(listen), interfaces, lambda: "it is open")
    assert error.value.exit_code == 1


def test_lockdown_closes_the_other_ways_out() -> None:
    require_isolation(parse_listen("127.0.0.1:3128"), ["eth0"], lambda: "")


@pytest.mark.parametrize(
    ("listen", "interfaces"),
    [
        ("127.0.0.1:3128", []),
        ("172.30.0.2:3128", ["eth0", "eth1"]),
        ("0.0.0.0:3128", ["eth0"]),
        ("[2001:db8::2]:3128", ["eth0"]),
        ("unix:/run/job.sock", ["eth0"]),
    ],
    ids=["no way out", "a leg of two", "all addresses", "IPv6", "unix"],
)
def test_job_elsewhere_or_without_a_way_out_is_served(listen: str, interfaces: list[str]) -> None:
    require_isolation(parse_listen(listen), interfaces, lambda: pytest.fail("asked without a reason"))


@pytest.mark.parametrize(
    ("text", "canonical"),
    [(None, ""), ("", ""), ("127.0.0.1:3128", "127.0.0.1:3128"), ("[0::1]:0", "[::1]:0")],
)
def test_listen_option_is_canonical(text: str | None, canonical: str) -> None:
    assert listen_option(text) == canonical


@pytest.mark.parametrize("text", ["localhost:3128", "3128", "127.0.0.1", "unix:relative"])
def test_listen_option_refuses_what_is_no_place(text: str) -> None:
    with pytest.raises(click.UsageError, match=f'^--listen: "{text}": '):
        listen_option(text)


@pytest.mark.parametrize(
    ("args", "message"),
    [
        ([], "jobgate: sidecar needs at least one domain: add --domain\n"),
        (["--domain", "*.x.com"], 'jobgate: --domain: "*.x.com": write ".x.com"'),
    ],
    ids=["no domain", "bad domain"],
)
def test_usage_error(args: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert call(["sidecar", *args]) == 2
    assert capsys.readouterr().err.startswith(message)


def test_one_job_has_no_workers(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "jobgate.toml"
    file.write_text("[listen]\nworkers = 2\n")
    assert call(["sidecar", "--config", str(file), "--domain", "a.example", "--advisory"]) == 2
    assert "leave [listen] workers out" in capsys.readouterr().err
