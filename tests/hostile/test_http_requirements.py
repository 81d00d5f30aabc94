"""Every test and every case that ``docs/http-requirements.md`` names exists."""

from __future__ import annotations

import re
from fnmatch import fnmatchcase
from pathlib import Path

import pytest

from support.cases import load

ROOT = Path(__file__).parents[2]
REQUIREMENTS = 70
ROW = re.compile(r"^\| (\d+) \| .* \| (.+) \|$", re.MULTILINE)


def rows() -> list[tuple[int, list[str]]]:
    """Return the number of each requirement and what shows it."""
    text = (ROOT / "docs" / "http-requirements.md").read_text()
    return [(int(number), shown.split(", ")) for number, shown in ROW.findall(text)]


def defined(reference: str) -> bool:
    """Say whether a module below ``tests`` defines a test."""
    module, _, test = reference.partition("::")
    paths = (ROOT / "tests").rglob(f"{module}.py")
    return any(re.search(rf"^(async )?def {test}\(", path.read_text(), re.MULTILINE) for path in paths)


def test_every_requirement_is_listed_once() -> None:
    assert [number for number, _ in rows()] == list(range(1, REQUIREMENTS + 1))


@pytest.mark.parametrize(("number", "shown"), rows(), ids=[str(number) for number, _ in rows()])
def test_everything_that_shows_it_exists(number: int, shown: list[str]) -> None:
    ids = [case.id for case in load()]
    for reference in shown:
        if reference.startswith("case "):
            assert any(fnmatchcase(id, reference.removeprefix("case ")) for id in ids), reference
        else:
            assert defined(reference), reference
