from __future__ import annotations

from jobgate.config.endpoints import UnixPath
from jobgate.config.gateway import ListenSettings, StateSettings, UpstreamSettings
from jobgate.config.upstream import DIRECT_NOTHING, UpstreamProxy


def test_defaults() -> None:
    assert ListenSettings() == ListenSettings(UnixPath("/run/jobgate/control.sock"), None, (), "", 0o600)
    assert StateSettings() == StateSettings("")
    assert UpstreamSettings() == UpstreamSettings(None, DIRECT_NOTHING)


def test_settings_show_no_credentials() -> None:
    settings = UpstreamSettings(UpstreamProxy.parse("http://user:s3cret@corp:3128"))
    assert "corp" in repr(settings)
    assert "Basic" not in repr(settings)
