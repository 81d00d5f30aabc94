"""Ways out of a namespace, tried; and what arrives at the other end. Standard library only.

way_out.py try UID INTERFACE IPV4 IPV6      prints {"attempt": "ok" or the error's name}
way_out.py watch INTERFACE                  prints a word for each attempt that arrives, until told to end
"""

from __future__ import annotations

import errno
import json
import os
import select
import socket
import struct
import sys
from collections.abc import Callable

UDP_PORT, TCP_PORT = 5353, 8080
TCP_TIMEOUT_S = 10.0
_PING4, _PING6 = b"\x08\0\xf7\xff\0\0\0\0", b"\x80\0\0\0\0\0\0\0"
_RAW_PROTOCOL = 253  # for experiments (RFC 3692)
_ETH_P_ALL, _ETH_P_IP, _ETH_P_IPV6 = 0x0003, 0x0800, 0x86DD


#: Transports that a kernel may lack: type and protocol (linux/in.h).
OPTIONAL = {"mptcp": (socket.SOCK_STREAM, 262), "udplite": (socket.SOCK_DGRAM, 136)}
_MP_CAPABLE = b"\x1e\x04\x01"  # the option of its first segment (RFC 8684 §3.1)


def has(name: str) -> bool:
    """Whether this kernel knows a transport of ``OPTIONAL``."""
    try:
        socket.socket(socket.AF_INET, *OPTIONAL[name]).close()
    except OSError:
        return False
    return True


def word(name: str) -> bytes:
    """What a datagram of this attempt carries, so that it is known again."""
    return f"<way-out {name}>".encode()


def tcp(family: int, address: str, protocol: int = 0) -> None:
    with socket.socket(family, socket.SOCK_STREAM, protocol) as sock:
        sock.settimeout(TCP_TIMEOUT_S)
        sock.connect((address, TCP_PORT))


def datagram(family: int, kind: int, protocol: int, target: tuple[str, int], payload: bytes) -> None:
    with socket.socket(family, kind, protocol) as sock:
        sock.settimeout(TCP_TIMEOUT_S)
        sock.sendto(payload, target)


def packet(interface: str) -> None:
    """A whole frame of IPv4, past the hooks of IP."""
    with socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, socket.htons(_ETH_P_IP)) as sock:
        sock.sendto(word("packet"), (interface, _ETH_P_IP, 0, 0, b"\xff" * 6))


def attempts(interface: str, ipv4: str, ipv6: str) -> dict[str, Callable[[], None]]:
    """Every way out by its name."""
    v4, v6 = socket.AF_INET, socket.AF_INET6
    dgram, raw = socket.SOCK_DGRAM, socket.SOCK_RAW
    found = {
        "mptcp": lambda: tcp(v4, ipv4, OPTIONAL["mptcp"][1]),
        "udplite": lambda: datagram(v4, *OPTIONAL["udplite"], (ipv4, UDP_PORT), word("udplite")),
        "tcp4": lambda: tcp(v4, ipv4),
        "tcp6": lambda: tcp(v6, ipv6),
        "udp4": lambda: datagram(v4, dgram, 0, (ipv4, UDP_PORT), word("udp4")),
        "udp6": lambda: datagram(v6, dgram, 0, (ipv6, UDP_PORT), word("udp6")),
        "broadcast": lambda: broadcast(ipv4.rpartition(".")[0] + ".255"),
        "multicast6": lambda: datagram(v6, dgram, 0, (f"ff02::1%{interface}", UDP_PORT), word("multicast6")),
        "dns": lambda: datagram(v4, dgram, 0, (ipv4, 53), word("dns")),
        "ping4": lambda: datagram(v4, raw, socket.IPPROTO_ICMP, (ipv4, 0), _PING4 + word("ping4")),
        "ping6": lambda: datagram(v6, raw, socket.IPPROTO_ICMPV6, (ipv6, 0), _PING6 + word("ping6")),
        "raw4": lambda: datagram(v4, raw, _RAW_PROTOCOL, (ipv4, 0), word("raw4")),
        "raw6": lambda: datagram(v6, raw, _RAW_PROTOCOL, (ipv6, 0), word("raw6")),
        "own header": lambda: datagram(v4, raw, socket.IPPROTO_RAW, (ipv4, 0), header(ipv4)),
        "packet": lambda: packet(interface),
    }
    return {name: action for name, action in found.items() if name not in OPTIONAL or has(name)}


def broadcast(address: str) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
        sock.sendto(word("broadcast"), (address, UDP_PORT))


def header(ipv4: str) -> bytes:
    """A packet with an IP header of the program's own; the kernel fills in the source and the checksum."""
    payload = word("own header")
    length = 20 + len(payload)
    first = struct.pack("!BBHHHBBH4s4s", 0x45, 0, length, 0, 0, 64, 253, 0, bytes(4), socket.inet_aton(ipv4))
    return first + payload


def outcome(action: Callable[[], None]) -> str:
    try:
        action()
    except TimeoutError:
        return "timeout"
    except OSError as error:
        return errno.errorcode.get(error.errno or 0, str(error))
    return "ok"


def try_all(uid: int, interface: str, ipv4: str, ipv6: str) -> None:
    """Make every attempt as this user; root keeps all of its rights."""
    if uid:
        os.setgroups([])
        os.setresuid(uid, uid, uid)
    found = {name: outcome(action) for name, action in attempts(interface, ipv4, ipv6).items()}
    print(json.dumps(found))  # noqa: T201


def sign(frame: bytes) -> str:
    """The attempt that a frame is of; empty for what the kernels say to each other."""
    _, found, rest = frame.partition(b"<way-out ")
    if found:
        return rest.partition(b">")[0].decode()
    kind = int.from_bytes(frame[12:14], "big")
    if kind == _ETH_P_IP and frame[23] == socket.IPPROTO_TCP:
        return "mptcp" if _MP_CAPABLE in frame[54:] else "tcp4"
    if kind == _ETH_P_IPV6 and frame[20] == socket.IPPROTO_TCP:
        return "tcp6"
    return ""


def watch(interface: str) -> None:
    """Say what arrives, each once, and ``end`` when asked to end: all that came before has been said."""
    with socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(_ETH_P_ALL)) as sock:
        sock.bind((interface, 0))
        print("ready", flush=True)  # noqa: T201
        seen: set[str] = set()
        asked = False
        while not asked:
            readable, _, _ = select.select([sock, sys.stdin], [], [])
            asked = sys.stdin in readable
            while select.select([sock], [], [], 0)[0]:
                frame, (_, _, kind, *_) = sock.recvfrom(2048)
                if kind != socket.PACKET_OUTGOING:
                    seen.add(sign(frame))
        print(json.dumps(sorted(seen - {""})), flush=True)  # noqa: T201


if __name__ == "__main__":
    role, *rest = sys.argv[1:]
    if role == "watch":
        watch(*rest)
    else:
        try_all(int(rest[0]), *rest[1:])
