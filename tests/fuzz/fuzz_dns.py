"""Answers of a name server that lies: a reply in its bounds, whatever the bytes."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address

import dns.message

from jobgate.proxy.dnsanswer import MAX_ADDRESSES, Outcome, RecordType, Reply, combine
from jobgate.proxy.dnsquery import MAX_ANSWER_BYTES, answers, read_answer

WORDS = (
    b"\x01n\x04test\x00", b"\xc0\x0c", b"\xc0\x00", b"\x00\x01\x00\x01", b"\x00\x1c\x00\x01",
    b"\x00\x05\x00\x01", b"\x00\x06\x00\x01", b"\x00\x00\x29\x04\xd0", b"\x00\x27\x00\x01",
    b"\x00\xfa\x00\xff", b"\x00\x00\x00\x3c", b"\x7f\xff\xff\xff", b"\xff\xff\xff\xff",
    b"\x00\x04\xc0\x00\x02\x07", b"\x3f" + b"a" * 63,
)  # fmt: skip

QUERIES = {
    kind: dns.message.make_query("n.test.", kind.value, id=0x1234, use_edns=0, payload=1232).to_wire()
    for kind in RecordType
}
FAMILIES = {RecordType.A: IPv4Address, RecordType.AAAA: IPv6Address}
HEADER_BYTES = 12
#: Largest TTL (RFC 2181 §8).
MAX_TTL_S = 2**31 - 1


def TestOneInput(data: bytes) -> None:
    """Read bytes as the answer to either question, as they are and with id and question set right."""
    for kind, query in QUERIES.items():
        for wire in (data[:MAX_ANSWER_BYTES], belonging(query, data)):
            if answers(query, wire):
                reply = read_answer(wire)
                check_reply(reply)
                assert all(isinstance(address, FAMILIES[kind]) for address in reply.addresses), (
                    "another family"
                )


def belonging(query: bytes, data: bytes) -> bytes:
    """Let bytes be a response to a query: they choose the flags, the counts and everything behind."""
    header, rest = data[:HEADER_BYTES].ljust(HEADER_BYTES, b"\0"), data[HEADER_BYTES:]
    flags = bytes([0x80 | header[2] & 0x07, header[3]])
    return (query[:2] + flags + b"\0\1" + header[6:] + query[HEADER_BYTES:] + rest)[:MAX_ANSWER_BYTES]


def check_reply(reply: Reply) -> None:
    """A reply is in its bounds, and so is the answer made of it."""
    assert (reply.outcome is Outcome.ADDRESSES) == bool(reply.addresses), "addresses without saying so"
    assert len(reply.addresses) <= MAX_ADDRESSES, "too many addresses"
    assert 0 <= reply.ttl_s <= MAX_TTL_S, "a time to live out of range"
    answer = combine("n.test", reply, Reply(Outcome.FAILED))
    assert answer.reason is not None, "no reason, although a family is missing"
    assert answer.is_incomplete == bool(reply.addresses), "an incomplete answer does not say so"
