"""Whose request it is."""

from __future__ import annotations

import hmac
from dataclasses import replace
from ipaddress import ip_address

import pytest

from jobgate.config.settings import JobSettings
from jobgate.proxy.credentials import Credentials
from jobgate.proxy.errors import ProxyError, Reason
from jobgate.proxy.identity import Identities, check_own
from support.visits import job_settings as job
from support.visits import showing


def shown(text: str | None) -> Credentials | None:
    if text is None:
        return None
    job_id, _, token = text.encode().partition(b":")
    return Credentials(job_id, token)


def identify(jobs: Identities, source: str | None, credentials: str | None) -> str:
    try:
        return jobs.identify(None if source is None else ip_address(source), shown(credentials))
    except ProxyError as error:
        return error.reason.value


JOBS = [
    job("token", token="t1"),
    job("source", "10.1.0.0/16", "2001:db8::/32"),
    job("both", "10.2.0.0/16", token="t2"),
    job("both-too", "10.2.0.0/16", "10.3.0.0/16", token="t3"),
    job("own", token="t4", listen="127.0.0.1:3128"),
]


MANY = [
    replace(job("many", token="t5"), max_members=1),
    replace(job("many.more", "10.4.0.0/16", token="t6"), max_members=1),
    job("many.taken", token="t7"),
    job("many.source", "10.5.0.0/16"),
    job("many.listening", listen="127.0.0.1:3129"),
    job("many.both", "10.6.0.0/16", listen="127.0.0.1:3130"),
]


@pytest.mark.parametrize(
    ("source", "credentials", "expected"),
    [
        pytest.param("192.0.2.1", "many.a:t5", "many.a", id="member"),
        pytest.param("192.0.2.1", "many:t5", "many", id="the-job-itself"),
        pytest.param("192.0.2.1", "many.a:t6", "auth", id="another-token"),
        pytest.param("192.0.2.1", "many.taken:t7", "many.taken", id="job-of-that-name"),
        pytest.param("192.0.2.1", "many.taken:t5", "auth", id="never-another-job"),
        pytest.param("192.0.2.1", "many.source:t5", "auth", id="never-a-job-known-by-source"),
        pytest.param("10.5.0.1", "many.source:t5", "auth", id="nor-from-there"),
        pytest.param("192.0.2.1", "many.listening:t5", "auth", id="never-a-job-with-a-listener"),
        pytest.param("192.0.2.1", "many.both:t5", "auth", id="never-a-job-with-both"),
        pytest.param("10.4.0.1", "many.more.a:t6", "many.more.a", id="last-dot-parts"),
        pytest.param("192.0.2.1", "many.more.a:t6", "unknown-job", id="source-counts-too"),
        pytest.param("192.0.2.1", "many.a.b:t5", "auth", id="no-member-of-a-member"),
        pytest.param("192.0.2.1", "many.:t5", "auth", id="empty-member"),
        pytest.param("192.0.2.1", "many.${RAY_JOB_ID}:t5", "auth", id="not-a-name"),
        pytest.param("192.0.2.1", "many.a\n:t5", "auth", id="newline"),
        pytest.param("192.0.2.1", f"many.{'a' * 123}:t5", f"many.{'a' * 123}", id="longest"),
        pytest.param("192.0.2.1", f"many.{'a' * 124}:t5", "auth", id="too-long"),
        pytest.param("192.0.2.1", "token.a:t1", "auth", id="job-without-members"),
    ],
)
def test_token_of_a_job_with_members_is_theirs(source: str, credentials: str, expected: str) -> None:
    identities = Identities()
    for one in (*JOBS, *MANY):
        identities.add(one)
    assert identify(identities, source, credentials) == expected
    for one in MANY:
        identities.remove(one)
    assert identify(identities, source, credentials) == "auth"


@pytest.fixture
def jobs() -> Identities:
    identities = Identities()
    for one in JOBS:
        identities.add(one)
    return identities


