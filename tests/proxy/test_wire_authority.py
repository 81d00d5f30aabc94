"""A rows over the wire: what the target of CONNECT and of absolute-form may look like."""

from __future__ import annotations

import pytest

from support.gate import FakeResolver, loopback_gate
from support.http_origin import HttpOrigin
from support.messages import connect, head
from support.origin import Origin, echo

ACCEPTED = {
    "A1-plain": "ok.test:{port}",
    "A3-final-dot": "ok.test.:{port}",
    "A4-letter-case": "OK.TeSt:{port}",
    "A20-a-label": "xn--jv8h.ok.test:{port}",
    "A21-underscore": "foo_bar.ok.test:{port}",
}

#: Not an authority: 400 and close, no query, no dial, whatever the rules say.
MALFORMED = {
    "A5-name-in-brackets": b"[ok.test]:443",
    "A6-double-brackets": b"[[ok.test]]:443",
    "A7-colon": b":",
    "A7-two-colons": b"::",
    "A7-no-host": b":443",
    "A8-bare-ipv6": b"2001:DB8::1337",
    "A8-bare-loopback": b"::1:443",
    "A11-port-91337": b"ok.test:91337",
    "A11-port-65536": b"ok.test:65536",
    "A11-port-negative": b"ok.test:-12",
    "A11-port-plus": b"ok.test:+443",
    "A11-port-name": b"ok.test:https",
    "A11-port-space": b"ok.test:4 43",
    "A12-port-0": b"ok.test:0",
    "A13-port-007": b"ok.test:007",
    "A13-port-0443": b"ok.test:0443",
    "A14-nul": b"evil.test\x00.ok.test:443",
    "A15-control": b"evil\x01.ok.test:443",
    "A15-delete": b"ok\x7f.ok.test:443",
    "A15-tab": b"evil.test\t.ok.test:443",
    "A15-space": b"evil.test .ok.test:443",
    "A16-encoded-dot": b"evil%2eok.test:443",
    "A16-encoded-nul": b"ok%00.ok.test:443",
    "A17-backslash": b"ok.test\\@evil.test:443",
    "A18-userinfo": b"user:pw@ok.test:443",
    "A19-label-64": b"a" * 64 + b".ok.test:443",
    "A19-name-254": b"aa." + b"a." * 122 + b"ok.test:443",
    "A20-utf-8": "\N{LOCK}.ok.test:443".encode(),
    "A22-two-ports": b"ok.test:443:443",
    "A24-encoded-zone": b"[fe80::1%25eth0]:443",
    "A24-zone": b"[fe80::1%eth0]:443",
}

#: Malformed as the authority of CONNECT; in absolute-form the host ends before these.
MALFORMED_CONNECT = {
    "A2-no-port": b"ok.test",
    "A7-empty": b"",
    "A11-port-empty": b"ok.test:",
    "A17-slash": b"evil.test/ok.test:443",
    "A17-number-sign": b"evil.test#ok.test:443",
    "A17-question-mark": b"evil.test?ok.test:443",
    "A23-absolute-form": b"http://ok.test:443",
    "A23-origin-form": b"/foo",
}


@pytest.mark.parametrize("authority", ACCEPTED.values(), ids=ACCEPTED)
async def test_connect_to_a_listed_authority_is_accepted(authority: str) -> None:
    async with (
        Origin(echo) as origin,
        loopback_gate() as gate,
        gate.client() as client,
    ):
        response = await client.request(connect(authority.format(port=origin.port)), "CONNECT")
        assert response.status == 200
        await client.send(b"ping")
        assert await client.read_exactly(4) == b"ping"
        host = gate.decisions[0]["host"]
        assert host == authority.lower().partition(":")[0].removesuffix(".")


@pytest.mark.parametrize("authority", ACCEPTED.values(), ids=ACCEPTED)
async def test_absolute_form_of_a_listed_authority_is_accepted(authority: str) -> None:
    async with (
        HttpOrigin() as origin,
        loopback_gate() as gate,
        gate.client() as client,
    ):
        written = authority.format(port=origin.port)
        response = await client.request(head(f"GET http://{written}/ HTTP/1.1", f"Host: {written}"))
        assert response.status == 200
        canonical = authority.lower().partition(":")[0].removesuffix(".")
        assert gate.decisions[0]["host"] == canonical
        assert origin.requests[0].values(b"host") == [f"{canonical}:{origin.port}".encode()]


async def assert_bad_request(request: bytes) -> None:
    """400 and close; nobody was asked and nobody was dialled."""
    resolver = FakeResolver.everything("127.0.0.1")
    async with loopback_gate(resolver=resolver) as gate, gate.client() as client:
        response = await client.request(request)
        assert (response.status, response.value("x-jobgate-reason")) == (400, "bad-request")
        await client.read_to_end()
        await gate.until_closed(1)
        assert gate.decisions[0]["decision"] == "deny"
        assert resolver.queries == []


