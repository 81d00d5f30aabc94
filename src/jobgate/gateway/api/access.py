"""Who may use the API: a token where one is set; no page of another origin, no name that was rebound."""

from __future__ import annotations

import hmac
import os
import re
import stat
from collections.abc import Callable, Mapping
from hashlib import sha256
from http import HTTPStatus
from ipaddress import ip_address

from .problems import ApiProblem

#: Shorter ones can be guessed.
MIN_TOKEN_CHARS = 16
_MAX_TOKEN_BYTES = 4096
_TOKEN = re.compile(r"[!-~]+")
_HOST = re.compile(r"(?:\[(?P<bracketed>[^\[\]]+)\]|(?P<plain>[^:\[\]]+))(?::[0-9]*)?")
_OTHERS = stat.S_IRWXG | stat.S_IRWXO
_READING = frozenset({"GET", "HEAD", "OPTIONS"})


class TokenError(Exception):
    """A token file that cannot be used; the text says which and why, and shows none of it."""


def read_token(path: str) -> str:
    """Read the token of the API: the one line of a file that its owner alone can read.

    Raises:
        TokenError: It cannot be read, others can read it, or it holds no token worth the name.
    """
    try:
        # O_NONBLOCK: a FIFO is an error, not a wait.
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        raise TokenError(f"{path}: cannot be read: {error.strerror}") from error
    with open(descriptor, "rb") as file:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            raise TokenError(f"{path}: not a file")
        if status.st_mode & _OTHERS:
            mode = stat.S_IMODE(status.st_mode)
            raise TokenError(f"{path}: others can read it (mode {mode:04o}): chmod 600 {path}")
        text = file.read(_MAX_TOKEN_BYTES + 1).decode("ascii", "replace").strip()
    if not _TOKEN.fullmatch(text) or not MIN_TOKEN_CHARS <= len(text) <= _MAX_TOKEN_BYTES:
        raise TokenError(
            f"{path}: expected one line of at least {MIN_TOKEN_CHARS} visible ASCII characters, "
            "as of: openssl rand -hex 32"
        )
    return text


class Guard:
    """Judges each request by its head, before anything is done for it.

    Args:
        token: What ``Authorization`` must bear; ``None``: whoever can connect may do everything, but
            for pages in browsers, which only read.
        is_network: It listens on TCP.
        is_public: Tells paths that need no token.
    """

    def __init__(self, token: str | None, *, is_network: bool, is_public: Callable[[str], bool]) -> None:
        self._digest = None if token is None else _digest(token)
        self._is_network = is_network
        self._is_public = is_public

    def check(self, method: str, path: str, headers: Mapping[str, str]) -> None:
        """Let a request pass.

        Raises:
            ApiProblem: It may not: 403 for its origin, 401 for its token.
        """
        _check_host(headers.get("Host", ""), is_network=self._is_network)
        if method not in _READING:
            _check_origin(headers, has_token=self._digest is not None)
        if self._digest is not None and not self._is_public(path):
            self._check_token(headers.get("Authorization", ""), self._digest)

    def _check_token(self, authorization: str, digest: bytes) -> None:
        scheme, _, shown = authorization.partition(" ")
        if scheme.lower() != "bearer":
            raise _unauthorized(
                "This needs the token of the control API: send Authorization: Bearer TOKEN, or give jobgate "
                "the file with --control-token-file.",
                "",
            )
        # Equal digests of equal length: the time tells nothing of where they differ.
        if not hmac.compare_digest(_digest(shown.strip()), digest):
            raise _unauthorized(
                "This is not the token in the gateway's control_token_file.", ', error="invalid_token"'
            )


def _digest(token: str) -> bytes:
    return sha256(token.encode("utf-8", "surrogateescape")).digest()


_BROWSER_ONLY_READS = (
    "A page in a browser only reads here: set control_token_file in [listen] and use its token, "
    "or make the change with jobgate jobs."
)


def _unauthorized(detail: str, error: str) -> ApiProblem:
    headers = {"WWW-Authenticate": f'Bearer realm="jobgate"{error}'}  # RFC 6750 §3
    return ApiProblem(HTTPStatus.UNAUTHORIZED, "unauthorized", detail, headers=headers)


def _check_host(host: str, *, is_network: bool) -> None:
    """Refuse names: one that leads here may be another's, and a page below it would be of our origin.

    An address cannot be rebound, and ``localhost`` is never looked up by browsers. Clients of a unix
    socket write any word; nobody but a browser on a forwarded port ("ssh -L 8080:/run/jobgate/control.sock")
    writes a name with a dot there.
    """
    match = _HOST.fullmatch(host)
    name = "" if match is None else match["bracketed"] or match["plain"]
    if name.lower() == "localhost" or not (is_network or "." in host):
        return
    try:
        ip_address(name)
    except ValueError:
        detail = "The control API is reached by its address, or as localhost, and by no other name."
        raise ApiProblem(HTTPStatus.FORBIDDEN, "host", detail) from None


def _check_origin(headers: Mapping[str, str], *, has_token: bool) -> None:
    """Refuse changes that a page has its visitor's browser make, unless it is our own page with a token.

    Source: Fetch Standard §3.2 (Origin), Fetch Metadata (Sec-Fetch-Site).
    """
    origin, site = headers.get("Origin"), headers.get("Sec-Fetch-Site")
    if origin is None and site is None:
        return
    is_foreign = origin is not None and origin.partition("://")[2] != headers.get("Host")
    if is_foreign or site not in (None, "none", "same-origin"):
        detail = "A page of another origin cannot change anything here."
        raise ApiProblem(HTTPStatus.FORBIDDEN, "origin", detail)
    if not has_token:
        raise ApiProblem(HTTPStatus.FORBIDDEN, "no-token", _BROWSER_ONLY_READS)
