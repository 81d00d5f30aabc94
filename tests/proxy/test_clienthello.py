"""The ClientHello parser: rows L as bytes, every truncation, any bytes, any cut."""

from __future__ import annotations

import ssl
from ipaddress import ip_address
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobgate.config.host import Host, Name
from jobgate.proxy.clienthello import (
    MAX_EXTENSIONS,
    MAX_HELLO_BYTES,
    MAX_RECORD_BYTES,
    MAX_RECORDS,
    Hello,
    HelloReader,
    NoHello,
)
from support.tls import (
    ENCRYPTED_CLIENT_HELLO,
    GREASE,
    POST_QUANTUM,
    SERVER_NAME,
    client_hello,
    hello_for,
    library_hello,
    prefixed,
    records,
    server_name,
)

OK = Hello(Name("ok.test"), ech=False)
NAMELESS = Hello(None, ech=False)
ECH = (ENCRYPTED_CLIENT_HELLO, b"\x00" + bytes(100))
OK_NAME = server_name(b"ok.test")
LARGE = (51, bytes(16_000))
MESSAGE = client_hello(OK_NAME, (GREASE, b""), POST_QUANTUM)

Answer = Hello | NoHello


def read(stream: bytes) -> Answer:
    return HelloReader().read(stream)


def read_in_pieces(pieces: list[bytes]) -> Answer:
    """What a gate finds that looks after each segment and stops at the first answer."""
    reader, stream = HelloReader(), bytearray()
    answer: Answer = NoHello.INCOMPLETE
    for piece in pieces:
        stream += piece
        answer = reader.read(stream)
        if answer is not NoHello.INCOMPLETE:
            break
    return answer


GOOD: dict[str, tuple[bytes, Answer]] = {
    "L1-hand-made": (hello_for(b"ok.test"), OK),
    "L1-library": (library_hello(), OK),
    "L1-library-tls12": (library_hello(newest=ssl.TLSVersion.TLSv1_2), OK),
    "L2-upper-case": (hello_for(b"Ok.TEST"), OK),
    "L2-final-dot": (hello_for(b"ok.test."), OK),
    "L5-no-sni": (records(client_hello((GREASE, b""))), NAMELESS),
    "L5-library-without-name": (library_hello(None), NAMELESS),
    "L5-empty-extensions": (records(client_hello(block=b"\x00\x00")), NAMELESS),
    "L5-no-extensions-block": (records(client_hello(block=b"")), NAMELESS),
    "L10-two-records": (records(MESSAGE, 100), OK),
    "L10-three-records": (records(MESSAGE, 1, 3), OK),
    "L10-cut-in-the-name": (records(client_hello(), len(client_hello()) - 3), OK),
    "L10-most-records": (records(MESSAGE, *[1] * (MAX_RECORDS - 1)), OK),
    "L10-post-quantum": (records(MESSAGE), OK),
    "L10-16-kib": (records(client_hello(OK_NAME, LARGE)), OK),
    "L10-name-last": (records(client_hello((GREASE, bytes(9)), POST_QUANTUM, OK_NAME)), OK),
    "L11-record-version-16-03-ff": (records(client_hello(), version=b"\x03\xff"), OK),
    "L11-ssl3-record": (records(client_hello(), version=b"\x03\x00"), OK),
    "L11-later-record-of-another-minor": (
        records(client_hello()[:9]) + records(client_hello()[9:], version=b"\x03\x03"),
        OK,
    ),
    "L13-second-hello-behind": (hello_for(b"ok.test") + hello_for(b"evil.test"), OK),
    "L14-ech": (records(client_hello(OK_NAME, ECH)), Hello(Name("ok.test"), ech=True)),
    "L14-ech-without-outer-name": (records(client_hello(ECH)), Hello(None, ech=True)),
    "early-data-behind": (records(client_hello()) + b"\x17\x03\x03\x00\x05hello", OK),
    "no-session-id": (records(client_hello(session_id=b"")), OK),
    "one-label": (hello_for(b"origin"), Hello(Name("origin"), ech=False)),
    "underscore": (hello_for(b"_a.ok.test"), Hello(Name("_a.ok.test"), ech=False)),
    "address-v4": (hello_for(b"192.0.2.7"), Hello(ip_address("192.0.2.7"), ech=False)),
    "most-extensions": (records(client_hello(OK_NAME, *[(GREASE, b"")] * (MAX_EXTENSIONS - 1))), OK),
}

NOT_TLS = {
    "L6-http": b"GET / HTTP/1.1\r\n\r\n",
    "L7-ssh": b"SSH-2.0-OpenSSH_9.2\r\n",
    "L15-http2": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "L11-record-version-16-02": b"\x16\x02",
    "one-byte": b"G",
    "ssl2-hello": b"\x80\x2e\x01\x03\x01\x00\x15\x00\x00\x00\x10",
    "alert": b"\x15\x03\x01\x00\x02\x02\x28",
    "application-data": b"\x17\x03\x03\x00\x05hello",
    "dtls": b"\x16\xfe\xfd\x00\x00",
}

