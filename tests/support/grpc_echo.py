"""A gRPC server over TLS with one method that answers what it is told, and a program that calls it."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from importlib import import_module

import trustme

CALL = """
import sys, grpc
target, authority = sys.argv[1:]
with open(authority, "rb") as bundle:
    credentials = grpc.ssl_channel_credentials(bundle.read())
with grpc.secure_channel(target, credentials) as channel:
    call = channel.unary_unary("/test.Echo/Say", lambda text: text.encode(), lambda data: data.decode())
    try:
        print(call("hello", timeout=20))
    except grpc.RpcError as error:
        sys.exit(error.details())
"""


@contextmanager
def echo_server(authority: trustme.CA) -> Iterator[int]:
    """Serve one method that answers what it is told."""
    grpc = import_module("grpc")  # not needed by those who only name this module
    certificate = authority.issue_cert("ok.test", "evil.test")
    key, chain = certificate.private_key_pem.bytes(), certificate.cert_chain_pems[0].bytes()
    handlers = {"Say": grpc.unary_unary_rpc_method_handler(lambda request, context: request)}
    server = grpc.server(ThreadPoolExecutor(2))
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("test.Echo", handlers),))
    port: int = server.add_secure_port("127.0.0.1:0", grpc.ssl_server_credentials([(key, chain)]))
    server.start()
    try:
        yield port
    finally:
        server.stop(None).wait()
