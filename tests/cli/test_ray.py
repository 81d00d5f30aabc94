from __future__ import annotations

import json

import click
import pytest

from jobgate.cli import call
from jobgate.cli.ray import replace_process
from jobgate.integrations.ray import guard

URL = "http://ray-0a1b2c3d-4.01000000:s3cret@127.0.0.1:3128"


@pytest.fixture
def gated(monkeypatch: pytest.MonkeyPatch) -> list[guard.Gate]:
    """An environment as the plugin sets it, and whom its gate was asked for."""
    asked: list[guard.Gate] = []
    for name in ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"):
        monkeypatch.setenv(name, URL)
    monkeypatch.setattr("jobgate.cli.ray.ask_gate", asked.append)
    return asked


def test_check_says_who_is_behind_which_gate(
    gated: list[guard.Gate], capsys: pytest.CaptureFixture[str]
) -> None:
    assert call(["ray", "check"]) == 0
    assert capsys.readouterr().out == "ray-0a1b2c3d-4.01000000 is behind the gate at 127.0.0.1:3128\n"


def test_Ry8_check_fails_without_the_plugin(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"):
        monkeypatch.delenv(name, raising=False)
    assert call(["ray", "check", "--", "true"]) == 1
    assert "RAY_RUNTIME_ENV_PLUGINS" in capsys.readouterr().err


def test_check_becomes_the_command_under_the_submissions_name(
    gated: list[guard.Gate], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(guard.JOB_CONFIG, json.dumps({"metadata": {"job_submission_id": "raysubmit_A"}}))
    became: list[tuple[list[str], str]] = []
    monkeypatch.setattr(
        "jobgate.cli.ray.replace_process",
        lambda arguments, environ: became.append((list(arguments), environ["http_proxy"])),
    )
    assert call(["ray", "check", "--", "python", "-c", "pass", "--flag"]) == 0
    assert became == [(["python", "-c", "pass", "--flag"], URL.replace("01000000", "raysubmit_A"))]
    assert gated[0].job_id == "ray-0a1b2c3d-4.raysubmit_A"


def test_program_takes_the_place_of_the_check() -> None:
    seen: list[tuple[str, list[str], dict[str, str]]] = []
    replace_process(["sh", "-c", "true"], {"PATH": "/bin:/usr/bin"}, lambda *args: seen.append(args))
    ((path, arguments, environ),) = seen
    assert path.endswith("/sh")
    assert (arguments, environ) == (["sh", "-c", "true"], {"PATH": "/bin:/usr/bin"})


def test_program_that_is_not_there_or_cannot_run_is_an_error_of_use() -> None:
    def fail(path: str, arguments: list[str], environ: dict[str, str]) -> None:
        raise PermissionError(13, "Permission denied")

    with pytest.raises(click.UsageError, match="nowhere-to-be-found: not found"):
        replace_process(["nowhere-to-be-found"], {"PATH": "/bin"})
    with pytest.raises(click.UsageError, match="sh: Permission denied"):
        replace_process(["sh"], {"PATH": "/bin:/usr/bin"}, fail)
