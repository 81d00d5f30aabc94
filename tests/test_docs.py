"""What the documents name is there: tests, files, links."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PAGES = sorted(
    [*ROOT.glob("*.md"), *ROOT.glob("docs/*.md"), *ROOT.glob("deploy/*.md"), *ROOT.glob("benchmarks/*.md")]
)

MODULES = sorted((ROOT / "tests").rglob("test_*.py"))
TESTS = {path.stem for path in MODULES} | {
    name for path in MODULES for name in re.findall(r"def (test_[a-z0-9_]+)", path.read_text())
}


def named_tests(text: str) -> set[str]:
    """Tests, or modules of tests, that a text names in code marks."""
    return set(re.findall(r"`(test_[a-z0-9_]+)`", text))


def links_of(text: str) -> set[str]:
    """Relative targets of the links of a text, without their anchors."""
    return set(re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", text))


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_test_that_a_page_names_exists(page: Path) -> None:
    assert named_tests(page.read_text()) - TESTS == set()


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_link_and_test_file_of_a_page_exists(page: Path) -> None:
    text = page.read_text()
    files = {page.parent / link for link in links_of(text)}
    files |= {ROOT / path for path in re.findall(r"`(tests/[a-z0-9_/]+\.py)`", text)}
    assert sorted(str(path) for path in files if not path.exists()) == []


def test_threat_model_names_tests() -> None:
    assert len(named_tests((ROOT / "docs/threat-model.md").read_text())) > 30


def test_missing_test_is_found() -> None:
    assert named_tests("shown by `test_that_nobody_wrote`") - TESTS == {"test_that_nobody_wrote"}
