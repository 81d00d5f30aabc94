"""The control API: HTTP and JSON over a unix socket, or over TCP with a token.

``operations.py`` is the one list of what there is: the routes and the OpenAPI document are
both made from it. ``server.start`` serves it. Everything is loaded late, by gateways alone.
"""
