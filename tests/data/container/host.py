"""Services of the host, on all its addresses: TCP 8099, and a name server that prints what it is asked."""

import socketserver
import threading


class Greeter(socketserver.BaseRequestHandler):
    def handle(self) -> None:
        self.request.sendall(b"host")


class NameServer(socketserver.BaseRequestHandler):
    def handle(self) -> None:
        message, sock = self.request
        labels, place = [], 12
        while message[place]:
            labels.append(message[place + 1 : place + 1 + message[place]].decode("ascii", "replace"))
            place += 1 + message[place]
        print("asked:", ".".join(labels), flush=True)
        refused = message[:2] + b"\x81\x85" + message[4:6] + bytes(6) + message[12:]
        sock.sendto(refused, self.client_address)


names = socketserver.ThreadingUDPServer(("0.0.0.0", 53), NameServer)
threading.Thread(target=names.serve_forever, daemon=True).start()
greeter = socketserver.ThreadingTCPServer(("0.0.0.0", 8099), Greeter)
print("serving", flush=True)
greeter.serve_forever()