@pytest.mark.parametrize(
    ("source", "credentials", "expected"),
    [
        pytest.param("192.0.2.1", "token:t1", "token", id="K3-right"),
        pytest.param("192.0.2.1", None, "auth", id="K3-none"),
        pytest.param("192.0.2.1", "token:t2", "auth", id="K3-wrong"),
        pytest.param("192.0.2.1", "token:", "auth", id="K3-empty"),
        pytest.param("192.0.2.1", "nobody:t1", "auth", id="K6-unknown-job"),
        pytest.param("192.0.2.1", "jöb:t1", "auth", id="not-an-id"),
        pytest.param("192.0.2.1", ":", "auth", id="nothing"),
        pytest.param("192.0.2.1", "source:", "auth", id="job-without-token-by-name"),
        pytest.param("10.1.2.3", None, "source", id="K8-source"),
        pytest.param("2001:db8::7", None, "source", id="K8-source-IPv6"),
        pytest.param("10.1.2.3", "token:t1", "token", id="token-goes-before-source"),
        pytest.param("10.1.2.3", "token:wrong", "auth", id="wrong-token-is-not-made-good-by-the-source"),
        pytest.param("10.2.0.1", "both:t2", "both", id="both-hold"),
        pytest.param("10.2.0.1", "both-too:t3", "both-too", id="two-jobs-of-one-network"),
        pytest.param("10.3.0.1", "both-too:t3", "both-too", id="second-network"),
        pytest.param("10.3.0.1", "both:t2", "unknown-job", id="right-token-from-elsewhere"),
        pytest.param("10.2.0.1", None, "auth", id="right-source-without-the-token"),
        pytest.param("10.2.0.1", "both:t3", "auth", id="the-other-job's-token"),
        pytest.param(None, "token:t1", "token", id="unix-token"),
        pytest.param(None, "both:t2", "unknown-job", id="unix-has-no-source"),
        pytest.param(None, None, "auth", id="unix-none"),
        pytest.param("192.0.2.1", "own:t4", "auth", id="job-with-a-listener-of-its-own"),
    ],
)
def test_identify(jobs: Identities, source: str | None, credentials: str | None, expected: str) -> None:
    assert identify(jobs, source, credentials) == expected


@pytest.mark.parametrize(
    ("one", "source", "expected"),
    [
        pytest.param(job("source", "10.1.0.0/16"), "10.2.0.1", "unknown-job", id="K6-source"),
        pytest.param(job("source", "10.1.0.0/16"), None, "unknown-job", id="unix"),
        pytest.param(job("both", "10.1.0.0/16", token="t"), "10.1.0.1", "auth", id="could-be-it"),
        pytest.param(job("both", "10.1.0.0/16", token="t"), "10.2.0.1", "unknown-job", id="could-not"),
        pytest.param(job("own", listen="unix:/a"), "10.2.0.1", "unknown-job", id="no-shared-job"),
    ],
)
def test_credentials_are_asked_for_only_where_they_could_help(
    one: JobSettings, source: str | None, expected: str
) -> None:
    identities = Identities()
    identities.add(one)
    assert identify(identities, source, None) == expected


def test_refusals_of_credentials_are_alike(jobs: Identities) -> None:
    texts = set()
    for credentials in (None, "token:wrong", "nobody:t1", "both:t1", "source:x"):
        with pytest.raises(ProxyError) as caught:
            jobs.identify(ip_address("192.0.2.1"), shown(credentials))
        texts.add((caught.value.reason, caught.value.detail))
    assert [reason for reason, _ in texts] == [Reason.AUTH]


