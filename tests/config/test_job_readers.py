from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, date, datetime
from ipaddress import ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobgate.config import job_readers as readers
from jobgate.config.policy import Mode

AT = datetime(2026, 11, 20, 13, 25, 7, tzinfo=UTC)


@pytest.mark.parametrize(
    ("read", "value", "expected"),
    [
        pytest.param(readers.read_job_mode, "", None, id="mode-of-the-node"),
        pytest.param(readers.read_job_mode, "report", Mode.REPORT, id="mode"),
        pytest.param(readers.read_token, "", "", id="no-token"),
        pytest.param(readers.read_token, "a:b@%/", "a:b@%/", id="token-with-colon"),
        pytest.param(readers.read_token, "x" * 256, "x" * 256, id="token-longest"),
        pytest.param(readers.read_clients, [], (), id="no-clients"),
        pytest.param(
            readers.read_clients,
            ["172.30.1.0/24", "192.0.2.7", "2001:db8::/32", "192.0.2.7/32"],
            (ip_network("172.30.1.0/24"), ip_network("192.0.2.7"), ip_network("2001:db8::/32")),
            id="clients",
        ),
        pytest.param(readers.read_expires, "", None, id="never"),
        pytest.param(readers.read_expires, "2026-11-20T13:25:07Z", AT.timestamp(), id="expires-Z"),
        pytest.param(readers.read_expires, "2026-11-20t15:25:07+02:00", AT.timestamp(), id="expires-offset"),
        pytest.param(readers.read_expires, "2026-11-20 13:25:07.5z", AT.timestamp() + 0.5, id="expires-half"),
        pytest.param(readers.read_expires, AT, AT.timestamp(), id="expires-of-TOML"),
        pytest.param(readers.read_netns, "", "", id="own-namespace"),
        pytest.param(readers.read_netns, "job-42", "job-42", id="netns-name"),
        pytest.param(readers.read_netns, "/proc/1/ns/net", "/proc/1/ns/net", id="netns-path"),
        pytest.param(readers.read_peer_uids, [1000, 0, 1000], frozenset({0, 1000}), id="peer-uids"),
    ],
)
def test_reader(read: Callable[[object], object], value: object, expected: object) -> None:
    assert read(value) == expected


@pytest.mark.parametrize(
    ("read", "value", "message"),
    [
        pytest.param(readers.read_job_mode, "off", "expected one of: enforce, report", id="mode"),
        pytest.param(readers.read_clients, ["10.0.0.1/8"], 'write "10.0.0.0/8"', id="D-host-bits"),
        pytest.param(readers.read_clients, ["10.0.0.0/8:80"], "port has no meaning", id="clients-port"),
        pytest.param(readers.read_clients, ["::ffff:10.0.0.0/104"], "IPv4 address", id="clients-mapped"),
        pytest.param(readers.read_clients, ["job-42"], "write an address", id="clients-name"),
        pytest.param(readers.read_expires, "2026-11-20T13:25:07", "RFC 3339", id="no-offset"),
        pytest.param(readers.read_expires, AT.replace(tzinfo=None), "no offset", id="no-offset-of-TOML"),
        pytest.param(readers.read_expires, date(2026, 11, 20), "got a date or time", id="date"),
        pytest.param(readers.read_expires, "2026-11-20", "RFC 3339", id="date-text"),
        pytest.param(readers.read_expires, "20261120T132507Z", "RFC 3339", id="ISO-8601-only"),
        pytest.param(readers.read_expires, "2026-02-30T00:00:00Z", "day", id="no-such-day"),
        pytest.param(readers.read_expires, "1969-12-31T23:59:59Z", "1970 to 9999", id="before-the-epoch"),
        pytest.param(readers.read_expires, "9999-12-31T23:59:59-01:00", "1970 to 9999", id="year-10000"),
        pytest.param(readers.read_expires, 1_700_000_000, "got the number 1700000000", id="expires-number"),
        pytest.param(readers.read_netns, "../x", "expected a path", id="netns-relative"),
        pytest.param(readers.read_netns, "..", "expected a path", id="netns-dots"),
        pytest.param(readers.read_netns, "/a\nb", "expected a path", id="netns-control"),
        pytest.param(readers.read_peer_uids, [-1], r"\[0\]: expected a number from 0", id="uid-negative"),
        pytest.param(readers.read_peer_uids, [2**32 - 1], r"\[0\]: expected a number", id="uid-minus-one"),
        pytest.param(readers.read_peer_uids, ["root"], r"\[0\]: .*expected a whole number", id="uid-name"),
        pytest.param(readers.read_peer_uids, 1000, "expected a list", id="uid-no-list"),
    ],
)
def test_reader_refuses(read: Callable[[object], object], value: object, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        read(value)


@pytest.mark.parametrize(
    "value",
    ["s3cret s3cret", "s3crét", "s3cret\n", "s3cret" * 43, 5355_3, ["s3cret"]],
    ids=["space", "not-ASCII", "control", "too-long", "number", "list"],
)
def test_bad_token_is_not_shown(value: object) -> None:
    with pytest.raises(ValueError, match=r"expected a text$|a token has 1 to 256 visible") as caught:
        readers.read_token(value)
    assert "s3cr" not in str(caught.value)
    assert "53553" not in str(caught.value)


@given(st.integers(0, 253_402_300_799_000_000).map(lambda micros: micros / 1e6))
def test_expires_text_reads_back(expires_at: float) -> None:
    text = readers.expires_text(expires_at)
    read = readers.read_expires(text)
    assert read is not None
    assert abs(read - expires_at) < 1e-4
    assert readers.expires_text(read) == text


def test_network_text_reads_back() -> None:
    networks = readers.read_clients(["10.0.0.0/8", "::1", "2001:db8::/32"])
    assert [readers.network_text(network) for network in networks] == [
        "10.0.0.0/8",
        "::1/128",
        "2001:db8::/32",
    ]
    assert readers.read_clients([readers.network_text(network) for network in networks]) == networks
