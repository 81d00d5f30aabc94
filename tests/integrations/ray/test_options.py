from __future__ import annotations

import pytest

from jobgate.integrations.ray.options import LEASE_S, MAX_JOBS, Options, read_options


def test_nothing_said_is_the_default() -> None:
    assert read_options({}) == Options("/run/jobgate/control.sock", "", "", (), LEASE_S, MAX_JOBS)


def test_everything_is_read() -> None:
    environ = {
        "JOBGATE_CONTROL": "127.0.0.1:9900",
        "JOBGATE_CONTROL_TOKEN_FILE": "/etc/jobgate/token",
        "JOBGATE_RAY_ADDRESS": "192.0.2.1:3128",
        "JOBGATE_RAY_NO_PROXY": "10.0.0.0/8, head.example\n192.0.2.9",
        "JOBGATE_RAY_LEASE_S": "2.5",
        "JOBGATE_RAY_MAX_JOBS": "7",
    }
    assert read_options(environ) == Options(
        "127.0.0.1:9900",
        "/etc/jobgate/token",
        "192.0.2.1:3128",
        ("10.0.0.0/8", "head.example", "192.0.2.9"),
        2.5,
        7,
    )


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("ADDRESS", "3128", 'JOBGATE_RAY_ADDRESS: "3128": write HOST:PORT'),
        ("NO_PROXY", "*", "JOBGATE_RAY_NO_PROXY: "),
        ("NO_PROXY", "192.0.2", "JOBGATE_RAY_NO_PROXY: "),
        ("LEASE_S", "0", "JOBGATE_RAY_LEASE_S: expected a number from 1 to 86400, got 0"),
        ("LEASE_S", "long", 'JOBGATE_RAY_LEASE_S: expected a number, got the text "long"'),
        ("LEASE_S", "nan", "JOBGATE_RAY_LEASE_S: expected a number from 1 to 86400"),
        ("MAX_JOBS", "1.5", "JOBGATE_RAY_MAX_JOBS: expected a whole number"),
    ],
    ids=["address", "wildcard", "prefix", "zero", "text", "nan", "fraction"],
)
def test_what_is_wrong_is_named(name: str, value: str, message: str) -> None:
    with pytest.raises(ValueError, match="JOBGATE_RAY") as caught:
        read_options({f"JOBGATE_RAY_{name}": value})
    assert str(caught.value).startswith(message)
