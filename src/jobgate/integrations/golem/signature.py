"""The signature of a manifest: X.509, checked up to a certificate that the provider keeps.

Source: yagna, utils/manifest-utils/src/keystore/x509_keystore.rs; RFC 5280 §6 by ``cryptography``.
"""

from __future__ import annotations

import hashlib
import warnings
from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING

from jobgate.config.rule import quoted

from ..documents import decode_base64
from .manifest import Signed

if TYPE_CHECKING:
    from cryptography import x509
    from cryptography.x509.verification import ExtensionPolicy, Policy

#: As OpenSSL spells them; SHA-1 and MD5 prove nothing.
_DIGESTS = {"sha256": "SHA256", "sha384": "SHA384", "sha512": "SHA512"}
_MAX_CHAIN = 16


class SignatureError(ValueError):
    """A signature that proves nothing; the message says why."""


def read_certificates(raw: bytes) -> list[x509.Certificate]:
    """Read one certificate in DER, or one or more in PEM.

    Raises:
        SignatureError: They are neither, or break RFC 5280 in a way that ``cryptography`` still bears with.
    """
    from cryptography import x509
    from cryptography.utils import CryptographyDeprecationWarning

    with warnings.catch_warnings():  # as versions to come will: a serial number of 0, for one
        warnings.simplefilter("error", CryptographyDeprecationWarning)
        try:
            if b"-----BEGIN" in raw:
                return x509.load_pem_x509_certificates(raw)
            return [x509.load_der_x509_certificate(raw)]
        except (ValueError, x509.InvalidVersion):
            raise SignatureError("no X.509 certificate") from None
        except CryptographyDeprecationWarning as error:
            broken = str(error).partition(". ")[0]
            raise SignatureError(f"no sound X.509 certificate: {broken}") from None


def certificate_id(certificate: x509.Certificate) -> str:
    """Name a certificate as Golem's rules do: SHA-512 of its DER form, in hexadecimal digits."""
    from cryptography.hazmat.primitives.serialization import Encoding

    return hashlib.sha512(certificate.public_bytes(Encoding.DER)).hexdigest()


def verify(signed: Signed, anchors: Sequence[x509.Certificate], now: datetime) -> list[str]:
    """Verify a signed payload.

    Args:
        signed: What the demand has. Signed is the payload as it stands there, in base64.
        anchors: The certificates that the provider keeps.
        now: When the chain has to be valid.

    Returns:
        The ids of the chain's certificates, the signer's first. ECDSA has two signatures of everything,
        so anybody can give a certificate another id: one that is kept is named as it is kept.

    Raises:
        SignatureError: The signature or the chain is not good.
        DocumentError: A part of it is no base64.
    """
    from cryptography.exceptions import UnsupportedAlgorithm

    signature = decode_base64(signed.signature, "signature")
    chain = read_certificates(decode_base64(signed.certificate, "certificate"))
    if len(chain) > _MAX_CHAIN:
        raise SignatureError(f"more than {_MAX_CHAIN} certificates")
    chain = list(dict.fromkeys(chain))
    try:
        leaf = _leaf(chain)
        path = _path(leaf, [link for link in chain if link != leaf], anchors, now)
        _check(leaf, signature, signed)
    except SignatureError:
        raise
    except (ValueError, TypeError, UnsupportedAlgorithm):  # names and keys are read when they are asked for
        raise SignatureError("a certificate cannot be read") from None
    kept = {anchor.tbs_certificate_bytes: anchor for anchor in anchors}
    return [certificate_id(kept.get(link.tbs_certificate_bytes, link)) for link in path]


def _leaf(chain: list[x509.Certificate]) -> x509.Certificate:
    """The certificate that issued none of the others, wherever it stands."""
    # cryptography before 49 tries every order of issuers of one name: a few are enough for hours.
    if len({link.subject for link in chain}) != len(chain):
        raise SignatureError("the certificates are no chain: two have one name")
    leaves = [
        link for link in chain if not any(other.issuer == link.subject and other != link for other in chain)
    ]
    if len(leaves) != 1:
        raise SignatureError("the certificates are no chain")
    return leaves[0]


