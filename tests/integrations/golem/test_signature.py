"""X.509: whose signature counts."""

from __future__ import annotations

import base64
from dataclasses import replace

import pytest
from cryptography.hazmat.primitives.asymmetric import ed25519, rsa
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature, encode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA512
from cryptography.hazmat.primitives.serialization import Encoding

from jobgate.integrations.documents import DocumentError
from jobgate.integrations.golem.manifest import Signed
from jobgate.integrations.golem.signature import SignatureError, certificate_id, read_certificates, verify
from support.golem import NOW, Signer, issue, payload, sign

ROOT = issue("root")
BETWEEN = issue("between", ROOT)
SIGNER = issue("signer", BETWEEN, ca=False)
LEAF = issue("leaf", ROOT, ca=False)
P256_ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
ECDSA_WITH_SHA256 = bytes.fromhex("300a06082a8648ce3d040302")
TEXT = payload({"urls": ["https://domain.com"]})


def ids(*signers: Signer) -> list[str]:
    return [certificate_id(signer.certificate) for signer in signers]


def verified(signed: Signed, *anchors: Signer) -> list[str]:
    return verify(signed, [anchor.certificate for anchor in anchors], NOW)


@pytest.mark.parametrize(
    ("anchors", "chain"),
    [
        ([ROOT], [SIGNER, BETWEEN, ROOT]),
        ([BETWEEN], [SIGNER, BETWEEN]),
        ([BETWEEN, ROOT], [SIGNER, BETWEEN, ROOT]),
        ([SIGNER], [SIGNER]),
        ([SIGNER, ROOT], [SIGNER, BETWEEN, ROOT]),
    ],
    ids=["root", "between", "both", "the-signer-itself", "signer-and-root"],
)
def test_chain_is_named_from_the_signer_on(anchors: list[Signer], chain: list[Signer]) -> None:
    assert verified(sign(TEXT, SIGNER), *anchors) == ids(*chain)


def test_order_of_the_certificates_does_not_matter() -> None:
    signed = sign(TEXT, SIGNER)
    links = read_certificates(base64.b64decode(signed.certificate))
    turned = b"".join(link.public_bytes(Encoding.PEM) for link in reversed(links))
    again = replace(signed, certificate=base64.b64encode(turned).decode())
    assert verified(again, ROOT) == verified(signed, ROOT)


def test_der_rsa_and_other_digests_are_fine() -> None:
    signer = issue("rsa", ROOT, ca=False, key=rsa.generate_private_key(65537, 2048))
    der = base64.b64encode(signer.certificate.public_bytes(Encoding.DER)).decode()
    signed = replace(sign(TEXT, signer, "sha512"), certificate=der)
    assert verified(signed, ROOT) == ids(signer, ROOT)


def test_line_breaks_in_base64_do_not_matter() -> None:
    signed = sign(TEXT, SIGNER)
    broken = replace(signed, signature=signed.signature[:20] + "\n" + signed.signature[20:])
    assert verified(broken, ROOT) == ids(SIGNER, BETWEEN, ROOT)


def test_certificate_that_later_versions_of_the_library_refuse_is_refused_without_a_warning() -> None:
    """A serial number that is not positive (RFC 5280 section 4.1.2.2)."""
    raw = issue("root", serial=0x77665544).certificate.public_bytes(Encoding.DER)
    negative = raw.replace(b"\x77\x66\x55\x44", b"\x87\x66\x55\x44", 1)
    with pytest.raises(SignatureError, match=r"no sound X\.509 certificate: .* serial number"):
        read_certificates(negative)


NO_AUTHORITY = issue("no authority", ROOT, ca=False)
UNSAID = issue("says nothing", ROOT, ca=None)
USELESS = issue("may not sign certificates", ROOT, sign_certificates=False)
UNVERIFIED = "Unable to verify X509 certificate"


@pytest.mark.parametrize(
    ("signer", "words"),
    [
        (issue("other", issue("other root"), ca=False), UNVERIFIED),
        (issue("root", None), UNVERIFIED),
        (issue("below", NO_AUTHORITY, ca=False), UNVERIFIED),
        (issue("below", UNSAID, ca=False), UNVERIFIED),
        (issue("below", USELESS, ca=False), UNVERIFIED),
        (issue("expired", ROOT, ca=False, days=(-20, -10)), UNVERIFIED),
        (issue("early", ROOT, ca=False, days=(10, 20)), UNVERIFIED),
        (issue("below expired", issue("expired", ROOT, days=(-20, -10)), ca=False), UNVERIFIED),
        (
            issue("ed25519", ROOT, ca=False, key=ed25519.Ed25519PrivateKey.generate()),
            "only RSA|Unable to verify",
        ),
    ],
    ids=[
        "stranger",
        "self-signed-of-the-roots-name",
        "issuer-is-no-authority",
        "issuer-says-nothing",
        "issuer-may-not-sign",
        "expired",
        "not-yet",
        "issuer-expired",
        "key-without-digest",
    ],
)
def test_chain_that_proves_nothing_is_refused(signer: Signer, words: str) -> None:
    with pytest.raises(SignatureError, match=words):
        verified(sign(TEXT, signer), ROOT)


def twin(signer: Signer) -> bytes:
    """The same certificate with the other signature that ECDSA has for it (r, n - s): anybody can make it."""
    certificate = signer.certificate
    r, s = decode_dss_signature(certificate.signature)
    other = encode_dss_signature(r, P256_ORDER - s)
    body = certificate.tbs_certificate_bytes + ECDSA_WITH_SHA256 + der(3, b"\0" + other)
    return der(0x30, body)


