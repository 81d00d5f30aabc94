from __future__ import annotations

from pathlib import Path

import click
import pytest

from jobgate.cli import call
from jobgate.cli.serve import require_work
from jobgate.config.gateway import ListenSettings
from jobgate.config.policy import JobPolicy, Network
from jobgate.config.rules import RuleSet
from jobgate.config.settings import JobSettings, Settings

HTTP = JobPolicy(network=Network.HTTP, domains=RuleSet.parse([".example.com"]))
NO_CONTROL = ListenSettings(control=None)


@pytest.mark.parametrize(
    "settings",
    [
        Settings(),
        Settings(jobs=(JobSettings(id="a", policy=HTTP, listen="127.0.0.1:3128"),), listen=NO_CONTROL),
    ],
    ids=["jobs can be added", "a job"],
)
def test_configuration_with_something_to_serve(settings: Settings) -> None:
    require_work(settings)


@pytest.mark.parametrize(
    "jobs",
    [
        (),
        (
            JobSettings(id="b", policy=JobPolicy(network=Network.NONE)),
            JobSettings(id="c", policy=JobPolicy(network=Network.FULL)),
        ),
    ],
    ids=["no job", "none and full"],
)
def test_configuration_that_serves_nobody_is_refused(jobs: tuple[JobSettings, ...]) -> None:
    with pytest.raises(click.UsageError, match=r"^nothing to serve"):
        require_work(Settings(jobs=jobs, listen=NO_CONTROL))


def test_configuration_is_needed(capsys: pytest.CaptureFixture[str]) -> None:
    assert call(["serve"]) == 2
    assert capsys.readouterr().err == "jobgate: serve needs a configuration: add --config FILE\n"


@pytest.mark.parametrize("control", ["127.0.0.1:0", ""], ids=["tcp", "none"])
def test_take_over_without_a_path_is_refused(
    control: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = tmp_path / "jobgate.toml"
    job = '[[job]]\nid = "a"\nnetwork = "http"\nlisten = "127.0.0.1:0"\ndomains = ["a.example"]\n'
    config.write_text(f'[listen]\ncontrol = "{control}"\ncontrol_token_file = "/token"\n{job}')
    assert call(["serve", "--take-over", "--config", str(config)]) == 2
    assert capsys.readouterr().err.startswith("jobgate: --take-over: ")
