"""Golem's own certificates and node descriptors: JSON, signed with Ed25519 over its canonical form.

A descriptor names a node and what it may reach; the certificates above it may only have
allowed at least as much, for at least as long. Whom to trust is the caller's to say, by
fingerprint: this only tells that a chain is sound.

Source: golem-certificate, src/validator.rs, src/cryptography.rs, src/schemas/; RFC 8785 (canonical form),
RFC 8032 (Ed25519).
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import NamedTuple

from .permissions import BadPermissions, Permissions, read_permissions

_SCHEMAS = "https://schemas.golem.network/v1"
CERTIFICATE_SCHEMA = f"{_SCHEMAS}/certificate.schema.json"
DESCRIPTOR_SCHEMA = f"{_SCHEMAS}/node-descriptor.schema.json"

#: Golem's own chains have three.
_MAX_CHAIN = 16
_USAGES = frozenset(("signCertificate", "signManifest", "signNode"))
#: Beyond, a number is not the same for all readers of JSON (RFC 8785 §3.2.2.3).
_MAX_INTEGER = 2**53 - 1


class CertificateError(ValueError):
    """A certificate or descriptor that proves nothing; the message says why."""


class Period(NamedTuple):
    """When something is valid."""

    begin: datetime
    end: datetime

    def covers(self, other: Period) -> bool:
        """Say whether the other one lies within."""
        return self.begin <= other.begin and other.end <= self.end


@dataclass(frozen=True, slots=True)
class Certificate:
    """One certificate of a chain, not verified by itself.

    Attributes:
        usages: What its key may sign.
        fingerprint: SHA-512 of the canonical form, in hexadecimal digits.
    """

    public_key: bytes
    permissions: Permissions
    usages: frozenset[str]
    period: Period
    fingerprint: str


@dataclass(frozen=True, slots=True)
class NodeDescriptor:
    """A descriptor that was verified.

    Attributes:
        node_id: In lower case.
        fingerprints: Of the certificates, that which signed it first, the root last.
    """

    node_id: str
    permissions: Permissions
    fingerprints: tuple[str, ...]


def canonical(value: object) -> bytes:
    """Write JSON in the form that is signed.

    Raises:
        CertificateError: A fraction, a number that is too large, or half a surrogate pair.

    Source: RFC 8785 §3.2. Certificates have no fractions, so none is written.
    """
    _check_numbers(value)
    try:
        text = json.dumps(_sorted(value), ensure_ascii=False, separators=(",", ":"))
        return text.encode("utf-8")
    except UnicodeEncodeError:
        raise CertificateError("half a surrogate pair inside") from None


def verify_descriptor(document: object, now: datetime) -> NodeDescriptor:
    """Verify a node descriptor and the chain that signed it, up to its self-signed root.

    Raises:
        CertificateError: Anything is malformed, not signed, out of its time, or wider than above it.
    """
    try:
        return _verify_descriptor(document, now)
    except BadPermissions as error:
        raise CertificateError(str(error)) from None


def _verify_descriptor(document: object, now: datetime) -> NodeDescriptor:
    signed = _table(document, "node descriptor")
    _check_schema(signed, DESCRIPTOR_SCHEMA, "node descriptor")
    body = _table(signed.get("nodeDescriptor"), "nodeDescriptor")
    signature = _table(signed.get("signature"), "signature")
    chain = _verify_chain(signature.get("signer"))
    signer = chain[0]
    _check_signature(body, signature, signer.public_key)
    permissions, period = read_permissions(body.get("permissions")), _period(body)
    if "signNode" not in signer.usages:
        raise CertificateError("the certificate may not sign nodes")
    _check_narrowing(signer, permissions, period)
    if not period.begin <= now <= period.end:
        raise CertificateError("the node descriptor is not valid at this time")
    node_id = body.get("nodeId")
    if not isinstance(node_id, str):
        raise CertificateError("nodeId: expected a text")
    return NodeDescriptor(node_id.lower(), permissions, tuple(link.fingerprint for link in chain))


def _verify_chain(document: object) -> list[Certificate]:
    """Verify each certificate by the one above it; the last one signs itself."""
    chain: list[Certificate] = []
    below: tuple[Mapping[str, object], Mapping[str, object]] | None = None
    while len(chain) < _MAX_CHAIN:
        signed = _table(document, "certificate")
        _check_schema(signed, CERTIFICATE_SCHEMA, "certificate")
        body = _table(signed.get("certificate"), "certificate")
        signature = _table(signed.get("signature"), "signature")
        certificate = _certificate(body)
        if below is not None:
            _check_signature(*below, certificate.public_key)
            _check_issuer(certificate, chain[-1])
        chain.append(certificate)
        document, below = signature.get("signer"), (body, signature)
        if document == "self":
            _check_signature(body, signature, certificate.public_key)
            return chain
    raise CertificateError(f"more than {_MAX_CHAIN} certificates")


def _check_issuer(issuer: Certificate, child: Certificate) -> None:
    if "signCertificate" not in issuer.usages:
        raise CertificateError("a certificate of the chain may not sign certificates")
    if not child.usages <= issuer.usages:
        raise CertificateError("a certificate may be used for more than its issuer")
    _check_narrowing(issuer, child.permissions, child.period)


def _check_narrowing(issuer: Certificate, permissions: Permissions, period: Period) -> None:
    if not issuer.permissions.covers(permissions):
        raise CertificateError("permissions are wider than those of the issuer")
    if not issuer.period.covers(period):
        raise CertificateError("the time is longer than that of the issuer")


def _check_signature(body: Mapping[str, object], signature: Mapping[str, object], public_key: bytes) -> None:
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

    algorithm = _table(signature.get("algorithm"), "signature.algorithm")
    if algorithm.get("hash") != "sha512" or algorithm.get("encryption") not in ("EdDSA", "EdDSAOpenPGP"):
        raise CertificateError("signature.algorithm: only EdDSA with sha512")
    data = canonical(body)
    if algorithm["encryption"] == "EdDSAOpenPGP":  # RFC 4880 §5.2.4: smart cards sign the hash
        data = hashlib.sha512(data).digest()
    try:
        Ed25519PublicKey.from_public_bytes(public_key).verify(_hex(signature, "value"), data)
    except InvalidSignature:
        raise CertificateError("invalid signature") from None


def _certificate(body: Mapping[str, object]) -> Certificate:
    key = _table(body.get("publicKey"), "publicKey")
    if key.get("algorithm") not in ("EdDSA", "EdDSAOpenPGP"):
        raise CertificateError("publicKey: only EdDSA")
    public_key = _hex(key, "key")
    if len(public_key) != 32:
        raise CertificateError("publicKey: an Ed25519 key has 32 bytes")
    return Certificate(
        public_key,
        read_permissions(body.get("permissions")),
        _usages(body.get("keyUsage")),
        _period(body),
        hashlib.sha512(canonical(body)).hexdigest(),
    )


def _usages(value: object) -> frozenset[str]:
    if value == "all":
        return _USAGES
    if not isinstance(value, list) or not all(isinstance(usage, str) for usage in value):
        raise CertificateError('keyUsage: expected "all" or a list')
    return frozenset(value)


def _period(body: Mapping[str, object]) -> Period:
    table = _table(body.get("validityPeriod"), "validityPeriod")
    return Period(_moment(table.get("notBefore")), _moment(table.get("notAfter")))


def _moment(value: object) -> datetime:
    try:
        moment = datetime.fromisoformat(value) if isinstance(value, str) else None
    except ValueError:
        moment = None
    if moment is None:
        raise CertificateError("validityPeriod: expected times (RFC 3339)")
    return moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)


def _check_schema(document: Mapping[str, object], schema: str, what: str) -> None:
    if document.get("$schema") != schema:
        raise CertificateError(f"{what}: expected $schema {schema}")


def _table(value: object, what: str) -> Mapping[str, object]:
    if not isinstance(value, dict):
        raise CertificateError(f"{what}: expected an object")
    return value


def _hex(table: Mapping[str, object], key: str) -> bytes:
    value = table.get(key)
    try:
        return bytes.fromhex(value) if isinstance(value, str) else b""
    except ValueError:
        raise CertificateError(f"{key}: expected hexadecimal digits") from None


def _check_numbers(value: object) -> None:
    if isinstance(value, float) or (isinstance(value, int) and abs(value) > _MAX_INTEGER):
        raise CertificateError("numbers in a certificate are whole and below 2^53")
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, list):
        for member in value:
            _check_numbers(member)


def _sorted(value: object) -> object:
    """Order keys by their UTF-16 code units (RFC 8785 §3.2.3)."""
    if isinstance(value, dict):
        ordered = sorted(value.items(), key=lambda item: item[0].encode("utf-16-be", "surrogatepass"))
        return {key: _sorted(member) for key, member in ordered}
    return [_sorted(member) for member in value] if isinstance(value, list) else value
