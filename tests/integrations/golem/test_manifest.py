from __future__ import annotations

import base64

import pytest

from jobgate.config.policy import Network
from jobgate.integrations.asking import JobError
from jobgate.integrations.documents import DocumentError
from jobgate.integrations.golem import manifest
from jobgate.integrations.golem.manifest import Outbound, is_golem, read_document, read_manifest
from support.golem import NODE_ID, NOW, certify, demand, describe, issue, payload


def with_out(out: object) -> dict[str, object]:
    return {"compManifest": {"net": {"inet": {"out": out}}}}


URL = "https://domain.com"


@pytest.mark.parametrize(
    ("document", "network", "domains"),
    [
        pytest.param({}, Network.NONE, [], id="nothing"),
        pytest.param({"compManifest": {}}, Network.NONE, [], id="no-net"),
        pytest.param({"compManifest": {"net": {}}}, Network.NONE, [], id="no-inet"),
        pytest.param({"compManifest": {"net": {"inet": {}}}}, Network.NONE, [], id="no-out"),
        pytest.param({"compManifest": None}, Network.NONE, [], id="null"),
        pytest.param(with_out({"urls": []}), Network.NONE, [], id="urls-empty"),
        pytest.param(with_out({"urls": [URL]}), Network.HTTP, ["domain.com:443"], id="urls"),
        pytest.param(
            with_out({"protocols": ["tcp"], "urls": [URL, "http://b.com:8080", f"{URL}/x"]}),
            Network.HTTP,
            ["domain.com:443", "b.com:8080"],
            id="ports-and-protocols",
        ),
        pytest.param(with_out({"unrestricted": {"urls": True}}), Network.FULL, [], id="unrestricted"),
    ],
)
def test_network_that_a_manifest_asks_for(
    document: dict[str, object], network: Network, domains: list[str]
) -> None:
    policy = read_manifest(document, NOW).policy
    assert (policy.network, policy.domains.entries()) == (network, domains)


@pytest.mark.parametrize(
    ("out", "words"),
    [
        pytest.param({}, 'neither "urls" nor "unrestricted"', id="neither"),
        pytest.param({"protocols": ["https"]}, 'neither "urls" nor "unrestricted"', id="protocols-alone"),
        pytest.param(
            {"urls": [URL], "unrestricted": {"urls": True}},
            'has "urls" and "unrestricted"',
            id="both-differs",
        ),
        pytest.param({"unrestricted": {"urls": False}}, 'write {"urls": true}', id="unrestricted-false"),
        pytest.param({"unrestricted": True}, 'write {"urls": true}', id="unrestricted-as-yapapi-writes-it"),
        pytest.param({"unrestricted": {"urls": 1}}, 'write {"urls": true}', id="unrestricted-1"),
        pytest.param({"urls": URL}, "expected a list", id="urls-text"),
        pytest.param({"urls": [5]}, "urls[0]: expected a text", id="urls-number"),
        pytest.param({"urls": [URL, "domain.com"]}, "urls[1]: ", id="urls-no-url"),
        pytest.param([], "out: expected an object", id="list"),
    ],
)
def test_manifest_that_is_not_valid_is_refused(out: object, words: str) -> None:
    with pytest.raises(JobError) as caught:
        read_manifest(with_out(out), NOW)
    assert words in str(caught.value)


@pytest.mark.parametrize(
    ("expires", "words"),
    [
        ("2026-05-31T23:59:59Z", "has expired"),
        ("2026-05-31T23:59:59.123456Z", "has expired"),
        ("2026-06-01T00:00:00", "has expired"),
        ("soon", "expected a time"),
        (5, "expected a time"),
        (99991231, "expected a time"),
    ],
)
def test_manifest_that_has_expired_is_refused(expires: object, words: str) -> None:
    with pytest.raises(JobError, match=words):
        read_manifest({"expiresAt": expires}, NOW)


def test_manifest_that_expires_later_is_fine() -> None:
    assert read_manifest({"expiresAt": "2100-01-01T00:00:00Z"}, NOW) == Outbound()


def test_demand_has_manifest_signature_descriptor_and_sender() -> None:
    descriptor = describe(certify())
    document = demand([URL], signer=issue("a"), descriptor=descriptor, requestor=NODE_ID.upper())
    found = read_document(document, NOW)
    assert found.outbound.network is Network.HTTP
    assert found.signed is not None
    assert (found.signed.payload, found.signed.algorithm) == (payload({"urls": [URL]}), "sha256")
    assert found.descriptor == descriptor
    assert found.requestor == NODE_ID.lower()


