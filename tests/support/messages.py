"""Bytes of requests, as a client would write them."""

from __future__ import annotations


def head(line: str, *fields: str) -> bytes:
    """Return a head: a request-line and fields, each without its line end."""
    return "\r\n".join([line, *fields, "", ""]).encode("latin-1")


def absolute(url: str, *fields: str, method: str = "GET", minor: int = 1) -> bytes:
    """Return a request in absolute-form with a Host of the URL."""
    authority = url.split("/")[2]
    return head(f"{method} {url} HTTP/1.{minor}", f"Host: {authority}", *fields)


def post(url: str, content: bytes, *fields: str) -> bytes:
    """Return a POST with a Content-Length."""
    return absolute(url, f"Content-Length: {len(content)}", *fields, method="POST") + content


def connect(authority: str, *fields: str, minor: int = 1) -> bytes:
    """Return a CONNECT with a Host of its authority."""
    return head(f"CONNECT {authority} HTTP/1.{minor}", f"Host: {authority}", *fields)


def ok(content: bytes = b"", *fields: str) -> bytes:
    """Return a 200 with a Content-Length."""
    return head("HTTP/1.1 200 OK", f"Content-Length: {len(content)}", *fields) + content