def der(tag: int, content: bytes) -> bytes:
    size = len(content)
    return bytes([tag, *([size] if size < 0x80 else [0x82, size >> 8, size & 0xFF])]) + content


def test_certificate_with_its_other_signature_is_known_as_the_one_that_is_kept() -> None:
    signed = replace(sign(TEXT, LEAF), certificate=base64.b64encode(twin(LEAF)).decode())
    assert verified(signed, ROOT) != ids(LEAF, ROOT)
    assert verified(signed, LEAF, ROOT) == ids(LEAF, ROOT)


def test_issuers_of_one_name_are_no_chain() -> None:
    """Each could have issued each: older versions of cryptography try all orders, which takes for ever."""
    between = [issue("between", ROOT, key=BETWEEN.key) for _ in range(2)]
    signed = sign(TEXT, issue("below", between[0], ca=False))
    pem = b"".join(signer.certificate.public_bytes(Encoding.PEM) for signer in between[1:])
    mixed = base64.b64encode(base64.b64decode(signed.certificate) + pem).decode()
    with pytest.raises(SignatureError, match="no chain"):
        verified(replace(signed, certificate=mixed), ROOT)


def test_repetition_does_not_matter() -> None:
    signed = sign(TEXT, SIGNER)
    twice = base64.b64encode(base64.b64decode(signed.certificate) * 2).decode()
    assert verified(replace(signed, certificate=twice), ROOT) == ids(SIGNER, BETWEEN, ROOT)


NAME = b"\x0c\x06signer"  # DER: a text in UTF-8, its length, itself


@pytest.mark.parametrize(
    ("good", "bad"),
    [
        (b"\xa0\x03\x02\x01\x02", b"\xa0\x03\x02\x01\x07"),
        (NAME, b"\x0c\x06sign\xff\xff"),
        (NAME, b"\x11\x06signer"),
        (NAME, b"\x03\x06\x00igner"),
        (b"\x06\x08\x2a\x86\x48\xce\x3d\x03\x01\x07", b"\x06\x08\x2a\x86\x48\xce\x3d\x03\x01\x63"),
    ],
    ids=["version", "no-utf-8", "no-text", "bits", "curve"],
)
def test_certificate_that_is_damaged_is_refused(good: bytes, bad: bytes) -> None:
    der = SIGNER.certificate.public_bytes(Encoding.DER)
    assert good in der
    damaged = base64.b64encode(der.replace(good, bad)).decode()
    with pytest.raises(SignatureError, match=r"no X\.509 certificate|cannot be read|Unable to verify"):
        verified(replace(sign(TEXT, SIGNER), certificate=damaged), ROOT, BETWEEN)


def test_kept_certificate_that_has_expired_is_refused() -> None:
    old = issue("old", days=(-20, -10))
    with pytest.raises(SignatureError, match=UNVERIFIED):
        verified(sign(TEXT, old), old, ROOT)


def test_rule_above_a_kept_issuer_ends_where_that_has_expired() -> None:
    old_root = issue("old root", days=(-200, -10))
    between = issue("between", old_root)
    signer = issue("signer", between, ca=False)
    assert verified(sign(TEXT, signer), between, old_root) == ids(signer, between)


def test_signature_of_another_payload_is_refused() -> None:
    signed = sign(TEXT, SIGNER)
    with pytest.raises(SignatureError, match="Invalid signature"):
        verified(replace(signed, payload=payload({"urls": ["https://evil.com"]})), ROOT)


@pytest.mark.parametrize("algorithm", ["sha1", "md5", "none", ""])
def test_digest_that_proves_nothing_is_refused(algorithm: str) -> None:
    with pytest.raises(SignatureError, match="Unknown signature algorithm"):
        verified(replace(sign(TEXT, SIGNER), algorithm=algorithm), ROOT)


def test_no_certificate_at_all_is_refused() -> None:
    signed = sign(TEXT, SIGNER)
    with pytest.raises(SignatureError, match="No X509 certificates in keystore"):
        verified(signed)
    with pytest.raises(SignatureError, match=r"no X\.509"):
        verified(replace(signed, certificate=""), ROOT)
    with pytest.raises(DocumentError, match="certificate: not base64"):
        verified(replace(signed, certificate="!"), ROOT)
    with pytest.raises(DocumentError, match="signature: not base64"):
        verified(replace(signed, signature="!"), ROOT)


def test_several_signers_are_no_chain() -> None:
    both = SIGNER.pem() + issue("another", ROOT, ca=False).pem()
    with pytest.raises(SignatureError, match="no chain"):
        verified(replace(sign(TEXT, SIGNER), certificate=base64.b64encode(both).decode()), ROOT)
    many = base64.b64encode(SIGNER.pem() * 10).decode()
    with pytest.raises(SignatureError, match="more than 16"):
        verified(replace(sign(TEXT, SIGNER), certificate=many), ROOT)


def test_read_certificates_refuses_what_is_none() -> None:
    for raw in (b"", b"-----BEGIN CERTIFICATE-----\n", b"{}"):
        with pytest.raises(SignatureError):
            read_certificates(raw)
    pem = ROOT.certificate.public_bytes(Encoding.PEM)
    assert read_certificates(pem) == [ROOT.certificate]


def test_certificate_id_is_the_hash_of_the_der_form() -> None:
    assert certificate_id(ROOT.certificate) == ROOT.certificate.fingerprint(SHA512()).hex()
