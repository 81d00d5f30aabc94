"""The pages about admission and import: their commands, as written, print what they say."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from support.pages import Step, run_steps, steps_of

DOCS = Path(__file__).resolve().parents[2] / "docs"


@pytest.mark.parametrize("page", ["golem.md", "admit.md"])
def test_commands_of_a_page_print_what_it_says(page: str, tmp_path: Path) -> None:
    if shutil.which("openssl") is None:
        pytest.skip("openssl is not installed: it makes the auditor's certificate")
    steps = steps_of(DOCS / page)
    assert len(steps) > 5
    outputs = run_steps(steps, tmp_path)
    for step, output in zip(steps, outputs, strict=True):
        assert output == step.output, step.command


def test_steps_of_a_page_are_found(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("# T\n```console\n$ cat <<END\n> x\n> END\nx\n$ true\n```\n```toml\n$ no\n```\n")
    steps = [Step("cat <<END\nx\nEND", ["x"]), Step("true", [])]
    assert steps_of(page) == steps
    assert run_steps(steps, tmp_path) == [["x"], []]
