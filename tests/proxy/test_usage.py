from __future__ import annotations

from jobgate.proxy.usage import MAX_DENIALS, MAX_HOSTS, Reached, Refused, Usage


def test_add_sums_by_authority_and_in_all() -> None:
    usage = Usage()
    usage.add("a.test:443", 10, 100)
    usage.add("a.test:443", 1, 2)
    usage.add("b.test:80", 5, 5)
    assert usage.reached["a.test:443"] == Reached(requests=2, bytes_up=11, bytes_down=102)
    assert (usage.bytes_up, usage.bytes_down) == (16, 107)


def test_add_beyond_the_bound_counts_in_all_only() -> None:
    usage = Usage()
    for n in range(MAX_HOSTS + 5):
        usage.add(f"h{n}.test:443", 1, 1)
    assert len(usage.reached) == MAX_HOSTS
    assert usage.bytes_up == MAX_HOSTS + 5


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