@pytest.mark.parametrize("authority", MALFORMED.values(), ids=MALFORMED)
async def test_connect_to_a_malformed_authority_is_a_bad_request(authority: bytes) -> None:
    await assert_bad_request(b"CONNECT " + authority + b" HTTP/1.0\r\n\r\n")


@pytest.mark.parametrize("authority", MALFORMED.values(), ids=MALFORMED)
async def test_absolute_form_of_a_malformed_authority_is_a_bad_request(authority: bytes) -> None:
    await assert_bad_request(b"GET http://" + authority + b"/ HTTP/1.0\r\n\r\n")


@pytest.mark.parametrize("authority", MALFORMED_CONNECT.values(), ids=MALFORMED_CONNECT)
async def test_connect_needs_the_authority_form(authority: bytes) -> None:
    await assert_bad_request(b"CONNECT " + authority + b" HTTP/1.1\r\nHost: ok.test\r\n\r\n")


LINES = {
    "A25-four-words": b"CONNECT ok.test:443 HTTP/1.1 extra\r\nHost: ok.test\r\n\r\n",
    "A25-four-words-unlisted": b"CONNECT evil.test:443 HTTP/1.1 extra\r\nHost: evil.test\r\n\r\n",
    "A27-no-host": b"CONNECT ok.test:443 HTTP/1.1\r\n\r\n",
    "A27-no-host-absolute": b"GET http://ok.test/ HTTP/1.1\r\n\r\n",
    "A29-lower-case": b"connect ok.test:443 HTTP/1.1\r\nHost: ok.test\r\n\r\n",
    "A30-two-spaces": b"CONNECT  ok.test:443 HTTP/1.1\r\nHost: ok.test\r\n\r\n",
    "A30-tab": b"CONNECT\tok.test:443 HTTP/1.1\r\nHost: ok.test\r\n\r\n",
    "A30-two-spaces-absolute": b"GET  http://ok.test/ HTTP/1.1\r\nHost: ok.test\r\n\r\n",
    "A30-space-behind": b"CONNECT ok.test:443  HTTP/1.1\r\nHost: ok.test\r\n\r\n",
}


@pytest.mark.parametrize("request_bytes", LINES.values(), ids=LINES)
async def test_malformed_request_line_is_refused(request_bytes: bytes) -> None:
    resolver = FakeResolver.everything("127.0.0.1")
    async with loopback_gate(resolver=resolver) as gate, gate.client() as client:
        response = await client.request(request_bytes)
        assert (response.status, response.value("x-jobgate-reason")) == (400, "bad-request")
        await client.read_to_end()
        assert resolver.queries == []


@pytest.mark.parametrize(
    "written", ["[2001:DB8::1337]", "[2001:db8:0:0::1]"], ids=["A9-unlisted", "A10-listed"]
)
@pytest.mark.parametrize(
    "line", ["CONNECT {}:443 HTTP/1.0", "GET http://{}:443/ HTTP/1.0"], ids=["connect", "http"]
)
async def test_ipv6_literal_is_compared_in_canonical_form(written: str, line: str) -> None:
    async with loopback_gate(domains=[".ok.test", "2001:db8::1"]) as gate, gate.client() as client:
        response = await client.request(head(line.format(written)))
        listed = written == "[2001:db8:0:0::1]"
        # A listed literal of a documentation range is stopped by its class, behind the decision by name.
        assert response.value("x-jobgate-reason") == ("address" if listed else "not-listed")
        assert gate.decisions[0]["host"] == ("2001:db8::1" if listed else "2001:db8::1337")


async def test_a26_connect_of_http_1_0_needs_no_host() -> None:
    async with (
        Origin(echo) as origin,
        loopback_gate() as gate,
        gate.client() as client,
    ):
        response = await client.request(head(f"CONNECT ok.test:{origin.port} HTTP/1.0"), "CONNECT")
        assert response.status == 200


@pytest.mark.parametrize(
    ("target", "host", "status"), [("ok.test", "evil.test", 200), ("evil.test", "ok.test", 403)]
)
async def test_a28_connect_is_decided_by_its_authority_not_by_host(
    target: str, host: str, status: int
) -> None:
    async with (
        Origin(echo) as origin,
        loopback_gate() as gate,
        gate.client() as client,
    ):
        line = f"CONNECT {target}:{origin.port} HTTP/1.1"
        response = await client.request(head(line, f"Host: {host}:{origin.port}"), "CONNECT")
        assert response.status == status
        assert gate.decisions[0]["host"] == target
