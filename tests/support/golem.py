"""A requestor and a provider of Golem's: X.509 chains, Golem certificates, demands that they sign."""

from __future__ import annotations

import base64
import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID

from jobgate.integrations.golem import manifest
from jobgate.integrations.golem.certificate import CERTIFICATE_SCHEMA, DESCRIPTOR_SCHEMA, canonical

NOW = datetime(2026, 6, 1, tzinfo=UTC)
NODE_ID = "0x338e02f29b63155beec8253af7ad367dd44b40c6"
YEAR = timedelta(days=365)

Key = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey | ed25519.Ed25519PrivateKey


@dataclass(frozen=True, slots=True)
class Signer:
    """A certificate with its key, and those above it, the nearest first."""

    certificate: x509.Certificate
    key: Key
    above: tuple[x509.Certificate, ...] = ()

    def pem(self) -> bytes:
        """The chain up to, and without, the root; the signer last, as Golem's tools write it."""
        chain = [*reversed(self.above[:-1]), self.certificate]
        return b"".join(link.public_bytes(Encoding.PEM) for link in chain)


def issue(
    name: str,
    issuer: Signer | None = None,
    *,
    ca: bool | None = True,
    sign_certificates: bool | None = None,
    days: tuple[int, int] = (-100, 100),
    key: Key | None = None,
    serial: int | None = None,
) -> Signer:
    """Make a certificate.

    Args:
        name: Common name.
        issuer: ``None``: it signs itself.
        ca: Of the basic constraints; ``None``: it has none.
        sign_certificates: Of the key usage; ``None``: it has none.
        days: From when and until when it is valid, around ``NOW``.
        key: Of its own; by default on P-256, which is quick to make.
        serial: Number; by default a random one.
    """
    key = key or ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer.certificate.subject if issuer else subject)
        .public_key(key.public_key())
        .serial_number(serial or x509.random_serial_number())
        .not_valid_before(NOW + timedelta(days=days[0]))
        .not_valid_after(NOW + timedelta(days=days[1]))
    )
    if ca is not None:
        builder = builder.add_extension(x509.BasicConstraints(ca=ca, path_length=None), critical=True)
    if sign_certificates is not None:
        builder = builder.add_extension(_usage(sign_certificates), critical=True)
    with_key = issuer.key if issuer else key
    digest = None if isinstance(with_key, ed25519.Ed25519PrivateKey) else hashes.SHA256()
    certificate = builder.sign(with_key, digest)
    return Signer(certificate, key, (issuer.certificate, *issuer.above) if issuer else ())


def _usage(sign_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=True,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=sign_certificates,
        crl_sign=False,
        encipher_only=False,
        decipher_only=False,
    )


def payload(out: object) -> str:
    """A manifest with this ``net.inet.out``, in base64."""
    document = {"version": "0.1.0", "compManifest": {"net": {"inet": {"out": out}}}}
    return base64.b64encode(json.dumps(document).encode()).decode()


def sign(text: str, signer: Signer, algorithm: str = "sha256") -> manifest.Signed:
    """Sign a payload."""
    digest = {"sha256": hashes.SHA256(), "sha512": hashes.SHA512(), "sha1": hashes.SHA1()}[algorithm]  # noqa: S303
    if isinstance(signer.key, rsa.RSAPrivateKey):
        signature = signer.key.sign(text.encode(), padding.PKCS1v15(), digest)
    elif isinstance(signer.key, ec.EllipticCurvePrivateKey):
        signature = signer.key.sign(text.encode(), ec.ECDSA(digest))
    else:
        signature = signer.key.sign(text.encode())
    return manifest.Signed(
        text, base64.b64encode(signature).decode(), algorithm, base64.b64encode(signer.pem()).decode()
    )


def demand(
    urls: Sequence[str] | None = None,
    *,
    out: object = None,
    signer: Signer | None = None,
    spoiled: bool = False,
    descriptor: object = None,
    requestor: str = NODE_ID,
) -> dict[str, object]:
    """A demand, as a provider gets it from the market.

    Args:
        urls: Of ``net.inet.out``.
        out: The whole of it, instead.
        signer: Signs it; ``None``: nobody does.
        spoiled: The signature is one of another payload.
        descriptor: Of the node.
        requestor: Who sent it.
    """
    text = payload({"urls": list(urls)} if urls is not None else out)
    properties: dict[str, object] = {manifest.PAYLOAD: text}
    if signer is not None:
        signed = sign(payload({"urls": []}) if spoiled else text, signer)
        properties |= {
            manifest.SIGNATURE: signed.signature,
            manifest.ALGORITHM: signed.algorithm,
            manifest.CERTIFICATE: signed.certificate,
        }
    if descriptor is not None:
        properties[manifest.NODE_DESCRIPTOR] = json.dumps(descriptor)
    return {"properties": properties, "requestorId": requestor}


@dataclass(frozen=True, slots=True)
class GolemSigner:
    """A Golem certificate with its key."""

    document: dict[str, object]
    key: ed25519.Ed25519PrivateKey


def certify(
    issuer: GolemSigner | None = None,
    *,
    permissions: object = "all",
    usage: object = "all",
    period: tuple[datetime, datetime] = (NOW - YEAR, NOW + YEAR),
) -> GolemSigner:
    """Make a Golem certificate; without an issuer it signs itself."""
    key = ed25519.Ed25519PrivateKey.generate()
    body = {
        "validityPeriod": _period(period),
        "keyUsage": usage,
        "permissions": permissions,
        "subject": {"displayName": "Ünïcode partner", "contact": {"email": "partner@example.net"}},
        "publicKey": {"algorithm": "EdDSA", "key": key.public_key().public_bytes_raw().hex()},
    }
    return GolemSigner(
        {
            "$schema": CERTIFICATE_SCHEMA,
            "certificate": body,
            "signature": _signature(body, issuer.key if issuer else key, issuer),
        },
        key,
    )


def describe(
    signer: GolemSigner,
    *,
    node_id: str = NODE_ID,
    permissions: object = None,
    period: tuple[datetime, datetime] = (NOW - YEAR, NOW + YEAR),
) -> dict[str, object]:
    """Make a node descriptor."""
    body = {"nodeId": node_id, "validityPeriod": _period(period), "permissions": permissions or {}}
    return {
        "$schema": DESCRIPTOR_SCHEMA,
        "nodeDescriptor": body,
        "signature": _signature(body, signer.key, signer),
    }


def _signature(
    body: dict[str, object], key: ed25519.Ed25519PrivateKey, signer: GolemSigner | None
) -> dict[str, object]:
    return {
        "algorithm": {"hash": "sha512", "encryption": "EdDSA"},
        "value": key.sign(canonical(body)).hex(),
        "signer": signer.document if signer else "self",
    }


def _period(period: tuple[datetime, datetime]) -> dict[str, str]:
    begin, end = (moment.isoformat().replace("+00:00", "Z") for moment in period)
    return {"notBefore": begin, "notAfter": end}
