from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import click
import pytest

from jobgate.cli import call
from jobgate.cli.jobs import labels_of, settings_of
from support.control_thread import TOKEN, control_thread

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture(scope="module")
def api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with control_thread(tmp_path_factory.mktemp("api")) as base:
        yield base.removeprefix("http://")


@pytest.fixture
def run(api: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """Run ``jobgate jobs …`` against the gateway; gives exit code, output and errors."""
    (tmp_path / "token").write_text(TOKEN)
    monkeypatch.setenv("JOBGATE_CONTROL", api)
    monkeypatch.setenv("JOBGATE_CONTROL_TOKEN_FILE", str(tmp_path / "token"))

    def run(*args: str) -> tuple[int, str, str]:
        code = call(["jobs", *args])
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return run


def added(run: Run, job_id: str, *args: str) -> dict[str, object]:
    code, out, err = run("add", job_id, "--domain", "a.test", "--json", *args)
    assert (code, err) == (0, "")
    job: dict[str, object] = json.loads(out)
    return job


def settings(job: dict[str, object]) -> dict[str, object]:
    found = job["settings"]
    assert isinstance(found, dict)
    return found


# --- options --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given", "document"),
    [
        ({"domains": ("a.test",), "deny": ()}, {"domains": ["a.test"], "network": "http"}),
        ({"domains": ("a.test",), "network": "full"}, {"domains": ["a.test"], "network": "full"}),
        ({"rate": "1MB", "rate_up": "2MB", "rate_down": None}, {"rate_up": "2MB", "rate_down": "1MB"}),
        ({"max_bytes_up": 0, "token": False}, {"max_bytes_up": 0}),
        ({"token": True, "labels": ("a=b=c", "d=")}, {"token": True, "labels": {"a": "b=c", "d": ""}}),
        ({"expires": "", "mode": None}, {"expires": ""}),
    ],
    ids=["http-is-implied", "network", "rates", "zero-counts", "labels", "empty-counts"],
)
def test_settings_are_what_was_said(given: dict[str, object], document: dict[str, object]) -> None:
    assert settings_of(given) == document


@pytest.mark.parametrize("label", ["x", "=x", ""])
def test_label_has_key_and_value(label: str) -> None:
    with pytest.raises(click.UsageError, match="write KEY=VALUE"):
        labels_of((label,))


# --- commands -------------------------------------------------------------------------


def test_add_says_where_the_job_listens(run: Run) -> None:
    code, out, err = run("add", "plain", "--domain", "a.test")
    assert (code, err) == (0, "")
    assert out.startswith("plain listens on 127.0.0.1:")


def test_add_takes_every_setting(run: Run) -> None:
    options = ["--deny", "b.test", "--rate", "1MB", "--rate-up", "2MB", "--tls", "any", "--mode", "report"]
    options += ["--listen", "127.0.0.1:0", "--client", "10.0.0.0/8", "--expires", "2999-01-01T00:00:00Z"]
    options += ["--label", "team=vision", "--max-bytes-up", "5", "--max-bytes-down", "6"]
    found = settings(added(run, "full", *options))
    expected = {
        "domains": ["a.test"],
        "deny": ["b.test"],
        "rate_up": 2_000_000,
        "rate_down": 1_000_000,
        "tls": "any",
        "mode": "report",
        "clients": ["10.0.0.0/8"],
        "expires": "2999-01-01T00:00:00Z",
        "labels": {"team": "vision"},
        "max_bytes_up": 5,
        "max_bytes_down": 6,
    }
    assert {key: found[key] for key in expected} == expected


def test_add_prints_the_token_it_had_made(run: Run) -> None:
    code, out, _ = run("add", "tokened", "--domain", "a.test", "--token", "--listen", "127.0.0.1:0")
    assert code == 0
    where, token = out.splitlines()
    assert where.startswith("tokened listens on ")
    assert len(token.removeprefix("token ")) == 43
    assert "token" not in json.loads(run("show", "tokened", "--json")[1])


