"""Golem's certificates: chains that may only narrow.

The shapes are those of golem-certificate's own resources; its happy path, its failures and its smart-card
certificates were checked once against this reader, with the same outcomes.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from datetime import datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobgate.integrations.golem.certificate import CertificateError, canonical, verify_descriptor
from support.golem import NODE_ID, NOW, YEAR, GolemSigner, certify, describe

URLS = {"outbound": {"urls": ["https://example.net"]}}
ROOT = certify()
PARTNER = certify(ROOT, permissions={"outbound": "unrestricted"}, usage=["signNode"])
SHORT: tuple[datetime, datetime] = (NOW - timedelta(days=9), NOW + timedelta(days=9))


def test_descriptor_tells_node_permissions_and_chain() -> None:
    found = verify_descriptor(describe(PARTNER, node_id=NODE_ID.upper(), permissions=URLS), NOW)
    assert found.node_id == NODE_ID.lower()
    assert found.permissions.urls == frozenset(("https://example.net/",))
    bodies = [PARTNER.document["certificate"], ROOT.document["certificate"]]
    assert list(found.fingerprints) == [hashlib.sha512(canonical(body)).hexdigest() for body in bodies]


def test_signature_of_a_smart_card_is_over_the_hash() -> None:
    document = json.loads(json.dumps(describe(PARTNER)))
    document["signature"]["algorithm"]["encryption"] = "EdDSAOpenPGP"
    with pytest.raises(CertificateError, match="invalid signature"):
        verify_descriptor(document, NOW)
    hashed = hashlib.sha512(canonical(document["nodeDescriptor"])).digest()
    document["signature"]["value"] = PARTNER.key.sign(hashed).hex()
    assert verify_descriptor(document, NOW).node_id == NODE_ID


def below(**changes: object) -> Callable[[], object]:
    """A descriptor below a certificate that differs."""
    return lambda: describe(certify(ROOT, **changes), permissions=URLS)  # type: ignore[arg-type]


def under(**changes: object) -> Callable[[], object]:
    """A descriptor below a good certificate whose issuer differs."""
    return lambda: describe(certify(certify(ROOT, **changes), usage=["signNode"]))  # type: ignore[arg-type]


def deep() -> object:
    signer: GolemSigner | None = None
    for _ in range(20):
        signer = certify(signer)
    assert signer is not None
    return describe(signer)


@pytest.mark.parametrize(
    ("document", "words"),
    [
        (below(usage=["signManifest"]), "may not sign nodes"),
        (below(permissions={"outbound": {"urls": ["https://other.net"]}}), "wider than those of the issuer"),
        (below(permissions={}), "wider than those of the issuer"),
        (below(period=SHORT), "the time is longer"),
        (under(usage=["signNode"]), "may not sign certificates"),
        (under(usage=["signCertificate"]), "used for more than its issuer"),
        (under(permissions={"outbound": "unrestricted"}), "wider than those of the issuer"),
        (under(period=SHORT), "the time is longer"),
        (lambda: describe(PARTNER, period=(NOW - YEAR, NOW - timedelta(1))), "not valid at this time"),
        (lambda: describe(PARTNER, period=(NOW + timedelta(1), NOW + YEAR)), "not valid at this time"),
        (deep, "more than 16"),
    ],
    ids=[
        "usage",
        "urls",
        "no-permissions",
        "time",
        "issuer-cannot-sign",
        "issuer-usage",
        "issuer-permissions",
        "issuer-time",
        "expired",
        "early",
        "endless",
    ],
)
def test_chain_that_widens_is_refused(document: Callable[[], object], words: str) -> None:
    with pytest.raises(CertificateError, match=words):
        verify_descriptor(document(), NOW)


def changed(document: object, path: list[str], value: object) -> object:
    copy = json.loads(json.dumps(document))
    table = copy
    for key in path[:-1]:
        table = table[key]
    table[path[-1]] = value
    return copy


SIGNED = describe(PARTNER, permissions=URLS)
CERTIFICATE = ["signature", "signer", "certificate"]


@pytest.mark.parametrize(
    ("path", "value", "words"),
    [
        (["nodeDescriptor", "nodeId"], "0xother", "invalid signature"),
        (["nodeDescriptor", "more"], 1, "invalid signature"),
        (["nodeDescriptor", "more"], 1.5, "whole and below"),
        (["nodeDescriptor", "more"], [2**60], "whole and below"),
        (["nodeDescriptor", "more"], "\ud800", "surrogate"),
        (["nodeDescriptor"], "x", "expected an object"),
        (["$schema"], "https://schemas.golem.network/v2/x", "expected .schema"),
        (["signature", "value"], "00", "invalid signature"),
        (["signature", "value"], "xx", "hexadecimal"),
        (["signature", "value"], 5, "invalid signature"),
        (["signature", "algorithm", "hash"], "sha1", "only EdDSA"),
        (["signature", "algorithm", "encryption"], "none", "only EdDSA"),
        (["signature", "signer"], "self", "expected an object"),
        ([*CERTIFICATE, "permissions"], "all", "invalid signature"),
        ([*CERTIFICATE, "permissions"], "some", "expected"),
        ([*CERTIFICATE, "keyUsage"], "some", "keyUsage"),
        ([*CERTIFICATE, "keyUsage"], [1], "keyUsage"),
        ([*CERTIFICATE, "publicKey", "key"], "00", "32 bytes"),
        ([*CERTIFICATE, "publicKey", "algorithm"], "RSA", "only EdDSA"),
        ([*CERTIFICATE, "validityPeriod", "notAfter"], "soon", "times"),
        ([*CERTIFICATE, "validityPeriod", "notAfter"], 5, "times"),
        (["signature", "signer", "signature", "signer"], "self", "invalid signature"),
        (["signature", "signer", "signature", "signer"], {}, "expected .schema"),
    ],
)
def test_descriptor_that_was_changed_is_refused(path: list[str], value: object, words: str) -> None:
    with pytest.raises(CertificateError, match=words):
        verify_descriptor(changed(SIGNED, path, value), NOW)


def test_node_id_that_is_no_text_is_refused() -> None:
    with pytest.raises(CertificateError, match="nodeId"):
        verify_descriptor(describe(PARTNER, node_id=5), NOW)  # type: ignore[arg-type]


def test_time_without_offset_is_utc() -> None:
    naive = (datetime(2026, 1, 1), datetime(2026, 12, 1))
    assert verify_descriptor(describe(PARTNER, period=naive), NOW).node_id == NODE_ID


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ({"b": 1, "a": [True, None, "x"]}, '{"a":[true,null,"x"],"b":1}'),
        ({"\u20ac": 1, "\r": 2, "\ufb33": 3, "1": 4, "\U0001f600": 5, "\u0080": 6, "\u00f6": 7},
         '{"\\r":2,"1":4,"\u0080":6,"\u00f6":7,"\u20ac":1,"\U0001f600":5,"\ufb33":3}'),
        ('\u20ac$\u000f\nA\'B"\\\\"/', '"\u20ac$\\u000f\\nA\'B\\"\\\\\\\\\\"/"'),
    ],
    ids=["order", "rfc8785-3.2.3", "rfc8785-3.2.2"],
)  # fmt: skip
def test_canonical_form_is_that_of_the_rfc(value: object, text: str) -> None:
    assert canonical(value).decode() == text


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=8,
)


@given(JSON)
def test_any_document_is_refused_and_nothing_else(document: object) -> None:
    with pytest.raises(CertificateError):
        verify_descriptor(document, NOW)


@given(st.sampled_from(["nodeDescriptor", "signature", "$schema"]), JSON)
def test_any_part_of_a_descriptor_is_read_or_refused(key: str, value: object) -> None:
    with pytest.raises(CertificateError):
        verify_descriptor({**SIGNED, key: value}, NOW)
