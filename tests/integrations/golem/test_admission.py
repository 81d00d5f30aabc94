"""The tables of yagna's own tests (agent/provider/tests/manifest_negotiator.rs), row by row.

Where jobgate decides otherwise, the row says so in its id: ``differs``.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import pytest

from jobgate.config.policy import Network, NodePolicy
from jobgate.config.rules import RuleSet
from jobgate.integrations.asking import JobError
from jobgate.integrations.golem.admission import problems_of
from jobgate.integrations.golem.certificate import verify_descriptor
from jobgate.integrations.golem.manifest import Demand, read_document
from jobgate.integrations.golem.provider import Mode, OutboundRules, Provider
from jobgate.integrations.golem.signature import certificate_id
from jobgate.integrations.golem.whitelist import import_patterns, read_whitelist
from support.golem import NODE_ID, NOW, certify, demand, describe, issue

DOMAIN, OTHER = "https://domain.com", "https://non-whitelisted.com"
ROOT = issue("root")
SIGNER = issue("signer", issue("between", ROOT), ca=False)
#: Signs as well as any; the provider does not keep who issued it.
STRANGER = issue("stranger", issue("another root"), ca=False)
PARTNER_ROOT = certify()
PARTNER = certify(PARTNER_ROOT, usage=["signNode"])
ONLY_DOMAIN = {"outbound": {"urls": [DOMAIN]}}
EVERYTHING = NodePolicy(networks=tuple(Network))


def fingerprint(position: int) -> str:
    return verify_descriptor(describe(PARTNER), NOW).fingerprints[position]


@dataclass(frozen=True)
class Rules:
    """One row's rules: modes of everyone, audited payload and partner."""

    everyone: str = "none"
    audited: str | None = None
    partner: str | None = None
    enabled: bool = True
    whitelist: str = "domain.com"
    partner_certificate: str = field(default_factory=lambda: fingerprint(1))

    def provider(self) -> Provider:
        audited = {certificate_id(ROOT.certificate): Mode(self.audited)} if self.audited else {}
        partner = {self.partner_certificate: Mode(self.partner)} if self.partner else {}
        rules = OutboundRules(self.enabled, Mode(self.everyone), audited, partner)
        return Provider(rules, RuleSet.parse(self.whitelist.split()), (ROOT.certificate,))


def problems(rules: Rules, document: Mapping[str, object], node: NodePolicy = EVERYTHING) -> list[str]:
    return problems_of(read_document(document, NOW), rules.provider(), node, NOW)


ACCEPTED = ""
OFF, WL, NO = "is disabled", "didn't match whitelist", "outbound is disabled"
EVERYONE, AUDITED = "Everyone rule", "Audited-Payload rule"


@pytest.mark.parametrize(
    ("rules", "document", "reason"),
    [
        pytest.param(Rules(enabled=False, whitelist=""), demand([]), ACCEPTED, id="N1"),
        pytest.param(Rules(enabled=False), {"properties": {}}, ACCEPTED, id="N2"),
        pytest.param(Rules("all", enabled=False), demand([DOMAIN]), NO, id="U1"),
        pytest.param(Rules("all"), demand([DOMAIN]), ACCEPTED, id="U2"),
        pytest.param(Rules("none"), demand([DOMAIN]), f"{EVERYONE} {OFF}", id="U3"),
        pytest.param(
            Rules("whitelist"), demand([OTHER]), f"{EVERYONE} {WL}: non-whitelisted.com:443", id="U4"
        ),
        pytest.param(Rules("whitelist"), demand([DOMAIN]), ACCEPTED, id="U5"),
        pytest.param(Rules("whitelist", "all"), demand([OTHER], signer=SIGNER), ACCEPTED, id="S1"),
        pytest.param(
            Rules("whitelist", "whitelist"), demand([OTHER], signer=SIGNER), f"{AUDITED} {WL}", id="S2"
        ),
        pytest.param(Rules("none", "none"), demand([OTHER], signer=SIGNER), f"{AUDITED} {OFF}", id="S3"),
        pytest.param(Rules("none", "all"), demand([OTHER], signer=SIGNER), ACCEPTED, id="S4"),
        pytest.param(Rules("none", "whitelist"), demand([OTHER], signer=SIGNER), f"{AUDITED} {WL}", id="S5"),
        pytest.param(Rules("none", "whitelist"), demand([DOMAIN], signer=SIGNER), ACCEPTED, id="S6"),
        pytest.param(Rules("all"), demand([DOMAIN], signer=SIGNER), ACCEPTED, id="S7"),
        pytest.param(Rules("whitelist"), demand([DOMAIN], signer=SIGNER), ACCEPTED, id="S8"),
        pytest.param(
            Rules("whitelist"),
            demand([OTHER], signer=SIGNER),
            "whole chain of cert_ids is not trusted",
            id="S9",
        ),
        pytest.param(Rules("all"), demand([DOMAIN], signer=SIGNER, spoiled=True), ACCEPTED, id="I1"),
        pytest.param(Rules("whitelist"), demand([DOMAIN], signer=SIGNER, spoiled=True), ACCEPTED, id="I2"),
        pytest.param(
            Rules("whitelist", "all"),
            demand([OTHER], signer=SIGNER, spoiled=True),
            f"{AUDITED}: Invalid signature",
            id="I3",
        ),
        pytest.param(
            Rules("none", "all"),
            demand([DOMAIN], signer=SIGNER, spoiled=True),
            f"{AUDITED}: Invalid signature",
            id="I4",
        ),
        pytest.param(
            Rules("none", "all"),
            demand([DOMAIN], signer=STRANGER),
            f"{AUDITED}: Unable to verify X509 certificate",
            id="S-stranger",
        ),
    ],
)
def test_everyone_and_audited_payload(rules: Rules, document: dict[str, object], reason: str) -> None:
    found = problems(rules, document)
    assert (found == []) is (reason == ACCEPTED)
    assert reason in " ; ".join(found)