def _path(
    leaf: x509.Certificate,
    between: list[x509.Certificate],
    anchors: Sequence[x509.Certificate],
    now: datetime,
) -> list[x509.Certificate]:
    """Find the way from the signer to a certificate that is kept, and on to those above it."""
    if not anchors:
        raise SignatureError("Unable to verify X509 certificate. No X509 certificates in keystore.")
    path = _verified(leaf, between, [anchor for anchor in anchors if anchor != leaf], now)
    if not path:
        if leaf not in anchors or not _is_valid(leaf, now):
            raise SignatureError("Unable to verify X509 certificate.")
        path = [leaf]  # kept itself: who issued it does not matter
    while len(path) <= _MAX_CHAIN:
        above = [anchor for anchor in anchors if anchor not in path and _issued(anchor, path[-1])]
        if not above or not _is_valid(above[0], now):
            break
        path.append(above[0])
    return path


def _verified(
    leaf: x509.Certificate, between: list[x509.Certificate], anchors: list[x509.Certificate], now: datetime
) -> list[x509.Certificate]:
    """Find the way by RFC 5280; empty: there is none."""
    from cryptography.x509.verification import PolicyBuilder, Store, VerificationError

    if not anchors:
        return []
    builder = PolicyBuilder().store(Store(anchors)).time(now).max_chain_depth(_MAX_CHAIN)
    issuer, signer = _extensions()
    verifier = builder.extension_policies(ca_policy=issuer, ee_policy=signer).build_client_verifier()
    try:
        return list(verifier.verify(leaf, between).chain)
    except VerificationError:
        return []


def _extensions() -> tuple[ExtensionPolicy, ExtensionPolicy]:
    """What issuers and signers must have in their extensions: signers of payloads are no web servers."""
    from cryptography import x509
    from cryptography.x509.verification import Criticality, ExtensionPolicy

    def is_authority(_: Policy, __: x509.Certificate, found: x509.BasicConstraints) -> None:
        if not found.ca:
            raise ValueError("not an authority")

    def may_sign_certificates(_: Policy, __: x509.Certificate, found: x509.KeyUsage | None) -> None:
        if found is not None and not found.key_cert_sign:
            raise ValueError("may not sign certificates")

    def may_sign(_: Policy, __: x509.Certificate, found: x509.KeyUsage | None) -> None:
        if found is not None and not (found.digital_signature or found.content_commitment):
            raise ValueError("may not sign")

    anything, either = ExtensionPolicy.permit_all(), Criticality.AGNOSTIC
    issuer = anything.require_present(x509.BasicConstraints, either, is_authority)
    return (
        issuer.may_be_present(x509.KeyUsage, either, may_sign_certificates),
        anything.may_be_present(x509.KeyUsage, either, may_sign),
    )


def _is_valid(certificate: x509.Certificate, now: datetime) -> bool:
    return certificate.not_valid_before_utc <= now <= certificate.not_valid_after_utc


def _issued(issuer: x509.Certificate, certificate: x509.Certificate) -> bool:
    from cryptography.exceptions import InvalidSignature

    if issuer.subject != certificate.issuer:
        return False
    try:
        certificate.verify_directly_issued_by(issuer)
    except (InvalidSignature, TypeError, ValueError):
        return False
    return True


def _check(leaf: x509.Certificate, signature: bytes, signed: Signed) -> None:
    """Check the signature of the payload itself."""
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives import hashes
    from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa

    name = _DIGESTS.get(signed.algorithm.lower())
    if name is None:
        raise SignatureError(f"Unknown signature algorithm: {quoted(signed.algorithm)}")
    digest: hashes.HashAlgorithm = getattr(hashes, name)()
    data, key = signed.payload.encode("utf-8"), leaf.public_key()
    try:
        if isinstance(key, rsa.RSAPublicKey):
            key.verify(signature, data, padding.PKCS1v15(), digest)
        elif isinstance(key, ec.EllipticCurvePublicKey):
            key.verify(signature, data, ec.ECDSA(digest))
        else:
            raise SignatureError("only RSA and ECDSA keys can sign a payload")
    except InvalidSignature:
        raise SignatureError("Invalid signature") from None
