"""Fixtures of every test: both event loops."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable

import hypothesis
import pytest
import uvloop

# What nohup ignores, or a shell for what is in the background, all programs of the tests would inherit.
signal.signal(signal.SIGHUP, signal.SIG_DFL)
signal.signal(signal.SIGQUIT, signal.SIG_DFL)
signal.signal(signal.SIGINT, signal.default_int_handler)

# Times are judged by benchmarks: a busy machine is no failure.
hypothesis.settings.register_profile("jobgate", deadline=None)
hypothesis.settings.load_profile("jobgate")


def pytest_asyncio_loop_factories(
    config: pytest.Config, item: pytest.Item
) -> dict[str, Callable[[], asyncio.AbstractEventLoop]]:
    """Run each asynchronous test on the standard loop and on uvloop."""
    return {"asyncio": asyncio.new_event_loop, "uvloop": uvloop.new_event_loop}
