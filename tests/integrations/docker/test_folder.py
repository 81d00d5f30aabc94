from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from jobgate.integrations.docker.folder import private_folder, sweep_folders

KILLED = """
import os, signal
from jobgate.integrations.docker.folder import private_folder
with private_folder("0a1b") as private:
    (private / "job.env").write_text("SECRET=1")
    os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.fixture(autouse=True)
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where temporary files are."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return tmp_path


def left_behind(place: Path) -> Path:
    """Let a launcher be killed that had a folder."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "TMPDIR": str(place)}
    killed = subprocess.run([sys.executable, "-c", KILLED], env=environment, timeout=20, check=False)
    assert killed.returncode == -signal.SIGKILL
    (folder,) = place.iterdir()
    return folder


def test_folder_is_for_nobody_else(place: Path) -> None:
    with private_folder("0a1b") as private:
        assert (private.stat().st_mode & 0o777, list(place.iterdir())) == (0o700, [private])


def test_folder_of_a_killed_launcher_is_removed_with_its_files(place: Path) -> None:
    left_behind(place)
    sweep_folders()
    assert list(place.iterdir()) == []


def test_folder_of_a_launcher_that_is_there_stays(place: Path) -> None:
    with private_folder("0a1b") as private:
        sweep_folders()
        assert private.exists()


def test_folder_that_has_no_name_of_a_run_yet_stays(place: Path) -> None:
    new = Path(tempfile.mkdtemp(prefix="jobgate-"))
    sweep_folders()
    assert new.exists()


def test_folder_of_another_user_stays(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = left_behind(place)
    monkeypatch.setattr(os, "geteuid", lambda: os.getuid() + 1)
    sweep_folders()
    assert folder.exists()


def test_link_to_somewhere_else_is_not_followed(place: Path) -> None:
    files = place / "files"
    files.mkdir()
    (files / "mine").touch()
    (place / "jobgate-docker-0a1b").symlink_to(files)
    sweep_folders()
    assert (files / "mine").exists()
