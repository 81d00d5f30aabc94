from __future__ import annotations

from pathlib import Path

import pytest

from jobgate.cli import call
from jobgate.cli.reload import lines_of
from jobgate.client.values import Reload
from support.serve import serve

NODE = """
[listen]
control = "{folder}/control.sock"
"""
JOB = """
[[job]]
id = "{id}"
network = "http"
listen = "127.0.0.1:0"
domains = [{domains}]
"""


def write(folder: Path, *jobs: tuple[str, str]) -> Path:
    path = folder / "jobgate.toml"
    text = "".join(JOB.format(id=id, domains=domains) for id, domains in jobs)
    path.write_text(NODE.format(folder=folder) + text)
    return path


def test_change_is_printed_and_a_wrong_file_changes_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    reload = ["reload", "--control", f"{tmp_path}/control.sock"]
    with serve(write(tmp_path, ("a", '"a.test"'))):
        assert call(reload) == 0
        assert capsys.readouterr() == ("no job has changed\n", "")
        write(tmp_path, ("a", '".a.test"'), ("b", '"b.test"'))
        assert call(reload) == 0
        assert capsys.readouterr().out == (
            'added b\nchanged a\nweaker: job a: domains: ".a.test" may be reached\n'
        )
        write(tmp_path, ("a", '"*.a.test"'), ("b", ""))
        assert call(reload) == 2
        first, second = capsys.readouterr().err.splitlines()
        assert first.startswith(f"jobgate: {tmp_path}/jobgate.toml: job[0].domains[0]: ")
        assert second.startswith(f"jobgate: {tmp_path}/jobgate.toml: job[1].domains: ")


def test_gateway_that_is_not_there_is_a_failure(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert call(["reload", "--control", f"{tmp_path}/control.sock"]) == 1
    assert str(tmp_path) in capsys.readouterr().err


def test_every_part_of_a_report_has_its_line() -> None:
    report = Reload(("a",), ("b",), ("c",), ("d",), ("node.mode: …",), ("listen.control",))
    assert list(lines_of(report)) == [
        "added a",
        "changed b",
        "removed c",
        "refused d: the node accepts it no more",
        "weaker: node.mode: …",
        "needs a restart: listen.control",
    ]
