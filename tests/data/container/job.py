"""What the job tries, one attempt a call.

job.py fetch URL | connect ADDRESS PORT | resolve NAME | query ADDRESS NAME
"""

import socket
import ssl
import sys
import urllib.error
import urllib.request

PATIENCE_S = 3.0


def fetch(url: str) -> str:
    context = ssl.create_default_context(cafile="/certificates/ca.pem")
    try:
        with urllib.request.urlopen(url, timeout=10, context=context) as response:
            return f"{response.status} {response.read().decode()}"
    except urllib.error.URLError as error:
        return str(error.reason)


def connect(address: str, port: str) -> str:
    try:
        with socket.create_connection((address, int(port)), timeout=PATIENCE_S):
            return "connected"
    except OSError as error:
        return f"failed: {error}"


def resolve(name: str) -> str:
    try:
        return str(socket.getaddrinfo(name, 443)[0][4][0])
    except OSError as error:
        return f"failed: {error}"


def query(address: str, name: str) -> str:
    labels = b"".join(bytes([len(label)]) + label.encode() for label in name.split("."))
    message = b"\x00\x01\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00" + labels + b"\x00\x00\x01\x00\x01"
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.settimeout(PATIENCE_S)
        try:
            sock.sendto(message, (address, 53))
            return f"answered: {sock.recv(512)!r}"
        except OSError as error:
            return f"failed: {error}"


match sys.argv[1:]:
    case ["fetch", url]:
        print(fetch(url))
    case ["connect", address, port]:
        print(connect(address, port))
    case ["resolve", name]:
        print(resolve(name))
    case ["query", address, name]:
        print(query(address, name))