def test_s9_names_both_reasons() -> None:
    found = problems(Rules("whitelist"), demand([OTHER], signer=SIGNER))
    assert [line.partition("because: ")[2].partition(" rule")[0] for line in found] == [
        "Everyone",
        "Audited-Payload",
        "Partner",
    ]


def test_rule_nearest_to_the_signer_decides() -> None:
    near, far = certificate_id(SIGNER.above[0]), certificate_id(ROOT.certificate)
    document = demand([OTHER], signer=SIGNER)
    for modes, accepted in (((Mode.NONE, Mode.ALL), False), ((Mode.ALL, Mode.NONE), True)):
        rules = OutboundRules(everyone=Mode.NONE, audited_payload=dict(zip((near, far), modes, strict=True)))
        provider = Provider(rules, anchors=(ROOT.certificate,))
        found = problems_of(read_document(document, NOW), provider, EVERYTHING, NOW)
        assert (found == []) is accepted


def spoiled_descriptor() -> dict[str, object]:
    descriptor = json.loads(json.dumps(describe(PARTNER, permissions=ONLY_DOMAIN)))
    descriptor["nodeDescriptor"]["permissions"] = "all"
    assert isinstance(descriptor, dict)
    return descriptor


HAPPY = describe(PARTNER, permissions=ONLY_DOMAIN)


@pytest.mark.parametrize(
    ("rules", "document", "reason"),
    [
        pytest.param(
            Rules(partner="all"),
            demand([DOMAIN], descriptor=spoiled_descriptor()),
            "invalid signature",
            id="P1",
        ),
        pytest.param(
            Rules(partner="all"),
            demand([DOMAIN], descriptor=HAPPY, requestor="0xother"),
            "nodes mismatch",
            id="P2",
        ),
        pytest.param(
            Rules(partner="all"),
            demand([DOMAIN], descriptor=HAPPY, requestor=""),
            "an unknown node",
            id="P2-no-requestor",
        ),
        pytest.param(
            Rules(partner="all"),
            demand([DOMAIN], descriptor=describe(PARTNER)),
            "No outbound permissions",
            id="P3",
        ),
        pytest.param(
            Rules(partner="all"),
            demand(["https://different-domain.com"], descriptor=HAPPY),
            "forbidden url requested: https://different-domain.com/",
            id="P4",
        ),
        pytest.param(
            Rules(partner="all", partner_certificate="00"),
            demand([DOMAIN], descriptor=HAPPY),
            "not trusted",
            id="P5",
        ),
        pytest.param(Rules(partner="whitelist"), demand([DOMAIN], descriptor=HAPPY), ACCEPTED, id="P6"),
        pytest.param(Rules(partner="all"), demand([DOMAIN], descriptor=HAPPY), ACCEPTED, id="P7"),
        pytest.param(
            Rules(partner="none"), demand([DOMAIN], descriptor=HAPPY), "Partner rule is disabled", id="P8"
        ),
        pytest.param(
            Rules("whitelist"),
            demand(out={"unrestricted": {"urls": True}}),
            f"{EVERYONE} {WL}: unrestricted",
            id="R1",
        ),
        pytest.param(
            Rules(partner="all"),
            demand(out={"unrestricted": {"urls": True}}, descriptor=HAPPY),
            "Manifest tries to use Unrestricted access, but certificate allows only for specific urls",
            id="R2",
        ),
        pytest.param(
            Rules(partner="all"),
            demand(out={"unrestricted": {"urls": True}}, descriptor=describe(PARTNER, permissions="all")),
            ACCEPTED,
            id="R-partner-all",
        ),
    ],
)
def test_partner_and_unrestricted(rules: Rules, document: dict[str, object], reason: str) -> None:
    found = problems(rules, document)
    assert (found == []) is (reason == ACCEPTED)
    assert reason in " ; ".join(found)


STRICT = [("domain.com", "strict")]
LOOSE = [("domain.com", "regex")]