def nested(document: dict[str, object]) -> dict[str, object]:
    """The properties of a demand, each key a path of objects, as agreements have them."""
    tree: dict[str, object] = {}
    properties = document["properties"]
    assert isinstance(properties, dict)
    comp: dict[str, object] = {"@tag": properties[manifest.PAYLOAD]}
    if manifest.SIGNATURE in properties:
        signature = {"@tag": properties[manifest.SIGNATURE], "algorithm": properties[manifest.ALGORITHM]}
        comp |= {"sig": signature, "cert": properties[manifest.CERTIFICATE]}
    tree["golem"] = {"srv": {"comp": {"payload": comp}}}
    return tree


def test_forms_of_a_demand_say_the_same() -> None:
    whole = demand([URL], signer=issue("a"))
    expected = read_document(whole, NOW)
    flat = whole["properties"]
    assert isinstance(flat, dict)
    assert read_document({"demand": whole, "offer": {}}, NOW) == expected
    assert read_document({**flat, "requestorId": NODE_ID}, NOW) == expected
    assert read_document({"properties": nested(whole), "issuerId": NODE_ID}, NOW) == expected
    tagged = {f"{key}.@tag" if key == manifest.PAYLOAD else key: value for key, value in flat.items()}
    assert read_document({"properties": tagged, "requestorId": NODE_ID}, NOW) == expected


def test_bare_manifest_has_no_signature() -> None:
    found = read_document(with_out({"urls": [URL]}), NOW)
    assert (found.signed, found.descriptor, found.requestor) == (None, None, "")


@pytest.mark.parametrize(
    ("document", "words"),
    [
        ({"properties": {manifest.PAYLOAD: 5}}, "expected a text"),
        ({"properties": {manifest.PAYLOAD: base64.b64encode(b"[]").decode()}}, "expected a manifest"),
        ({"properties": {"golem": {"srv.comp.payload": "e30="}, manifest.PAYLOAD: "e30="}}, "is there twice"),
        ({"properties": {f"{manifest.PAYLOAD}.@tag": "e30=", manifest.PAYLOAD: "e30="}}, "is there twice"),
        ({"properties": {}, "compManifest": {}}, "a manifest and a demand in one"),
        ({"golem.srv.comp.payload": "e30=", "compManifest": {}}, "a manifest and a demand in one"),
        ({"demand": {"properties": {}}, "compManifest": {}}, "a manifest and a demand in one"),
        ({"demand": {"properties": {}, "payload": []}}, "a manifest and a demand in one"),
        ({"demand": {"properties": {}}, "properties": {}}, "more than one demand"),
        ({"demand": {"properties": {}}, "golem": {}}, "more than one demand"),
        ({"demand": {"demand": {}}}, "more than one demand"),
        ({"properties": {}, manifest.PAYLOAD: "e30="}, "more than one demand"),
        ({"properties": {}, "golem": {}}, "more than one demand"),
        ({"demand": []}, "demand: expected an object"),
        ({"demand": None}, "demand: expected an object"),
        ({"properties": "x"}, "properties: expected an object"),
        ({"properties": [{manifest.PAYLOAD: "e30="}]}, "properties: expected an object"),
        ({"properties": None}, "properties: expected an object"),
    ],
)
def test_demand_that_could_be_read_in_two_ways_is_refused(document: dict[str, object], words: str) -> None:
    with pytest.raises(JobError, match=words):
        read_document(document, NOW)


@pytest.mark.parametrize("text", ["!", "Og==", base64.b64encode(b"\xff").decode(), "eyJhIjoxLCJhIjoyfQ=="])
def test_payload_that_is_no_json_in_base64_is_refused(text: str) -> None:
    with pytest.raises(DocumentError, match=manifest.PAYLOAD):
        read_document({"properties": {manifest.PAYLOAD: text}}, NOW)


def test_descriptor_may_be_an_object_itself() -> None:
    document = {"properties": {manifest.NODE_DESCRIPTOR: {"a": {"b": 1}}}}
    assert read_document(document, NOW).descriptor == {"a": {"b": 1}}
    with pytest.raises(DocumentError):
        read_document({"properties": {manifest.NODE_DESCRIPTOR: "{"}}, NOW)


def test_is_golem() -> None:
    for key in ("compManifest", "payload", "properties", "golem.node.id", "golem"):
        assert is_golem({key: {}})
    assert not is_golem({"Job": {}})
