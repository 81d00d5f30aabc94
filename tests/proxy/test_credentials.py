from __future__ import annotations

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobgate.proxy.credentials import Credentials, peek_fields, read_credentials
from jobgate.proxy.framing import Headers


def field(value: bytes) -> Headers:
    return [(b"Host", b"a.test"), (b"Proxy-Authorization", value)]


def encoded(text: bytes, scheme: bytes = b"Basic ") -> bytes:
    return scheme + base64.b64encode(text)


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        pytest.param(field(encoded(b"job:token")), (b"job", b"token"), id="basic"),
        pytest.param(field(encoded(b"job:token", b"bAsIc ")), (b"job", b"token"), id="any-case"),
        pytest.param(field(encoded(b"job:token", b"Basic   ")), (b"job", b"token"), id="spaces"),
        pytest.param([(b"PROXY-authorization", encoded(b"j:t"))], (b"j", b"t"), id="field-in-any-case"),
        pytest.param(field(encoded(b"job:a:b")), (b"job", b"a:b"), id="first-colon-splits"),
        pytest.param(field(encoded(b"job:")), (b"job", b""), id="no-token"),
        pytest.param(field(encoded(b":token")), (b"", b"token"), id="no-job"),
        pytest.param(field(encoded(b"j\xc3\xb6b:\xff\0")), (b"j\xc3\xb6b", b"\xff\0"), id="any-octets"),
        pytest.param([], None, id="none"),
        pytest.param([(b"Authorization", encoded(b"job:token"))], None, id="for-the-origin"),
        pytest.param(field(encoded(b"a:b")) + field(encoded(b"a:b")), None, id="K5-duplicate"),
        pytest.param(field(b"Basic a:b"), None, id="K5-not-base64"),
        pytest.param(field(b"Basic am9iOnRva2Vu="), None, id="K5-too-much-padding"),
        pytest.param(field(b"Basic am9iOnRva2V"), None, id="K5-no-padding"),
        pytest.param(field(encoded(b"jobtoken")), None, id="K5-no-colon"),
        pytest.param(field(encoded(b"job:token", b"Bearer ")), None, id="K5-Bearer"),
        pytest.param(field(encoded(b"job:token", b"Basic")), None, id="no-space"),
        pytest.param(field(b"Basic"), None, id="scheme-only"),
        pytest.param(field(b"Basic "), None, id="nothing-behind-the-scheme"),
        pytest.param(field(encoded(b"job:token") + b", " + encoded(b"job:token")), None, id="list"),
        pytest.param(field(encoded(b"job:" + b"x" * 800)), None, id="longer-than-any"),
        pytest.param(field(encoded(b"j" * 128 + b":" + b"x" * 256)), (b"j" * 128, b"x" * 256), id="longest"),
    ],
)
def test_read_credentials(headers: Headers, expected: tuple[bytes, bytes] | None) -> None:
    assert read_credentials(headers) == expected


@given(st.binary(max_size=40), st.binary(max_size=40))
def test_read_credentials_gives_what_was_encoded(job_id: bytes, token: bytes) -> None:
    read = read_credentials(field(encoded(job_id + b":" + token)))
    assert read is not None
    assert b":".join(read) == job_id + b":" + token
    assert b":" not in read.job_id


@given(st.lists(st.tuples(st.sampled_from([b"proxy-authorization", b"host"]), st.binary(max_size=40))))
def test_read_credentials_of_anything(headers: Headers) -> None:
    read = read_credentials(headers)
    assert read is None or b":" not in read.job_id


def test_credentials_are_not_shown() -> None:
    assert repr(Credentials(b"job", b"s3cret")) == "Credentials(...)"
    assert "s3cret" not in f"{Credentials(b'job', b's3cret')}"


@pytest.mark.parametrize(
    "line",
    [
        b"Proxy-Authorization: Basic am9iOnRva2Vu",
        b"PROXY-AUTHORIZATION:Basic am9iOnRva2Vu",
        b"proxy-authorization: \t Basic am9iOnRva2Vu \t",
    ],
    ids=["usual", "upper-case", "blanks"],
)
def test_fields_of_a_head_that_nobody_has_judged(line: bytes) -> None:
    raw = b"GET http://a.test/ HTTP/1.1\r\nHost: a.test\r\n%b\r\nX: y:z\r\n\r\n" % line
    assert read_credentials(peek_fields(raw)) == (b"job", b"token")
    twice = raw.replace(b"X: y:z", line)
    assert read_credentials(peek_fields(twice)) is None


@given(st.binary(max_size=200))
def test_whatever_comes_is_looked_at(raw: bytes) -> None:
    assert all(name.lower() == b"proxy-authorization" for name, _ in peek_fields(raw))