MALFORMED = {
    "L11-server-hello": records(client_hello(kind=2)),
    "L11-server-hello-in-pieces": records(client_hello(kind=2), 1),
    "L12-session-id-33": records(client_hello(session_id=bytes(33))),
    "L12-no-ciphers": records(client_hello(cipher_suites=b"")),
    "L12-odd-ciphers": records(client_hello(cipher_suites=bytes(3))),
    "L12-no-compression": records(client_hello(compression=b"")),
    "L12-message-of-nothing": records(b"\x01\x00\x00\x00"),
    "L12-extensions-block-too-long": records(client_hello(block=b"\x00\x09" + bytes(8))),
    "L12-extensions-block-too-short": records(client_hello(block=b"\x00\x07" + bytes(8))),
    "L12-half-a-block-length": records(client_hello(block=b"\x00")),
    "L12-half-an-extension-head": records(client_hello(block=b"\x00\x03" + bytes(3))),
    "L12-extension-over-the-end": records(client_hello(block=b"\x00\x05\x0a\x0a\x00\x02\x00")),
    "L12-name-over-the-end-of-the-block": records(client_hello(block=b"\x00\x05\x00\x00\x00\x02\x00")),
    "version-2": records(client_hello(version=b"\x02\x00")),
    "empty-record": records(b"", 0),
    "empty-record-between": records(client_hello()[:9]) + records(b"", 0) + records(client_hello()[9:]),
    "record-too-long": b"\x16\x03\x01" + (MAX_RECORD_BYTES + 1).to_bytes(2),
    "alert-between": records(client_hello()[:9]) + b"\x15\x03\x01\x00\x02\x01\x00",
    "version-2-between": records(client_hello()[:9]) + b"\x16\x02",
    "message-too-long": records(b"\x01\x01\x00\x00" + bytes(100)),
    "message-behind-the-hello": records(client_hello() + client_hello()),
    "byte-behind-the-hello": records(client_hello() + b"\x00"),
    "hello-larger-than-the-bound": records(b"\x01\x00\xff\xff" + bytes(65_532), *[16_384] * 4),
    "too-many-records": records(MESSAGE, *[1] * MAX_RECORDS),
    "too-many-extensions": records(client_hello(OK_NAME, *[(GREASE, b"")] * MAX_EXTENSIONS)),
}

BAD_NAME: dict[str, tuple[int, bytes]] = {
    "L12-list-over-the-data": (SERVER_NAME, b"\x00\x0b\x00\x00\x07ok.test"),
    "L12-list-under-the-data": (SERVER_NAME, b"\x00\x05\x00\x00\x07ok.test"),
    "L12-name-over-the-data": (SERVER_NAME, b"\x00\x0a\x00\x00\x08ok.test"),
    "L12-name-under-the-data": (SERVER_NAME, b"\x00\x0a\x00\x00\x06ok.test"),
    "L12-name-type-1": server_name(b"ok.test", kind=1),
    "L12-empty-list": server_name(),
    "L12-two-names": server_name(b"ok.test", b"evil.test"),
    "L12-one-name-twice": server_name(b"ok.test", b"ok.test"),
    "L12-empty-extension": (SERVER_NAME, b""),
    "L12-cut-extension": (SERVER_NAME, b"\x00\x0a\x00\x00"),
    "L12-empty-name": server_name(b""),
    "byte-behind-the-list": (SERVER_NAME, server_name(b"ok.test")[1] + b"\x00"),
    "nul": server_name(b"ok.test\x00.evil.test"),
    "not-ascii": server_name("bücher.test".encode()),
    "empty-label": server_name(b"ok..test"),
    "two-dots-behind": server_name(b"ok.test.."),
    "only-a-dot": server_name(b"."),
    "with-port": server_name(b"ok.test:443"),
    "blank": server_name(b" ok.test"),
    "percent": server_name(b"ok%2etest"),
    "star": server_name(b"*.test"),
    "number": server_name(b"2130706433"),
    "short-address": server_name(b"127.1"),
    "bare-v6": server_name(b"2001:db8::1"),
    "too-long": server_name(b".".join([b"a" * 63] * 4)),
    "64-kib-less-one": server_name(b"a" * 60_000),
}


@pytest.mark.parametrize(("stream", "hello"), GOOD.values(), ids=GOOD)
def test_read_finds_the_name(stream: bytes, hello: Answer) -> None:
    assert read(stream) == hello


@pytest.mark.parametrize("stream", NOT_TLS.values(), ids=NOT_TLS)
def test_read_knows_what_is_no_tls(stream: bytes) -> None:
    assert read(stream) is NoHello.NOT_TLS


@pytest.mark.parametrize("stream", MALFORMED.values(), ids=MALFORMED)
def test_read_refuses_what_is_malformed(stream: bytes) -> None:
    assert read(stream) is NoHello.MALFORMED


