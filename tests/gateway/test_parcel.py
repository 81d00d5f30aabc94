from __future__ import annotations

import pytest

from jobgate.config.host import Name
from jobgate.config.load import load_text
from jobgate.config.settings import JobSettings, Settings
from jobgate.gateway.parcel import packed, unpacked

TEXT = """
[node]
allow = [".example.com", "192.0.2.7"]
deny = ["bad.example.com"]
allow_addresses = ["127.0.0.1:8080"]
total_rate_up = "1gbit"
[listen]
proxy = ["127.0.0.1:3128", "unix:/run/x.sock"]
[dns]
servers = ["[2001:db8::1]:53"]
[dns.hosts]
"o.example.com" = ["127.0.0.1", "::1"]
[upstream]
proxy = "http://user:s3cret@corp.example:3128"
no_proxy = ["direct.example.com"]
[env]
A = "b"
[[job]]
id = "train"
network = "http"
domains = [".example.com", "bücher.example.com:8443"]
clients = ["10.0.0.0/8", "2001:db8::/64"]
token = "0123456789abcdef"
expires = "2030-01-01T00:00:00Z"
[job.env]
C = "d"
[job.labels]
team = "x"
"""


def test_settings_arrive_as_they_were() -> None:
    settings = load_text(TEXT)
    found = unpacked(packed(settings), Settings)
    assert found == settings
    assert found.jobs[0].policy.domains.match_any_port(found.jobs[0].policy.domains.rules[0].host) is not None


@pytest.mark.parametrize("text", [packed(1), 7, None], ids=["another-kind", "number", "nothing"])
def test_something_else_is_not_taken(text: object) -> None:
    with pytest.raises(TypeError):
        unpacked(text, JobSettings)


def test_patterns_of_the_node_are_read_again() -> None:
    pytest.importorskip("re2")
    pattern = r"regex:^[a-z]+\\.example\\.com$"
    settings = load_text(f'[node]\nallow = ["{pattern}"]\n')
    found = unpacked(packed(settings), Settings)
    assert found == settings
    assert found.node.allow is not None
    (read,) = found.node.allow.patterns
    assert [read.matches(Name(name)) for name in ("a.example.com", "1.example.com")] == [True, False]
