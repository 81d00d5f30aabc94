from __future__ import annotations

import click
import pytest

from jobgate.cli import call
from jobgate.cli.serve import served_jobs
from jobgate.config.policy import JobPolicy, Network
from jobgate.config.rules import RuleSet
from jobgate.config.settings import JobSettings, Settings

HTTP = JobPolicy(network=Network.HTTP, domains=RuleSet.parse([".example.com"]))


def test_only_jobs_behind_a_gate_are_served() -> None:
    jobs = (
        JobSettings(id="a", policy=HTTP, listen="127.0.0.1:3128"),
        JobSettings(id="b", policy=JobPolicy(network=Network.NONE)),
        JobSettings(id="c", policy=JobPolicy(network=Network.FULL)),
    )
    assert [job.id for job in served_jobs(Settings(jobs=jobs))] == ["a"]


@pytest.mark.parametrize(
    ("jobs", "message"),
    [
        ((), "nothing to serve"),
        ((JobSettings(id="b"),), "nothing to serve"),
        (
            (JobSettings(id="a", policy=HTTP), JobSettings(id="b", policy=HTTP)),
            "no listener for a, b: write ",
        ),
    ],
    ids=["no job", "none", "no listener"],
)
def test_configuration_that_serves_nobody_is_refused(jobs: tuple[JobSettings, ...], message: str) -> None:
    with pytest.raises(click.UsageError, match=f"^{message}"):
        served_jobs(Settings(jobs=jobs))


def test_configuration_is_needed(capsys: pytest.CaptureFixture[str]) -> None:
    assert call(["serve"]) == 2
    assert capsys.readouterr().err == "jobgate: serve needs a configuration: add --config FILE\n"
