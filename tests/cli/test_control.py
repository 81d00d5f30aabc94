from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from jobgate.cli.control import ask, configured
from jobgate.client import Client
from support.control_thread import TOKEN, control_thread


@pytest.fixture(scope="module")
def control(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with control_thread(tmp_path_factory.mktemp("api")) as base:
        yield base.removeprefix("http://")


def token_file(folder: Path, text: str = TOKEN) -> str:
    path = folder / "token"
    path.write_text(f"{text}\n")
    return str(path)


async def first_job(gateway: Client) -> str:
    return (await gateway.page(limit=1)).jobs[0].id


async def bad_job(gateway: Client) -> None:
    await gateway.put_job("b", {"network": "http", "tls": "maybe", "typo": 1})


async def bad_suffix(gateway: Client) -> None:
    await gateway.learned("a", suffixes=["*"])


def test_question_is_asked_with_the_token(control: str, tmp_path: Path) -> None:
    assert ask(control, token_file(tmp_path), first_job) == "a"


@pytest.mark.parametrize("token", [None, "another-token-altogether"], ids=["missing", "wrong"])
def test_gateway_that_says_no_is_a_failure(token: str | None, control: str, tmp_path: Path) -> None:
    file = None if token is None else token_file(tmp_path, token)
    with pytest.raises(click.ClickException, match="token") as caught:
        ask(control, file, first_job)
    assert caught.value.exit_code == 1


def test_problems_of_a_document_are_errors_of_usage_one_a_line(control: str, tmp_path: Path) -> None:
    with pytest.raises(click.UsageError) as caught:
        ask(control, token_file(tmp_path), bad_job)
    assert [line.partition(":")[0] for line in caught.value.message.splitlines()] == [
        "tls",
        "typo",
        "domains",
        "listen",
    ]


def test_request_that_is_wrong_is_an_error_of_usage(control: str, tmp_path: Path) -> None:
    with pytest.raises(click.UsageError, match="The parameter suffix is wrong"):
        ask(control, token_file(tmp_path), bad_suffix)


def test_nobody_there_is_a_failure(tmp_path: Path) -> None:
    with pytest.raises(
        click.ClickException, match=r"c\.sock: No such file or directory: is the gateway running"
    ):
        ask(str(tmp_path / "c.sock"), None, first_job)


def test_token_file_that_cannot_be_read_is_an_error_of_usage(tmp_path: Path) -> None:
    with pytest.raises(click.UsageError, match=r"--control-token-file: .*gone: cannot be read: No such file"):
        ask("/x", str(tmp_path / "gone"), first_job)
    (tmp_path / "bytes").write_bytes(b"\xff")
    with pytest.raises(click.UsageError, match="cannot be read: not ASCII"):
        ask("/x", str(tmp_path / "bytes"), first_job)


@pytest.mark.parametrize(
    ("text", "control", "token"),
    [
        ('[listen]\ncontrol = "/run/gate/c.sock"\n', "/run/gate/c.sock", None),
        ('[listen]\ncontrol = "127.0.0.1:1"\ncontrol_token_file = "/t"\n', "127.0.0.1:1", "/t"),
        ('[listen]\ncontrol = ""\n', None, None),
        ("[node]\n", None, None),
        ("listen = 3\n", None, None),
        ("[listen\n", None, None),
        (None, None, None),
    ],
    ids=["socket", "tcp", "switched-off", "unsaid", "no-table", "broken", "no-file"],
)
def test_gateway_is_where_the_configuration_of_the_environment_says(
    text: str | None, control: str | None, token: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "jobgate.toml"
    if text is not None:
        file.write_text(text)
    monkeypatch.setenv("JOBGATE_CONFIG", str(file))
    assert (configured("control"), configured("control_token_file")) == (control, token)
