"""The one class of Ray that the plugin is made of, for environments without Ray."""

from __future__ import annotations

import sys
from types import ModuleType

import pytest

PLUGIN = "ray._private.runtime_env.plugin"


def stand_in(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let ``RuntimeEnvPlugin`` be importable, as a class of nothing."""
    monkeypatch.delitem(sys.modules, "jobgate.integrations.ray.plugin", raising=False)
    for name in ("ray", "ray._private", "ray._private.runtime_env", PLUGIN):
        monkeypatch.setitem(sys.modules, name, ModuleType(name))
    setattr(sys.modules[PLUGIN], "RuntimeEnvPlugin", type("RuntimeEnvPlugin", (), {}))  # noqa: B010
