from __future__ import annotations

import os
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from jobgate.integrations.docker.owner import Owner


@pytest.fixture(scope="module")
def here() -> Owner:
    return Owner.this_process()


def test_label_reads_back(here: Owner) -> None:
    assert Owner.parse(str(here)) == here


@pytest.mark.parametrize(
    "label", ["", "x", "a/b/c/d", "boot/1/2", "boot/1/2/3/4", "boot/1/-2/3", f"boot/1/2/{'9' * 5000}"]
)
def test_other_label_is_nobody(label: str) -> None:
    assert Owner.parse(label) is None


def test_process_that_runs_is_not_gone(here: Owner) -> None:
    assert not here.is_gone(here)


def test_process_that_ended_is_gone(here: Owner) -> None:
    child = subprocess.Popen(["true"])
    child.wait()
    assert replace(here, pid=child.pid).is_gone(here)


def test_process_of_whose_end_nobody_took_note_is_gone(here: Owner) -> None:
    with subprocess.Popen(["true"]) as child:
        os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
        start = int(Path(f"/proc/{child.pid}/stat").read_text().rpartition(")")[2].split()[19])
        assert replace(here, pid=child.pid, start_ticks=start).is_gone(here)


def test_number_that_no_process_can_have_is_gone(here: Owner) -> None:
    assert replace(here, pid=2**40).is_gone(here)


def test_other_process_of_the_same_number_is_not_the_launcher(here: Owner) -> None:
    assert replace(here, start_ticks=here.start_ticks + 1).is_gone(here)


@pytest.mark.parametrize("field", [{"boot": "other"}, {"namespace": 1}], ids=["machine", "PID namespace"])
def test_launcher_that_cannot_be_seen_is_left_alone(here: Owner, field: dict[str, object]) -> None:
    other = Owner.parse(str(replace(here, pid=2**22 + 1)))
    assert other is not None
    assert other.is_gone(here)
    assert not replace(other, **field).is_gone(here)  # type: ignore[arg-type]


def test_process_whose_start_is_hidden_is_not_gone(here: Owner, tmp_path: Path) -> None:
    assert not here.is_gone(here, proc=tmp_path)