def test_add_does_not_replace(run: Run) -> None:
    added(run, "twice")
    code, out, err = run("add", "twice", "--domain", "b.test")
    assert (code, out) == (1, "")
    assert err == 'jobgate: There is a job "twice" already: take another id, or change that job.\n'


def test_add_tells_all_problems(run: Run) -> None:
    code, out, err = run("add", "bad", "--domain", "*.test", "--rate", "fast", "--expires", "soon")
    assert (code, out) == (2, "")
    keys = sorted(line.split(": ")[1] for line in err.splitlines())
    assert keys == ["domains[0]", "expires", "rate_down", "rate_up"]


def test_set_changes_only_what_was_said(run: Run) -> None:
    added(run, "changing", "--label", "a=1", "--rate", "1MB")
    code, out, _ = run("set", "changing", "--rate-up", "unlimited", "--label", "b=2", "--json")
    assert code == 0
    found = settings(json.loads(out))
    assert (found["rate_up"], found["rate_down"]) == ("unlimited", 1_000_000)
    assert (found["labels"], found["domains"]) == ({"a": "1", "b": "2"}, ["a.test"])


def test_list_is_a_table_or_lines_of_json(run: Run) -> None:
    added(run, "listed", "--label", "list=me", "--label", "also=this")
    code, out, _ = run("list", "--label", "list=me")
    assert code == 0
    head, row = out.splitlines()
    assert head.split() == ["ID", "STATE", "FROM", "LISTEN", "UP", "DOWN", "OPEN", "REFUSED", "LABELS"]
    assert head.index("STATE") == row.index("active")
    assert row.split()[:3] == ["listed", "active", "api"]
    assert row.endswith(" list=me,also=this")
    (line,) = run("list", "--label", "list=me", "--json")[1].splitlines()
    assert json.loads(line)["id"] == "listed"
    assert "filed" in run("list")[1]
    assert len(run("list", "--label", "no=body")[1].splitlines()) == 1


def test_show_says_what_is_known(run: Run) -> None:
    added(run, "shown", "--label", "a=b")
    code, out, _ = run("show", "shown")
    lines = dict(line.split(maxsplit=1) for line in out.splitlines())
    assert code == 0
    assert (lines["domains"], lines["labels"], lines["state"]) == ('["a.test"]', '{"a": "b"}', "active")
    assert lines["requests"] == "0, 0 refused; 0 connections open"
    assert "deny" not in lines


def test_remove_removes_each(run: Run) -> None:
    for job_id in ("one", "two"):
        added(run, job_id)
    assert run("remove", "one", "two") == (0, "", "")
    assert run("remove", "one") == (1, "", 'jobgate: No job "one".\n')


def test_job_of_the_file_is_changed_there(run: Run) -> None:
    code, _, err = run("set", "filed", "--tls", "any")
    assert code == 1
    assert err == 'jobgate: Job "filed" is in the configuration file: change it there and reload.\n'


def test_address_and_token_of_the_environment_are_not_a_jobs(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = added(run, "elsewhere")
    monkeypatch.setenv("JOBGATE_LISTEN", "0.0.0.0:3128")
    monkeypatch.setenv("JOBGATE_TOKEN", "of-another-job")
    code, out, err = run("set", "elsewhere", "--rate", "1MB", "--json")
    assert (code, err) == (0, "")
    after = json.loads(out)
    assert (settings(after)["listen"], after["has_token"]) == (settings(before)["listen"], False)


def test_options_come_from_the_environment(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("JOBGATE_DOMAIN", "x.test,y.test")
    monkeypatch.setenv("JOBGATE_RATE_UP", "3MB")
    code, out, _ = run("add", "environment", "--json")
    assert code == 0
    found = settings(json.loads(out))
    assert (found["domains"], found["rate_up"]) == (["x.test", "y.test"], 3_000_000)


@pytest.mark.parametrize("name", ["add", "set", "list", "show", "remove"])
def test_help_has_an_example(name: str, run: Run) -> None:
    code, out, _ = run(name, "--help")
    assert code == 0
    assert f"Example: jobgate jobs {name} " in out
