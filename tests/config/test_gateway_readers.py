from __future__ import annotations

from collections.abc import Callable
from ipaddress import ip_address

import pytest

from jobgate.config import gateway_readers as readers
from jobgate.config.address_rule import AddressRule
from jobgate.config.endpoints import Endpoint, UnixPath
from jobgate.config.host import Name
from jobgate.config.rules import RuleSet
from jobgate.config.upstream import DirectHosts, UpstreamProxy

LOCAL = ip_address("127.0.0.1")


@pytest.mark.parametrize(
    ("read", "value", "expected"),
    [
        pytest.param(readers.read_control, "", None, id="control-none"),
        pytest.param(readers.read_control, "/run/c.sock", UnixPath("/run/c.sock"), id="control-path"),
        pytest.param(readers.read_control, "unix:/run/c.sock", UnixPath("/run/c.sock"), id="control-unix"),
        pytest.param(readers.read_control, "127.0.0.1:9900", Endpoint(LOCAL, 9900), id="control-TCP"),
        pytest.param(readers.read_optional_listen, "", None, id="metrics-none"),
        pytest.param(readers.read_optional_listen, "127.0.0.1:0", Endpoint(LOCAL, 0), id="metrics"),
        pytest.param(readers.read_listens, [], (), id="no-listeners"),
        pytest.param(
            readers.read_listens,
            ["127.0.0.1:1", "unix:/a"],
            (Endpoint(LOCAL, 1), UnixPath("/a")),
            id="listeners",
        ),
        pytest.param(readers.read_socket_mode, "0600", 0o600, id="mode"),
        pytest.param(readers.read_socket_mode, "660", 0o660, id="mode-group"),
        pytest.param(readers.read_optional_path, "", "", id="no-path"),
        pytest.param(readers.read_optional_path, "state.db", "state.db", id="path"),
        pytest.param(readers.read_upstream, "", None, id="no-upstream"),
        pytest.param(
            readers.read_upstream, "http://corp:3128", UpstreamProxy(Name("corp"), 3128), id="upstream"
        ),
        pytest.param(
            readers.read_direct_hosts,
            ["A.test", ".b.test", "10.0.0.0/8", "::1"],
            DirectHosts(
                RuleSet.parse(["a.test", ".b.test"]),
                (AddressRule.parse("10.0.0.0/8"), AddressRule.parse("::1")),
            ),
            id="direct-hosts",
        ),
    ],
)
def test_reader(read: Callable[[object], object], value: object, expected: object) -> None:
    assert read(value) == expected


@pytest.mark.parametrize(
    ("read", "value", "message"),
    [
        pytest.param(readers.read_control, 9900, "expected a text, got the number 9900", id="control-number"),
        pytest.param(readers.read_control, "localhost:9900", "expected an address", id="control-name"),
        pytest.param(readers.read_optional_listen, "9901", 'write "127.0.0.1:3128"', id="metrics-port-only"),
        pytest.param(readers.read_listens, "127.0.0.1:1", "expected a list", id="listeners-text"),
        pytest.param(readers.read_listens, [""], r'\[0\]: "": write', id="listeners-empty"),
        pytest.param(
            readers.read_socket_mode, 0o600, "expected a text, got the number 384", id="mode-number"
        ),
        pytest.param(readers.read_socket_mode, "0o600", "in octal digits", id="mode-python"),
        pytest.param(readers.read_socket_mode, "1600", "in octal digits", id="mode-sticky"),
        pytest.param(readers.read_socket_mode, "0666", "everybody on the machine", id="mode-others"),
        pytest.param(readers.read_optional_path, "a\0", "no NUL", id="path-NUL"),
        pytest.param(readers.read_upstream, 5, "expected a text$", id="upstream-number"),
        pytest.param(readers.read_direct_hosts, ["a.test:80"], "a port has no meaning", id="direct-port"),
        pytest.param(
            readers.read_direct_hosts, ["10.0.0.0/8:80"], "a port has no meaning", id="direct-network-port"
        ),
        pytest.param(readers.read_direct_hosts, ["*"], "write a name", id="direct-star"),
        pytest.param(readers.read_direct_hosts, [1], r"\[0\]: expected a text", id="direct-number"),
    ],
)
def test_reader_refuses(read: Callable[[object], object], value: object, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        read(value)