@pytest.mark.parametrize("credentials", ["token:wrong", "nobody:wrong", "source:wrong"])
def test_every_token_is_compared_once(
    jobs: Identities, credentials: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    compared: list[tuple[int, int]] = []

    def compare(a: bytes, b: bytes) -> bool:
        compared.append((len(a), len(b)))
        return a == b

    monkeypatch.setattr(hmac, "compare_digest", compare)
    assert identify(jobs, "192.0.2.1", credentials) == "auth"
    assert compared == [(32, 32)]


def test_removed_job_is_unknown(jobs: Identities) -> None:
    for one in JOBS:
        jobs.remove(one)
    asked = [("192.0.2.1", "token:t1"), ("10.1.2.3", None), ("10.2.0.1", "both:t2"), ("10.2.0.1", None)]
    assert [identify(jobs, source, credentials) for source, credentials in asked] == [
        "auth",
        "unknown-job",
        "auth",
        "unknown-job",
    ]


def test_changed_job_is_known_by_its_new_form_alone(jobs: Identities) -> None:
    jobs.remove(JOBS[0])
    jobs.add(job("token", "10.9.0.0/16", token="new"))
    assert identify(jobs, "10.9.0.1", "token:t1") == "auth"
    assert identify(jobs, "192.0.2.1", "token:new") == "unknown-job"
    assert identify(jobs, "10.9.0.1", "token:new") == "token"
    assert identify(jobs, "192.0.2.1", None) == "unknown-job"


OWN = {
    "nothing": job("own", listen="127.0.0.1:1"),
    "token": job("own", listen="127.0.0.1:1", token="t"),
    "clients": job("own", "10.1.0.0/16", listen="127.0.0.1:1"),
    "both": job("own", "10.1.0.0/16", listen="127.0.0.1:1", token="t"),
}


@pytest.mark.parametrize(
    ("needs", "source", "credentials", "expected"),
    [
        pytest.param("nothing", "192.0.2.1", None, None, id="anybody"),
        pytest.param("nothing", None, "other:x", None, id="credentials-that-nobody-asked-for"),
        pytest.param("token", "192.0.2.1", "own:t", None, id="K3-own-right"),
        pytest.param("token", None, "own:t", None, id="K3-own-unix"),
        pytest.param("token", "192.0.2.1", None, Reason.AUTH, id="K3-own-none"),
        pytest.param("token", "192.0.2.1", "own:x", Reason.AUTH, id="K3-own-wrong"),
        pytest.param("token", "192.0.2.1", "other:t", Reason.AUTH, id="right-token-of-another-name"),
        pytest.param("clients", "10.1.0.1", None, None, id="source"),
        pytest.param("clients", "10.2.0.1", None, Reason.UNKNOWN_JOB, id="K6-own-source"),
        pytest.param("clients", "::1", None, Reason.UNKNOWN_JOB, id="other-family"),
        pytest.param("clients", None, None, Reason.UNKNOWN_JOB, id="unix"),
        pytest.param("both", "10.1.0.1", "own:t", None, id="both-hold"),
        pytest.param("both", "10.1.0.1", None, Reason.AUTH, id="source-alone"),
        pytest.param("both", "10.2.0.1", "own:t", Reason.UNKNOWN_JOB, id="token-alone"),
    ],
)
def test_check_own(needs: str, source: str | None, credentials: str | None, expected: Reason | None) -> None:
    address = None if source is None else ip_address(source)
    if expected is None:
        check_own(OWN[needs], address, shown(credentials))
        return
    with pytest.raises(ProxyError) as caught:
        check_own(OWN[needs], address, shown(credentials))
    assert caught.value.reason is expected


def test_what_was_right_is_known_again_until_a_job_changes(monkeypatch: pytest.MonkeyPatch) -> None:
    compared: list[bytes] = []
    compare = hmac.compare_digest

    def counting(one: bytes, other: bytes) -> bool:
        compared.append(one)
        return compare(one, other)

    monkeypatch.setattr(hmac, "compare_digest", counting)
    identities, source = Identities(), ip_address("192.0.2.1")
    identities.add(job("token", token="t1"))
    for _ in range(3):
        assert identities.find(source, showing("token:t1")) == "token"
    assert len(compared) == 1
    assert identities.find(ip_address("192.0.2.2"), showing("token:t1")) == "token"
    assert len(compared) == 2  # from elsewhere it is another question
    for _ in range(2):
        with pytest.raises(ProxyError):
            identities.find(source, showing("token:t2"))
    assert len(compared) == 4  # what is wrong is asked each time
    identities.remove(job("token", token="t1"))
    with pytest.raises(ProxyError):
        identities.find(source, showing("token:t1"))
    identities.add(job("token", token="t2"))
    with pytest.raises(ProxyError):
        identities.find(source, showing("token:t1"))
    assert identities.find(source, showing("token:t2")) == "token"


def test_two_fields_show_nothing_and_many_spellings_are_not_kept() -> None:
    identities, source = Identities(), ip_address("10.1.0.1")
    identities.add(job("token", token="t1"))
    identities.add(job("source", "10.1.0.0/16"))
    field = showing("token:t1")[1]
    assert identities.find(source, [field, field]) == "source"
    assert identities.find(source, []) == "source"
    for spaces in range(1, 3000):
        value = field[1].replace(b" ", b" " * spaces)
        assert identities.find(source, [(field[0], value)]) == "token"
    assert len(identities._right) <= 1024
    assert max(len(value) for _, value in identities._right) <= 1024
