from __future__ import annotations

import runpy

import pytest

from jobgate import __version__


def test_module_runs_the_program(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr("sys.argv", ["jobgate", "--version"])
    with pytest.raises(SystemExit) as exit_info:
        runpy.run_module("jobgate", run_name="__main__")
    assert exit_info.value.code == 0
    assert __version__ in capsys.readouterr().out
