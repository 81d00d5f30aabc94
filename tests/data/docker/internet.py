"""What containers can reach beyond the host: a name server, web servers, and a service of the host.

internet.py NAME_SERVER WEB CERTIFICATE: prints what the name server is asked, and answers with WEB
for every name below example.com, example.net and example.org.
"""

import http.server
import socket
import socketserver
import ssl
import sys
import threading

NAME_SERVER, WEB, CERTIFICATE = sys.argv[1:]
KNOWN = ("example.com", "example.net", "example.org")
A = b"\x00\x01"


class NameServer(socketserver.BaseRequestHandler):
    def handle(self) -> None:
        message, sock = self.request
        labels, place = [], 12
        while message[place]:
            labels.append(message[place + 1 : place + 1 + message[place]].decode("ascii", "replace"))
            place += 1 + message[place]
        name, kind = ".".join(labels), message[place + 1 : place + 3]
        print("asked:", name, flush=True)
        known = name.endswith(KNOWN)
        answers = known and kind == A
        head = message[:2] + (b"\x81\x80" if known else b"\x81\x83") + b"\x00\x01"
        head += (b"\x00\x01" if answers else b"\x00\x00") + bytes(4)
        answer = b"\xc0\x0c" + A + b"\x00\x01\x00\x00\x00\x3c\x00\x04" + socket.inet_aton(WEB)
        sock.sendto(head + message[12 : place + 5] + (answer if answers else b""), self.client_address)


class Web(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Length", "6")
        self.end_headers()
        self.wfile.write(b"hello\n")

    do_HEAD = do_GET

    def log_message(self, *args: object) -> None:
        pass


class Greeter(socketserver.BaseRequestHandler):
    def handle(self) -> None:
        self.request.sendall(b"host")


def serve(server: socketserver.BaseServer) -> None:
    threading.Thread(target=server.serve_forever, daemon=True).start()


context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain(CERTIFICATE)
secure = http.server.ThreadingHTTPServer((WEB, 443), Web)
secure.socket = context.wrap_socket(secure.socket, server_side=True, do_handshake_on_connect=False)
serve(secure)
serve(http.server.ThreadingHTTPServer((WEB, 80), Web))
serve(socketserver.ThreadingUDPServer((NAME_SERVER, 53), NameServer))
greeter = socketserver.ThreadingTCPServer(("0.0.0.0", 8099), Greeter)
print("serving", flush=True)
greeter.serve_forever()