@pytest.mark.parametrize(
    ("patterns", "hosts", "accepted"),
    [
        pytest.param(STRICT, ["domain.com"], True, id="W1"),
        pytest.param(STRICT, ["xdomain.com"], False, id="W2"),
        pytest.param(STRICT, ["domain.comx"], False, id="W3"),
        pytest.param(STRICT, ["x.domain.com"], False, id="W4"),
        pytest.param([("a.com", "strict"), ("b.com", "strict")], ["c.com"], False, id="W5"),
        pytest.param([("a.com", "strict"), ("b.com", "strict")], ["a.com", "c.com"], False, id="W6"),
        pytest.param([("do.*ain.com", "regex")], ["domain.com"], False, id="W7-differs-unanchored"),
        pytest.param(LOOSE, ["domain.com.hacked.pro"], False, id="W8-differs-unanchored"),
        pytest.param(LOOSE, ["mydomain.com"], False, id="W9-differs-unanchored"),
        pytest.param([("^.*\\.domain.com$", "regex")], ["valid.domain.com"], True, id="W10"),
        pytest.param([("^.*\\.domain.com$", "regex")], ["mydomain.com"], False, id="W11"),
        pytest.param([("^.*\\.domain.com$", "regex")], ["domain.com.hacked.pro"], False, id="W12"),
        pytest.param([("^.*\\.domain.com$", "regex")], ["domain.com"], True, id="W10-differs-apex"),
    ],
)
def test_whitelist(patterns: list[tuple[str, str]], hosts: list[str], accepted: bool) -> None:
    listed = [{"domain": domain, "match": match} for domain, match in patterns]
    whitelist = import_patterns(read_whitelist(json.dumps({"patterns": listed}), "w.json")).rules()
    asked = read_document(demand([f"https://{host}" for host in hosts]), NOW)
    found = problems_of(asked, Provider(whitelist=whitelist), EVERYTHING, NOW)
    assert (found == []) is accepted


def test_w6_refusal_names_the_host_that_is_too_much() -> None:
    found = problems(Rules("whitelist", whitelist="a.com b.com"), demand(["https://a.com", "https://c.com"]))
    assert found[0] == f"Outbound rejected because: {EVERYONE} {WL}: c.com:443"


@pytest.mark.parametrize(
    ("url", "accepted"),
    [
        pytest.param("https://domain.com/any/path?query", True, id="path"),
        pytest.param("http://domain.com", True, id="plain"),
        pytest.param("wss://domain.com", True, id="wss"),
        pytest.param("https://domain.com:8443", True, id="open-port"),
        pytest.param("https://DOMAIN.com.", True, id="spelling"),
        pytest.param("https://domain.com:22", False, id="differs-port-of-another-protocol"),
    ],
)
def test_port_of_a_url_counts(url: str, accepted: bool) -> None:
    assert (problems(Rules("whitelist"), demand([url])) == []) is accepted


@pytest.mark.parametrize(
    "url",
    ["tcp://domain.com:22", "data:text/plain,x", "https://user@domain.com", "https:///x", "https://127.1/"],
    ids=["differs-tcp", "differs-no-host", "credentials", "empty-host", "no-name-and-no-address"],
)
def test_url_that_the_gate_could_not_serve_is_refused(url: str) -> None:
    with pytest.raises(JobError, match=r"urls\[0\]"):
        read_document(demand([url]), NOW)


HTTP = NodePolicy(networks=(Network.NONE, Network.HTTP), allow=RuleSet.parse(["domain.com"]))
ONLY_NONE = NodePolicy(networks=(Network.NONE,))


@pytest.mark.parametrize(
    ("node", "document", "words"),
    [
        pytest.param(HTTP, demand(out={"unrestricted": {"urls": True}}), 'does not accept "full"', id="A1"),
        pytest.param(HTTP, demand([DOMAIN, "https://evil.com"]), '"evil.com:443" is not covered', id="A2"),
        pytest.param(ONLY_NONE, demand([]), "", id="A4-empty-list"),
        pytest.param(ONLY_NONE, {"properties": {}}, "", id="A4-no-manifest"),
        pytest.param(ONLY_NONE, demand([DOMAIN]), 'does not accept "http"', id="A4-http"),
        pytest.param(
            replace(HTTP, deny=RuleSet.parse([".domain.com"])),
            demand([DOMAIN]),
            '"domain.com:443" is in the node\'s deny list',
            id="differs-deny-beats",
        ),
    ],
)
def test_node_bounds_every_rule(node: NodePolicy, document: dict[str, object], words: str) -> None:
    """Also where a rule says "all": in Golem that would be enough."""
    rules = replace(Rules("all", "all", "all"), whitelist="domain.com evil.com")
    found = problems(rules, document, node)
    assert (found == []) is (words == "")
    assert words in "\n".join(found)


def test_node_allow_list_is_the_whitelist_of_a_provider_without_one() -> None:
    asked = Demand(read_document(demand([DOMAIN]), NOW).outbound, requestor=NODE_ID)
    assert problems_of(asked, Provider(), HTTP, NOW) == []
    without = problems_of(asked, Provider(), replace(HTTP, allow=None), NOW)
    assert without[0] == f"Outbound rejected because: {EVERYONE} {WL}: domain.com:443"
