from __future__ import annotations

import io
import os
from pathlib import Path

import pytest

from jobgate.cli import call
from jobgate.cli.options import JobOptions, load_settings, settings_with_job
from jobgate.cli.run import JOB_ID, ROOT_WARNING, alone, job_environment, wants_colour, warn_root
from jobgate.config.settings import Settings


@pytest.fixture(autouse=True)
def no_options_in_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith("JOBGATE_")]:
        monkeypatch.delenv(name)


def settings(options: JobOptions, config: str | None = None) -> Settings:
    return settings_with_job(load_settings(config), options, job_id=JOB_ID)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "Missing argument 'CMD [ARG]...'."),
        (["--network", "http", "true"], "--network http needs at least one domain"),
        (["--network", "none", "--domain", "a.test", "true"], "--domain has no meaning with --network none"),
        (["--network", "full", "--domain", "a.test", "true"], "--domain has no meaning with --network full"),
        (["--deny", "a.test", "true"], 'deny: only for network "http"'),
        (["--network", "all", "true"], "'all' is not one of 'none', 'http', 'full'"),
        (["--domain", "*.a.test", "true"], '"*.a.test"'),
        (["--domain", "a.test", "--rate", "fast", "true"], '--rate: "fast"'),
        (["--domain", "a.test", "--log", "-", "true"], "--log: standard output belongs to the job"),
        (["--config", "/nonexistent.toml", "true"], "/nonexistent.toml: cannot be read"),
        (["--network", "none", "--report", "true"], "--report has no meaning with --network none"),
        (["--max-bytes-up", "-1", "true"], "-1 is not in the range x>=0"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else None,
)
def test_usage_error_is_one_line_and_exit_2(
    arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert call(["run", *arguments]) == 2
    shown = capsys.readouterr()
    assert shown.out == ""
    assert said in shown.err
    assert shown.err.startswith("jobgate: ")
    assert shown.err.count("\n") == 1


def test_help_says_what_run_does_not_isolate(capsys: pytest.CaptureFixture[str]) -> None:
    assert call(["run", "--help"]) == 0
    shown = " ".join(capsys.readouterr().out.split())
    assert "not files, not the home directory, not sockets outside /run" in shown
    assert "Example: jobgate run --domain .example.com -- curl https://www.example.com/" in shown


def test_full_needs_the_consent_of_a_configuration(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "jobgate.toml"
    path.write_text("")
    assert call(["run", "--config", str(path), "--network", "full", "true"]) == 2
    assert 'the node does not accept "full"' in capsys.readouterr().err


def test_environment_of_the_job_beats_that_of_all_jobs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "jobgate.toml"
    path.write_text(
        '[node]\nno_proxy = ["192.0.2.7"]\n[env]\nA = "all"\nB = "all"\n'
        '[[job]]\nid = "x"\nlisten = "127.0.0.1:1"\nnetwork = "http"\ndomains = ["a.test"]\n'
        '[job.env]\nB = "job"\n'
    )
    monkeypatch.setenv("A", "user")
    environment = job_environment(settings(JobOptions(), str(path)))
    assert (environment["A"], environment["B"]) == ("all", "job")
    assert environment["http_proxy"] == "http://127.0.0.1:3128"
    assert environment["no_proxy"].endswith(",192.0.2.7")


@pytest.mark.parametrize(
    ("terminal", "no_color", "wanted"),
    [(True, "", True), (True, "1", False), (False, "", False)],
    ids=["terminal", "no-color", "pipe"],
)
def test_colour_is_for_terminals(
    terminal: bool, no_color: str, wanted: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stderr", io.StringIO())
    monkeypatch.setattr("sys.stderr.isatty", lambda: terminal)
    monkeypatch.setenv("NO_COLOR", no_color)
    assert wants_colour() == wanted


@pytest.mark.parametrize(("uid", "said"), [(0, ROOT_WARNING + "\n"), (1000, "")])
def test_root_is_warned(
    uid: int, said: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: uid)
    warn_root()
    assert capsys.readouterr().err == said


def test_job_of_a_gateway_needs_no_credentials_when_it_runs_alone(tmp_path: Path) -> None:
    config = tmp_path / "gate.toml"
    config.write_text(
        '[listen]\nproxy = ["127.0.0.1:3128"]\n[[job]]\nid = "j"\nnetwork = "http"\ndomains = ["a.test"]\n'
        'token = "t"\nclients = ["10.0.0.0/8"]\nmax_bytes_up = 5\n'
    )
    (job,) = alone(settings(JobOptions(), str(config))).jobs
    assert (job.token, job.token_hash, job.clients, job.max_bytes_up) == ("", None, (), 5)
