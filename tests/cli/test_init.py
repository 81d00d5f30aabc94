from __future__ import annotations

import click
import pytest
from click.testing import CliRunner

from jobgate import __version__
from jobgate.cli import COMMANDS, call, cli


def subcommands() -> list[tuple[str, str]]:
    """Every command below another one."""
    context = click.Context(cli)
    groups = ((name, cli.get_command(context, name)) for name in COMMANDS)
    return [(name, sub) for name, group in groups if isinstance(group, click.Group) for sub in group.commands]


def test_version_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    assert call(["--version"]) == 0
    assert capsys.readouterr().out == f"jobgate {__version__}\n"


def test_no_arguments_show_the_commands(capsys: pytest.CaptureFixture[str]) -> None:
    assert call([]) == 0
    shown = capsys.readouterr().out
    assert all(name in shown for name in COMMANDS)


@pytest.mark.parametrize("name", sorted({name for name, _ in subcommands()}))
def test_group_without_a_command_shows_its_help_as_it_is(
    name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    call([name])
    shown = "".join(capsys.readouterr())
    assert shown.startswith(f"Usage: jobgate {name} ")
    assert "jobgate: " not in shown


@pytest.mark.parametrize("name", list(COMMANDS))
def test_help_of_every_command_has_an_example(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert call([name, "--help"]) == 0
    assert f"Example: jobgate {name}" in capsys.readouterr().out.replace('eval "$(', "")


@pytest.mark.parametrize("words", subcommands(), ids=" ".join)
def test_help_of_every_subcommand_has_an_example(
    words: tuple[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert call([*words, "--help"]) == 0
    example = capsys.readouterr().out.partition("Example: ")[2]
    assert f"jobgate {' '.join(words)}" in " ".join(example.split())


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["nope"], "jobgate: No such command 'nope'."),
        (["check"], "jobgate: Missing argument 'URL...'."),
        (["check", "--nope", "x"], "jobgate: No such option '--nope'."),
        (
            ["serve", "--config", "/nonexistent.toml"],
            "jobgate: /nonexistent.toml: cannot be read: No such file or directory",
        ),
    ],
    ids=["command", "argument", "option", "file"],
)
def test_usage_error_is_one_line_and_exit_2(
    args: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert call(args) == 2
    captured = capsys.readouterr()
    assert (captured.out, captured.err.splitlines()) == ("", [message])


def test_list_of_commands_loads_none_of_them(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(name: str) -> object:
        raise AssertionError(name)

    monkeypatch.setattr("jobgate.cli.load", refuse)
    assert CliRunner().invoke(cli, ["--help"]).exit_code == 0


def test_option_is_read_from_the_environment(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("JOBGATE_DOMAIN", ".example.com, example.net\n192.0.2.7:8443")
    monkeypatch.setenv("JOBGATE_DENY", "bad.example.com")
    urls = ["https://www.example.com/", "https://example.net/", "https://bad.example.com/"]
    assert call(["check", *urls]) == 1
    words = [line.split()[0] for line in capsys.readouterr().out.splitlines()]
    assert words == ["allow", "allow", "deny"]
