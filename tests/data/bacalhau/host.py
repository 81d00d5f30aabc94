"""A Bacalhau node's host, or the world beyond it: services on all addresses.

Ports 80 and 8000 are an origin that answers with the path asked for, or with the job's id if the
path is ``/job``; 443 is the same over TLS; 1234 stands for Bacalhau's API, which nobody should
reach. The name server, on the one address that containers ask, answers from its table and prints
what it is asked.

host.py PUBLIC HOST CERTIFICATE NAME_SERVER
"""

import socketserver
import ssl
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

PUBLIC, HOST = sys.argv[1:3]
NAMES = {"example.com": PUBLIC, "allowed.demo.test": PUBLIC, "inside.example.com": HOST}


class Origin(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        ids = self.headers.get_all("X-Bacalhau-Job-ID") or []
        body = (",".join(ids) if self.path == "/job" else self.path).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args: object) -> None:
        print("served:", self.request.getsockname()[1], self.path, flush=True)


class NameServer(socketserver.BaseRequestHandler):
    def handle(self) -> None:
        message, sock = self.request
        labels, place = [], 12
        while message[place]:
            labels.append(message[place + 1 : place + 1 + message[place]].decode("ascii", "replace"))
            place += 1 + message[place]
        name, end = ".".join(labels).lower(), place + 5
        print("asked:", name, flush=True)
        kind = message[place + 1 : place + 3]
        address = NAMES.get(name)
        answers = address is not None and kind == b"\x00\x01"
        code = b"\x81\x80" if address is not None else b"\x81\x83"
        reply = message[:2] + code + b"\x00\x01" + (b"\x00\x01" if answers else b"\x00\x00") + bytes(4)
        reply += message[12:end]
        if answers and address is not None:
            reply += b"\xc0\x0c\x00\x01\x00\x01\x00\x00\x00\x3c\x00\x04"
            reply += bytes(int(part) for part in address.split("."))
        sock.sendto(reply, self.client_address)


def serve(port: int, context: ssl.SSLContext | None = None) -> None:
    server = ThreadingHTTPServer(("0.0.0.0", port), Origin)
    if context is not None:
        server.socket = context.wrap_socket(server.socket, server_side=True)
    threading.Thread(target=server.serve_forever, daemon=True).start()


context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain(sys.argv[3])
for port in (80, 8000, 1234):
    serve(port)
serve(443, context)
names = socketserver.ThreadingUDPServer((sys.argv[4], 53), NameServer)
print("serving", flush=True)
names.serve_forever()
