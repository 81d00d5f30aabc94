from __future__ import annotations

import shutil
import sys
from pathlib import Path

import pytest

from jobgate.cli import call
from jobgate.config.host import Name
from jobgate.config.load import load_text
from jobgate.config.rules import RuleSet

DATA = Path(__file__).parents[1] / "data"
GOLEM = DATA / "golem"
BACALHAU = DATA / "bacalhau" / "http-domain-allowlist.txt"


def allowed(toml: str) -> RuleSet:
    allow = load_text(toml).node.allow
    assert allow is not None
    return allow


@pytest.mark.parametrize(
    "paths",
    [
        [GOLEM],
        [GOLEM / "strict.lst", GOLEM / "regex.lst"],
        [GOLEM / "domain_whitelist.json"],
    ],
    ids=["folder", "lists", "json"],
)
def test_golem_list_is_loaded_as_it_was_printed(
    paths: list[Path], capsys: pytest.CaptureFixture[str]
) -> None:
    """M7, M9, M10."""
    assert call(["import", "golem", *map(str, paths)]) == 0
    printed = capsys.readouterr()
    rules = allowed(printed.out)
    assert (len(rules.rules), len(rules.patterns)) == (25, 2)
    for host in ("github.com", "a.b.dev.golem.network", "dev.golem.network", "bor12.golem.network"):
        assert rules.match(Name(host), 443) is not None, host
    assert "27 entries taken, 2 of them as regular expressions; 0 refused" in printed.err
    assert all(line.startswith("jobgate import: ") for line in printed.err.splitlines())


def test_folder_of_a_bundle_is_looked_into(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shutil.copytree(GOLEM, tmp_path / "whitelist", ignore=shutil.ignore_patterns("*.json"))
    assert call(["import", "golem", str(tmp_path)]) == 0
    assert len(allowed(capsys.readouterr().out)) == 27


def test_no_regex_leaves_out_what_no_rule_can_say(capsys: pytest.CaptureFixture[str]) -> None:
    """M9 by leading dots alone: and a gate that has not got google-re2 can load it."""
    assert call(["import", "golem", "--no-regex", str(GOLEM)]) == 1
    printed = capsys.readouterr()
    assert allowed(printed.out).patterns == ()
    assert printed.err.count("refused: ") == 4  # the folder has both in two forms


def test_option_may_be_in_the_environment(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("JOBGATE_REGEX", "no")
    assert call(["import", "golem", str(GOLEM / "regex.lst")]) == 1
    assert allowed(capsys.readouterr().out).patterns == ()


def test_refused_entries_are_shown_with_the_safe_spelling(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "regex.lst").write_text("domain.com\n^.*\\.ok\\.com$\n")
    assert call(["import", "golem", str(tmp_path)]) == 1
    printed = capsys.readouterr()
    assert allowed(printed.out).entries() == [".ok.com"]
    assert """    # refused: regex.lst:1 'domain.com': no '$' at the end""" in printed.out
    assert 'write "domain.com" or ".domain.com"' in printed.err


def test_bacalhau_list_is_loaded_as_it_was_printed(capsys: pytest.CaptureFixture[str]) -> None:
    assert call(["import", "bacalhau", str(BACALHAU)]) == 0
    printed = capsys.readouterr()
    rules = allowed(printed.out)
    assert len(rules) == 27
    assert rules.match(Name("x.aei.uni-hannover.de"), 443) is not None
    assert "# By jobgate import bacalhau, from http-domain-allowlist.txt" in printed.out


def test_several_bacalhau_lists_are_one(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "a").write_text("a.com\n*.b.com\n")
    (tmp_path / "b").write_text("A.com\nc.com\n")
    assert call(["import", "bacalhau", str(tmp_path / "a"), str(tmp_path / "b")]) == 1
    assert allowed(capsys.readouterr().out).entries() == ["a.com", "c.com"]


@pytest.mark.parametrize(
    ("system", "name", "content", "words"),
    [
        ("golem", "domains.lst", b"a.com", "ends in strict or regex"),
        ("golem", "strict.lst", b"\xff", "not UTF-8 at byte 0"),
        ("golem", "domain_whitelist.json", b"{", "domain_whitelist.json: not JSON"),
        ("golem", "domain_whitelist.json", b"{}", "no whitelist"),
        ("bacalhau", "list", b"\xff", "not UTF-8 at byte 0"),
    ],
)
def test_file_that_cannot_be_used_is_an_error(
    system: str, name: str, content: bytes, words: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / name).write_bytes(content)
    assert call(["import", system, str(tmp_path / name)]) == 2
    printed = capsys.readouterr()
    assert words in printed.err
    assert printed.out == ""


def test_path_that_is_none_is_an_error(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for system in ("golem", "bacalhau"):
        assert call(["import", system, str(tmp_path / "absent")]) == 2
        assert call(["import", system, str(tmp_path)]) == 2
    errors = capsys.readouterr().err
    assert "has neither strict.lst, regex.lst nor domain_whitelist.json" in errors
    assert "a folder: name the list itself" in errors


def test_list_with_expressions_needs_the_engine_to_be_imported(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "re2", None)
    assert call(["import", "golem", str(GOLEM / "regex.lst")]) == 1
    assert "install jobgate[golem]" in capsys.readouterr().err


@pytest.mark.parametrize(("system", "name"), [("golem", "strict.lst"), ("bacalhau", "list")])
def test_file_of_before_stays_where_a_list_cannot_be_read(
    system: str, name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A shell's ``>`` empties it, and a node without a list lets each job have its own."""
    source, output = tmp_path / name, tmp_path / "jobgate.toml"
    source.write_text("a.com\n*.b.com\n")
    assert call(["import", system, str(source), "--output", str(output)]) == 1
    assert allowed(output.read_text()).entries() == ["a.com"]
    source.write_bytes(b"\xff")
    assert call(["import", system, str(source), "--output", str(output)]) == 2
    assert allowed(output.read_text()).entries() == ["a.com"]
    assert capsys.readouterr().out == ""
    assert sorted(tmp_path.iterdir()) == sorted([source, output])


def test_file_that_cannot_be_written_is_an_error(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for output in (tmp_path, tmp_path / "absent" / "jobgate.toml"):
        assert call(["import", "golem", str(GOLEM / "strict.lst"), "--output", str(output)]) == 2
        assert str(output) in capsys.readouterr().err
