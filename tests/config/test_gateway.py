from __future__ import annotations

import pytest

from jobgate.config.conflicts import job_conflicts
from jobgate.config.endpoints import UnixPath
from jobgate.config.gateway import ListenSettings, StateSettings, UpstreamSettings
from jobgate.config.load import ConfigError, load_text
from jobgate.config.settings import JobSettings
from jobgate.config.upstream import DIRECT_NOTHING, UpstreamProxy


def test_defaults() -> None:
    assert ListenSettings() == ListenSettings(UnixPath("/run/jobgate/control.sock"), None, (), "", 0o600)
    assert StateSettings() == StateSettings("")
    assert UpstreamSettings() == UpstreamSettings(None, DIRECT_NOTHING)


def test_settings_show_no_credentials() -> None:
    settings = UpstreamSettings(UpstreamProxy.parse("http://user:s3cret@corp:3128"))
    assert "corp" in repr(settings)
    assert "Basic" not in repr(settings)


@pytest.mark.parametrize("workers", ["0", "-1", "257", "1.5", '"2"', "true"])
def test_number_of_workers_is_one_that_can_be_had(workers: str) -> None:
    with pytest.raises(ConfigError, match=r"listen\.workers"):
        load_text(f"[listen]\nworkers = {workers}\n")


def test_workers_are_as_many_as_said() -> None:
    assert load_text("[listen]\nworkers = 8\n").listen.workers == 8


def test_workers_serve_no_members() -> None:
    text = '[listen]\nworkers = {}\nproxy = ["127.0.0.1:1"]\n[[job]]\nid = "t"\nnetwork = "http"\n'
    text += 'domains = ["a.test"]\ntoken = "0123456789abcdef"\nmax_members = 2\n'
    assert load_text(text.format(1)).jobs[0].max_members == 2
    with pytest.raises(ConfigError, match=r"listen\.workers: several processes do not serve members"):
        load_text(text.format(2))


def test_job_of_the_api_has_no_members_where_there_are_workers() -> None:
    job = JobSettings("t", max_members=2)
    assert job_conflicts(job, [], ListenSettings()) == []
    (problem,) = job_conflicts(job, [], ListenSettings(workers=2))
    assert problem.path == "max_members"
