from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

import click
import pytest

from jobgate.cli import call
from jobgate.cli.env import address_for_job, as_docker, as_dotenv, as_shell
from jobgate.config.settings import JobSettings

FILE = """
[node]
networks = ["http", "full"]
no_proxy = ["10.0.0.0/8"]

[env]
COMMON = "all"
PIP_INDEX_URL = "https://mirror.example/simple"

[[job]]
id = "train"
listen = "127.0.0.1:3128"
network = "http"
domains = [".example.com"]
[job.env]
COMMON = "it's mine"

[[job]]
id = "free"
network = "full"
"""


@pytest.fixture
def config(tmp_path: Path) -> str:
    path = tmp_path / "gate.toml"
    path.write_text(FILE)
    return str(path)


def test_variables_lead_to_the_listener(config: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert call(["env", "train", "--config", config, "--format", "json"]) == 0
    variables = json.loads(capsys.readouterr().out)
    assert variables["https_proxy"] == variables["HTTP_PROXY"] == "http://127.0.0.1:3128"
    assert variables["NO_PROXY"] == "localhost,127.0.0.1,::1,10.0.0.0/8"
    assert variables["PIP_INDEX_URL"] == "https://mirror.example/simple"
    assert variables["COMMON"] == "it's mine"


def test_address_as_the_job_sees_it_is_used(config: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert call(["env", "train", "--config", config, "--format", "docker", "--address", "gate:8080"]) == 0
    assert "https_proxy=http://gate:8080\n" in capsys.readouterr().out


def test_shell_gets_its_own_java_options_back(
    config: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("JAVA_TOOL_OPTIONS", "-Xmx1g")
    assert call(["env", "train", "--config", config]) == 0
    assert "export JAVA_TOOL_OPTIONS='-Xmx1g -Dhttp.proxyHost=127.0.0.1 " in capsys.readouterr().out
    assert call(["env", "train", "--config", config, "--format", "docker"]) == 0
    assert "-Xmx1g" not in capsys.readouterr().out


NASTY = {"NASTY": "a 'b' \"c\" $HOME `id` \\ \n;d"}


def test_shell_form_survives_a_shell() -> None:
    shell = shutil.which("sh") or "sh"
    script = f'{as_shell(NASTY)}\nprintf %s "$NASTY"'
    done = subprocess.run([shell, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout == NASTY["NASTY"]


def test_dotenv_form_is_one_line_a_variable() -> None:
    assert as_dotenv(NASTY) == r'''NASTY="a 'b' \"c\" \$HOME `id` \\ \n;d"'''


def test_docker_form_is_literal_and_refuses_newlines() -> None:
    assert as_docker({"A": 'it\'s "b" $c'}) == 'A=it\'s "b" $c'
    with pytest.raises(click.UsageError, match="more than one line"):
        as_docker(NASTY)


@pytest.mark.parametrize("listen", ["", "unix:/run/job.sock", "0.0.0.0:3128", "[::]:3128", "127.0.0.1:0"])
def test_listener_that_does_not_tell_needs_an_address(listen: str) -> None:
    job = JobSettings(id="train", listen=listen)
    with pytest.raises(click.UsageError, match="add --address HOST:PORT"):
        address_for_job(job, None)
    assert address_for_job(job, "[::1]:3128") == ("[::1]", 3128)


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["nope"], 'no job "nope" in the configuration; it has: train, free'),
        (["free"], 'job "free" has network "full": no variables'),
        (["train", "--address", "gate"], '--address: "gate": write HOST:PORT'),
    ],
    ids=["unknown", "full", "address"],
)
def test_usage_error(args: list[str], message: str, config: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert call(["env", *args, "--config", config]) == 2
    assert message in capsys.readouterr().err


def test_configuration_is_needed(capsys: pytest.CaptureFixture[str]) -> None:
    assert call(["env", "train"]) == 2
    assert "--config" in capsys.readouterr().err
