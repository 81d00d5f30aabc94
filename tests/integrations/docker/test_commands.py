from __future__ import annotations

from pathlib import Path

import pytest

from jobgate.integrations.docker.commands import (
    Run,
    is_podman,
    java_options,
    start_holder,
    start_job,
    without_variables,
)
from jobgate.integrations.docker.options import parse

RUN = Run("/bin/docker", "0a1b", "boot/1/2/3")
LINE = parse(["-it", "--rm", "--hostname", "box", "-e", "A=1", "alpine", "ls", "-l"])


def holder_command(run: Run = RUN) -> list[str]:
    return start_holder(run, "jobgate", Path("/x"), LINE, "code", "127.0.0.1", 3128)


def test_holder_has_no_network_no_right_and_the_names_of_the_job() -> None:
    command = holder_command()
    wanted = {"--network=none", "--cap-drop=ALL", "--read-only", "--pull=never", "--hostname=box", "--rm"}
    assert wanted <= set(command)
    image = command.index("jobgate")
    assert command[image:] == [
        "jobgate",
        *("-I", "-S", "-c", "code", "/jobgate/control", "127.0.0.1", "3128"),
    ]


def test_job_joins_the_network_of_the_holder_after_all_that_the_user_says() -> None:
    command = start_job(RUN, LINE, variables={"http_proxy": "x"}, env_file=Path("/x.env"))
    image = command.index("alpine")
    assert command[image:] == ["alpine", "ls", "-l"]
    assert command[image - 1] == "--network=container:jobgate-0a1b"
    assert "--cap-drop=NET_RAW" in command[:image]
    assert {"--env-file=/x.env", "--env=http_proxy=x"} <= set(command[:image])
    assert "--hostname=box" not in command


def test_job_is_removed_whether_the_user_asks_for_it_or_not() -> None:
    assert start_job(RUN, parse(["alpine"])).count("--rm") == 1
    command = start_job(RUN, parse(["--rm=false", "alpine"]))
    assert command.index("--rm") > command.index("--rm=false")


@pytest.mark.parametrize("command", [holder_command(), start_job(RUN, LINE)], ids=["holder", "job"])
def test_every_container_is_marked_with_its_run_and_its_launcher(command: list[str]) -> None:
    assert {"--label=jobgate.run=0a1b", "--label=jobgate.launcher=boot/1/2/3"} <= set(command)


def test_profile_holds_for_both_containers() -> None:
    run = Run("docker", "0a1b", "boot/1/2/3", Path("/x.json"))
    for command in (holder_command(run), start_job(run, LINE)):
        assert "--security-opt=seccomp=/x.json" in command


def test_variables_of_the_user_give_way_to_ours() -> None:
    line = parse(
        ["-e", "http_proxy=evil", "-e", "no_proxy", "-e", "OTHER=1", "--env=http_proxyx=1", "alpine"]
    )
    kept = without_variables(line, {"http_proxy", "no_proxy"})
    assert [option.value for option in kept.options] == ["OTHER=1", "http_proxyx=1"]


@pytest.mark.parametrize(
    ("words", "value"),
    [
        ("alpine", ""),
        ("-e JAVA_TOOL_OPTIONS=-Xmx1g alpine", "-Xmx1g"),
        ("-e JAVA_TOOL_OPTIONS=-Xmx1g -e JAVA_TOOL_OPTIONS=-Xmx2g alpine", "-Xmx2g"),
        ("-e JAVA_TOOL_OPTIONS alpine", "-inherited"),
    ],
)
def test_java_options_of_the_user_are_found(words: str, value: str) -> None:
    assert java_options(parse(words.split(" ")), {"JAVA_TOOL_OPTIONS": "-inherited"}) == value


@pytest.mark.parametrize(
    ("engine", "podman"), [("docker", False), ("/usr/bin/podman", True), ("podman-remote", True)]
)
def test_podman_is_known_by_its_name(engine: str, podman: bool) -> None:
    assert is_podman(engine) == podman
    assert ("--hostname=box" in start_job(Run(engine, "1", "o"), LINE)) == podman
    assert ("--hostname=box" in holder_command(Run(engine, "1", "o"))) != podman
    assert ("--http-proxy=false" in start_job(Run(engine, "1", "o"), LINE)) == podman
