"""Chromium for tests of the dashboard."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

#: Says aloud what the page's policy stopped.
_REPORT_VIOLATIONS = """document.addEventListener("securitypolicyviolation", (event) =>
    console.error(`violation: ${event.violatedDirective} ${event.blockedURI}`))"""


def chromium_path() -> str | None:
    """Where the browser is: as ``JOBGATE_TEST_CHROMIUM`` says, else on the path."""
    found = os.environ.get("JOBGATE_TEST_CHROMIUM") or "chromium"
    return shutil.which(found) or shutil.which("chromium-browser") or shutil.which("google-chrome")


@contextmanager
def browser() -> Iterator[Browser]:
    """Run Chromium without a window; skip where there is none, or nothing to drive it."""
    sync_api = pytest.importorskip("playwright.sync_api", reason="needs the extra `browser`")
    path = chromium_path()
    if path is None:
        pytest.skip("needs Chromium")
    arguments = ["--no-sandbox"] if os.geteuid() == 0 else []
    with sync_api.sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=path, args=arguments)
        try:
            yield chromium
        finally:
            chromium.close()


class Complaints:
    """What a page said that it should not: errors, warnings, violations of its policy."""

    def __init__(self, page: Page) -> None:
        self.texts: list[str] = []
        page.add_init_script(_REPORT_VIOLATIONS)
        page.on("pageerror", lambda error: self.texts.append(str(error)))
        page.on(
            "console",
            lambda message: self.texts.append(message.text) if message.type in ("error", "warning") else None,
        )
