"""deploy/systemd: units that systemd takes, as closed as docs/systemd.md says, at one with our options."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from configparser import RawConfigParser
from pathlib import Path

import pytest

from jobgate.cli import cli
from jobgate.config.load import load_text
from jobgate.config.settings import Settings
from support.docker_engine import ROOT

DEPLOY = ROOT / "deploy" / "systemd"
PAGE = (ROOT / "docs" / "systemd.md").read_text()

needs_systemd = pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="needs systemd-analyze")


def values(unit: str, key: str) -> list[str]:
    """Every value that a unit gives to a key, in order."""
    lines = (DEPLOY / unit).read_text().splitlines()
    return [line.partition("=")[2] for line in lines if line.partition("=")[0] == key]


def settings() -> Settings:
    return load_text((DEPLOY / "jobgate.toml").read_text())


def analyze(*args: str) -> subprocess.CompletedProcess[str]:
    command = ["systemd-analyze", *args]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


@needs_systemd
def test_units_are_valid(tmp_path: Path) -> None:
    """With a program that is there: the rest is as it is installed."""
    units = [tmp_path / name for name in ("jobgate.service", "jobgate@.service", "jobgate.socket")]
    for unit in units:
        text = (DEPLOY / unit.name.replace("@", "")).read_text()
        unit.write_text(text.replace("/usr/bin/jobgate", sys.executable))
    done = analyze("verify", "--man=no", *map(str, units))
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


@needs_systemd
def test_mistake_in_a_unit_is_found(tmp_path: Path) -> None:
    unit = tmp_path / "wrong.service"
    unit.write_text("[Service]\nExecStart=/bin/true\nProtectSistem=strict\n")
    assert "ProtectSistem" in analyze("verify", "--man=no", str(unit)).stderr


@needs_systemd
def test_score_is_that_of_the_page() -> None:
    """Other versions look at more, or weigh differently."""
    (said,) = re.findall(r"Overall exposure level for jobgate.service: ([0-9.]+) OK", PAGE)
    shown = analyze("security", "--offline=true", "--no-pager", str(DEPLOY / "jobgate.service")).stdout
    (found,) = re.findall(r"Overall exposure level for jobgate.service: ([0-9.]+) OK", shown)
    version = analyze("--version").stdout.split()[1]
    (of,) = re.findall(r"systemd ([0-9]+) says", PAGE)
    assert float(found) == float(said) if version == of else float(found) < 2.5


@needs_systemd
def test_user_is_made_of_its_file() -> None:
    done = subprocess.run(
        ["systemd-sysusers", "--dry-run", str(DEPLOY / "jobgate.sysusers.conf")],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert values("jobgate.service", "User") == values("jobgate.service", "Group") == ["jobgate"]
    assert (DEPLOY / "jobgate.sysusers.conf").read_text().startswith("u jobgate ")


@pytest.mark.parametrize("key", ["ExecStart", "ExecReload"])
def test_command_line_is_one_of_jobgate(key: str) -> None:
    ((program, name, *rest),) = (value.split() for value in values("jobgate.service", key))
    assert program == "/usr/bin/jobgate"
    command = cli.get_command(cli.make_context("jobgate", ["--help"], resilient_parsing=True), name)
    assert command is not None
    command.make_context(name, rest)


def test_sockets_are_listeners_of_the_configuration() -> None:
    listen = settings().listen
    wanted = [*map(str, listen.proxy), str(listen.control).removeprefix("unix:")]
    assert values("jobgate.socket", "ListenStream") == wanted
    # A socket for both families is refused, and the control API is for its owner.
    assert values("jobgate.socket", "BindIPv6Only") == ["ipv6-only"]
    assert int(values("jobgate.socket", "SocketMode")[0], 8) == listen.control_mode


def test_folders_are_those_of_the_configuration() -> None:
    (name,) = {value for key in FOLDERS for value in values("jobgate.service", key)}
    assert settings().state.path.startswith(f"/var/lib/{name}/")
    assert str(settings().listen.control).startswith(f"unix:/run/{name}/")
    modes = {f"{where}/{name}": values("jobgate.service", f"{key}Mode") for key, where in FOLDERS.items()}
    assert modes.pop(f"/var/lib/{name}") == ["0700"]  # made by the service alone: see its comment
    lines = [line.split() for line in (DEPLOY / "jobgate.tmpfiles.conf").read_text().splitlines()]
    assert modes == {line[1]: [line[2]] for line in lines if line[0] == "d"}


FOLDERS = {
    "ConfigurationDirectory": "/etc",
    "RuntimeDirectory": "/run",
    "StateDirectory": "/var/lib",
}


def test_stop_waits_longer_than_the_drain() -> None:
    assert int(values("jobgate.service", "TimeoutStopSec")[0]) > settings().timeouts.drain_s


def test_descriptors_suffice_for_every_connection() -> None:
    limit = int(values("jobgate.service", "LimitNOFILE")[0])
    assert (limit - 256) // 3 >= settings().limits.max_connections


def test_readiness_is_notified() -> None:
    parser = RawConfigParser(strict=False)
    parser.read(DEPLOY / "jobgate.service")
    assert parser["Service"]["Type"] == "notify"
    assert parser["Service"]["RuntimeDirectoryPreserve"] == "yes"
    assert "--take-over" in parser["Service"]["ExecStart"]
