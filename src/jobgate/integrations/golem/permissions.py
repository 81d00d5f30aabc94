"""What a Golem certificate allows: everything, or outbound URLs; a child may only narrow its parent. Pure.

Source: golem-certificate, src/schemas/permissions.rs and its validator/outbound.rs.
"""

from __future__ import annotations

from dataclasses import dataclass

from jobgate.config.policy import Network

from .manifest import Outbound
from .urls import UrlError, parse_url


class BadPermissions(ValueError):
    """Permissions that are malformed, or wider than those of the issuer."""


@dataclass(frozen=True, slots=True)
class Permissions:
    """What a certificate allows.

    Attributes:
        everything: ``"all"``, what is added to Golem's permissions later included.
        unrestricted: Any URL.
        urls: Those, in the form in which they are compared; ``None``: nothing about outbound is
            said, so none.
    """

    everything: bool = False
    unrestricted: bool = False
    urls: frozenset[str] | None = None

    @property
    def outbound(self) -> bool:
        """Whether outbound is allowed in any form."""
        return self.everything or self.unrestricted or self.urls is not None

    def covers(self, child: Permissions) -> bool:
        """Say whether a child's permissions are no wider than these."""
        if self.everything or not child.outbound:
            return True
        if child.everything or not self.outbound:
            return False
        if self.unrestricted:
            return True
        return not child.unrestricted and (child.urls or frozenset()) <= (self.urls or frozenset())

    def problem(self, asked: Outbound) -> str | None:
        """Say why a manifest asks for more; ``None`` if it does not."""
        if self.everything or self.unrestricted:
            return None
        if self.urls is None:
            return "No outbound permissions"
        if asked.network is Network.FULL:
            return "Manifest tries to use Unrestricted access, but certificate allows only for specific urls"
        outside = [url.text for url in asked.urls if url.text not in self.urls]
        return f"Partner rule forbidden url requested: {', '.join(outside)}" if outside else None


def read_permissions(value: object) -> Permissions:
    """Read ``"all"``, ``{}``, ``{"outbound": "unrestricted"}`` or ``{"outbound": {"urls": [...]}}``.

    Raises:
        BadPermissions: Anything else.
    """
    if value == "all":
        return Permissions(everything=True)
    if not isinstance(value, dict):
        raise BadPermissions('permissions: expected "all" or an object')
    outbound = value.get("outbound")
    if outbound is None:
        return Permissions()
    if outbound == "unrestricted":
        return Permissions(unrestricted=True)
    urls = outbound.get("urls") if isinstance(outbound, dict) and set(outbound) == {"urls"} else None
    if not isinstance(urls, list):
        raise BadPermissions('permissions.outbound: expected "unrestricted" or {"urls": [...]}')
    try:
        return Permissions(urls=frozenset(parse_url(_text(url)).text for url in urls))
    except UrlError as error:
        raise BadPermissions(f"permissions.outbound.urls: {error}") from None


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise UrlError("expected a text")
    return value
