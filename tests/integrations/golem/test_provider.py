from __future__ import annotations

import json

import pytest

from jobgate.integrations.documents import DocumentError
from jobgate.integrations.golem.provider import Mode, OutboundRules, Provider, read_rules


def test_defaults_are_those_of_golem() -> None:
    assert read_rules("{}", "rules.json") == OutboundRules(True, Mode.WHITELIST, {}, {})
    assert Provider().rules.enabled
    assert Provider().whitelist is None


def test_file_as_a_provider_writes_it() -> None:
    rule = {"mode": "whitelist", "description": "auditors"}
    text = json.dumps(
        {
            "outbound": {
                "enabled": False,
                "everyone": "none",
                "audited-payload": {"ABcd": rule},
                "partner": {"ef01": {"mode": "all", "description": ""}},
            },
            "blacklist": {"enabled": False, "identity": [], "certified": {}},
            "allow-only": {"enabled": False, "identity": [], "certified": {}},
        }
    )
    assert read_rules(text, "rules.json") == OutboundRules(
        False, Mode.NONE, {"abcd": Mode.WHITELIST}, {"ef01": Mode.ALL}
    )


@pytest.mark.parametrize(
    ("outbound", "words"),
    [
        ("x", "expected an object"),
        ({"enabled": "yes"}, "true or false"),
        ({"everyone": "some"}, "all, whitelist or none"),
        ({"everyone": ["all"]}, "all, whitelist or none"),
        ({"partner": {"ab": {}}}, "all, whitelist or none"),
        ({"partner": {"ab": "all"}}, "expected an object"),
        ({"audited-payload": []}, "expected an object"),
        ({"audited_payload": {}}, 'unknown key "audited_payload"'),
    ],
)
def test_rules_that_are_not_understood_are_refused(outbound: object, words: str) -> None:
    with pytest.raises(DocumentError, match=words):
        read_rules(json.dumps({"outbound": outbound}), "rules.json")


def test_what_is_no_json_is_refused_with_its_place() -> None:
    with pytest.raises(DocumentError, match=r"^rules\.json: not JSON"):
        read_rules("{", "rules.json")
    with pytest.raises(DocumentError, match="expected an object"):
        read_rules("[]", "rules.json")