@pytest.mark.parametrize("extension", BAD_NAME.values(), ids=BAD_NAME)
def test_read_refuses_what_is_not_one_host_name(extension: tuple[int, bytes]) -> None:
    message = client_hello(extension)
    assert read(records(message, *[16_384] * (len(message) // 16_384))) is NoHello.BAD_NAME


def test_l12_two_server_name_extensions_are_two_names() -> None:
    assert read(records(client_hello(OK_NAME, OK_NAME))) is NoHello.BAD_NAME


def test_address_in_brackets_is_an_address() -> None:
    host: Host = ip_address("2001:db8::1")
    assert read(hello_for(b"[2001:db8::1]")) == Hello(host, ech=False)


WHOLE = {
    "library": library_hello(),
    "post-quantum": records(MESSAGE),
    "three-records": records(MESSAGE, 30, 500),
}


@pytest.mark.parametrize("stream", WHOLE.values(), ids=WHOLE)
def test_l10_every_beginning_of_a_hello_is_incomplete(stream: bytes) -> None:
    assert {read(stream[:size]) for size in range(len(stream))} == {NoHello.INCOMPLETE}
    assert read_in_pieces([bytes([byte]) for byte in stream]) == OK


@pytest.mark.parametrize("message", [client_hello(), library_hello()[5:]], ids=["hand-made", "library"])
def test_l12_every_truncation_of_the_message_is_malformed(message: bytes) -> None:
    """Each shorter hello has its own length right and is cut somewhere inside."""
    ciphers_at = 38 + 1 + 32
    no_extensions = ciphers_at + 2 + int.from_bytes(message[ciphers_at : ciphers_at + 2]) + 2
    for size in range(4, len(message)):
        answer = read(records(b"\x01" + prefixed(message[4:size], 3)))
        assert answer == (NAMELESS if size == no_extensions else NoHello.MALFORMED)


@pytest.mark.parametrize("size", range(len(OK_NAME[1])))
def test_l12_every_truncation_of_the_name_is_a_bad_name(size: int) -> None:
    assert read(records(client_hello((SERVER_NAME, OK_NAME[1][:size])))) is NoHello.BAD_NAME


def test_largest_record_is_read() -> None:
    room = MAX_RECORD_BYTES - len(client_hello(OK_NAME, (GREASE, b"")))
    stream = records(client_hello(OK_NAME, (GREASE, bytes(room))))
    assert len(stream) == 5 + MAX_RECORD_BYTES
    assert read(stream) == OK


def test_largest_hello_is_read_and_not_a_byte_more() -> None:
    room = MAX_HELLO_BYTES - 4 * 5 - len(client_hello(OK_NAME, (GREASE, b"")))
    sizes = [MAX_RECORD_BYTES] * 3
    largest = records(client_hello(OK_NAME, (GREASE, bytes(room))), *sizes)
    assert len(largest) == MAX_HELLO_BYTES
    assert read(largest) == OK
    assert read(records(client_hello(OK_NAME, (GREASE, bytes(room + 1))), *sizes)) is NoHello.MALFORMED


def test_answer_comes_before_the_bytes_that_a_record_promises() -> None:
    assert read(b"\x16\x03\x01\x00\x00") is NoHello.MALFORMED
    assert read(records(client_hello(kind=2), 1)[:6]) is NoHello.MALFORMED


STREAMS = [stream for stream, _ in GOOD.values()] + [*MALFORMED.values(), *NOT_TLS.values()]


@st.composite
def cut_streams(draw: st.DrawFn) -> tuple[bytes, list[bytes]]:
    """A stream, perhaps with bytes changed, and the same one cut into pieces."""
    stream = bytearray(draw(st.sampled_from(STREAMS)))
    for at, byte in draw(
        st.lists(st.tuples(st.integers(0, len(stream) - 1), st.integers(0, 255)), max_size=3)
    ):
        stream[at] = byte
    cuts = sorted({0, len(stream), *draw(st.lists(st.integers(0, len(stream)), max_size=20))})
    return bytes(stream), [bytes(stream[a:b]) for a, b in pairwise(cuts)]


@given(cut_streams())
def test_l10_answer_is_the_same_wherever_the_stream_is_cut(cut: tuple[bytes, list[bytes]]) -> None:
    stream, pieces = cut
    assert read_in_pieces(pieces) == read(stream)


@given(st.binary(max_size=400))
def test_any_bytes_get_an_answer(stream: bytes) -> None:
    assert isinstance(read(stream), Hello | NoHello)


@given(st.binary(max_size=400), st.sampled_from([b"\x01", b"\x02"]))
def test_any_message_in_a_record_gets_a_final_answer(body: bytes, kind: bytes) -> None:
    assert read(records(kind + prefixed(body, 3))) is not NoHello.INCOMPLETE


@given(st.binary(max_size=200))
def test_any_extensions_get_a_final_answer(content: bytes) -> None:
    answer = read(records(client_hello(block=prefixed(content, 2))))
    assert isinstance(answer, Hello) or answer in (NoHello.MALFORMED, NoHello.BAD_NAME)
