from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path
from urllib.parse import unquote, urlsplit

import click
import pytest

from jobgate.cli import call
from jobgate.cli.env import address_for_job, as_docker, as_dotenv, as_shell
from jobgate.config.settings import JobSettings
from support.control_thread import TOKEN, control_thread

FILE = """
[node]
networks = ["http", "full"]
no_proxy = ["10.0.0.0/8"]

[listen]
proxy = ["unix:/run/proxy.sock", "0.0.0.0:3128", "172.30.0.1:3128"]

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
id = "known"
network = "http"
domains = [".example.com"]
token = "p@ss:w/rd%"

[[job]]
id = "near"
network = "http"
domains = [".example.com"]
clients = ["172.30.1.0/24"]

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


def test_token_is_in_the_address_as_a_url_has_it(config: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert call(["env", "known", "--config", config, "--format", "json"]) == 0
    variables = json.loads(capsys.readouterr().out)
    assert variables["https_proxy"] == "http://known:p%40ss%3Aw%2Frd%25@172.30.0.1:3128"
    parts = urlsplit(variables["https_proxy"])
    assert (parts.username, unquote(parts.password or ""), parts.port) == ("known", "p@ss:w/rd%", 3128)
    assert "known" not in variables["JAVA_TOOL_OPTIONS"]


def test_job_known_by_its_source_finds_the_shared_listener(
    config: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert call(["env", "near", "--config", config, "--format", "docker"]) == 0
    assert "https_proxy=http://172.30.0.1:3128\n" in capsys.readouterr().out


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
        (["nope"], 'no job "nope" in the configuration; it has: train, known, near, free'),
        (["free"], 'job "free" has network "full": no variables'),
        (["train", "--address", "gate"], '--address: "gate": write HOST:PORT'),
    ],
    ids=["unknown", "full", "address"],
)
def test_usage_error(args: list[str], message: str, config: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert call(["env", *args, "--config", config]) == 2
    assert message in capsys.readouterr().err


def test_without_a_configuration_the_gateway_is_asked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "token").write_text(TOKEN)
    monkeypatch.setenv("JAVA_TOOL_OPTIONS", "-Xmx1g")
    with control_thread(tmp_path) as base:
        gateway = ["--control", base.removeprefix("http://"), "--control-token-file", str(tmp_path / "token")]
        assert call(["env", "filed", "--format", "json", *gateway]) == 0
        variables = json.loads(capsys.readouterr().out)
        assert variables["https_proxy"].startswith("http://127.0.0.1:")
        assert call(["env", "filed", *gateway]) == 0
        assert "JAVA_TOOL_OPTIONS='-Xmx1g -Dhttp.proxyHost=" in capsys.readouterr().out
        assert call(["env", "nope", *gateway]) == 1
        assert capsys.readouterr().err == 'jobgate: No job "nope".\n'


def test_gateway_is_asked_for_a_job_that_the_configuration_of_the_environment_does_not_have(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "token").write_text(TOKEN)
    file = tmp_path / "jobgate.toml"
    monkeypatch.setenv("JOBGATE_CONFIG", str(file))
    with control_thread(tmp_path) as base:
        listen = {"control": base.removeprefix("http://"), "control_token_file": f"{tmp_path}/token"}
        file.write_text("[listen]\n" + "".join(f'{key} = "{value}"\n' for key, value in listen.items()))
        assert call(["env", "filed", "--format", "docker"]) == 0
        assert "\nhttps_proxy=http://127.0.0.1:" in capsys.readouterr().out
        assert call(["env", "filed", "--config", str(file)]) == 2
        assert 'no job "filed" in the configuration' in capsys.readouterr().err


def test_token_that_the_gateway_does_not_know_is_asked_for(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "token").write_text(TOKEN)
    with control_thread(tmp_path) as base:
        gateway = ["--control", base.removeprefix("http://"), "--control-token-file", str(tmp_path / "token")]
        assert call(["jobs", "set", "a", "--token", *gateway]) == 0
        token = capsys.readouterr().out.split()[-1]
        assert call(["env", "a", *gateway]) == 2
        assert 'hash of the token of "a": add --token TOKEN' in capsys.readouterr().err
        assert call(["env", "a", "--format", "docker", "--token", token, *gateway]) == 0
        assert f"\nhttps_proxy=http://a:{token}@127.0.0.1:" in capsys.readouterr().out


def test_gateway_that_is_not_there_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert call(["env", "train", "--control", str(tmp_path / "c.sock")]) == 1
    assert "c.sock: No such file or directory" in capsys.readouterr().err
