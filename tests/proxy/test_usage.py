from __future__ import annotations

from jobgate.proxy.usage import ALLOW, MAX_DENIALS, MAX_HOSTS, Reached, Refused, Usage


def test_add_sums_by_authority() -> None:
    usage = Usage()
    usage.add("a.test:443", 10, 100)
    usage.add("a.test:443", 1, 2)
    usage.add("b.test:80", 5, 5)
    assert usage.reached["a.test:443"] == Reached(requests=2, bytes_up=11, bytes_down=102)
    assert usage.reached["b.test:80"] == Reached(requests=1, bytes_up=5, bytes_down=5)


def test_add_is_bounded() -> None:
    usage = Usage()
    for n in range(MAX_HOSTS + 5):
        usage.add(f"h{n}.test:443", 1, 1)
    usage.add("h0.test:443", 1, 1)
    assert len(usage.reached) == MAX_HOSTS
    assert usage.reached["h0.test:443"].requests == 2


def test_decide_counts_by_reason() -> None:
    usage = Usage(requests=10, refused_requests=4)
    for token in (ALLOW, "not-listed", ALLOW, "rate"):
        usage.decide(token)
    assert usage.decisions == {ALLOW: 2, "not-listed": 1, "rate": 1}
    assert (usage.requests, usage.refused_requests) == (14, 6)


def test_tunnel_refused_after_its_hello_is_one_request_in_two_counts() -> None:
    usage = Usage()
    usage.decide(ALLOW)
    usage.refuse_tunnel("sni")
    assert usage.decisions == {ALLOW: 1, "sni": 1}
    assert (usage.requests, usage.refused_requests) == (1, 1)


def test_overlook_counts_and_is_bounded() -> None:
    usage = Usage()
    for n in range(MAX_HOSTS + 5):
        usage.overlook(Refused(f"h{n}.test:443", "not-listed", "connect"))
    assert len(usage.overlooked) == MAX_HOSTS
    assert not usage.refused
    assert not usage.denials


def test_refuse_counts_and_keeps_the_latest() -> None:
    usage = Usage()
    refused = Refused("evil.test:443", "not-listed", "connect")
    for n in range(MAX_DENIALS + 1):
        usage.refuse(refused, {"id": n})
    assert usage.refused[refused] == MAX_DENIALS + 1
    assert usage.denials[0] == {"id": 1}


def test_fail_counts_and_is_bounded() -> None:
    usage = Usage()
    for n in range(MAX_HOSTS + 5):
        usage.fail(Refused(f"h{n}.test:443", "dns-nxdomain", "connect"))
    usage.fail(Refused("h0.test:443", "dns-nxdomain", "connect"))
    assert len(usage.failed) == MAX_HOSTS
    assert usage.failed[Refused("h0.test:443", "dns-nxdomain", "connect")] == 2
    assert not usage.denials


def test_refuse_is_bounded() -> None:
    usage = Usage()
    for n in range(MAX_HOSTS + 5):
        usage.refuse(Refused(f"h{n}.test:443", "not-listed", "connect"), {})
    assert len(usage.refused) == MAX_HOSTS
