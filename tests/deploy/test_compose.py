"""deploy/README.md beside deploy/compose.yaml: variables, defaults, services and the bridge's name."""

from __future__ import annotations

import re

import yaml

from support.docker_engine import ROOT

TEXT = (ROOT / "deploy" / "compose.yaml").read_text()
PAGE = (ROOT / "deploy" / "README.md").read_text()
#: What may be set, and what it is otherwise.
VARIABLES = dict(re.findall(r"\$\{(\w+):[-?]([^}]*)\}", TEXT))
REQUIRED = set(re.findall(r"\$\{(\w+):\?", TEXT))


def test_table_has_every_variable_and_its_default() -> None:
    table = dict(re.findall(r"^\| `([A-Z_]+)` \| (.*) \|$", PAGE, re.M))
    assert table.keys() == VARIABLES.keys()
    required = {"JOB_IMAGE", "JOB_DOMAINS"}
    said = {
        name: text.rpartition("; `")[2].rstrip("`") for name, text in table.items() if name not in required
    }
    assert said == {name: default for name, default in VARIABLES.items() if name not in required}


def test_command_of_the_page_sets_what_must_be_set_and_runs_a_service() -> None:
    ((given, file, service),) = re.findall(r"^\$ (.*) docker compose -f (\S+) run --rm (\S+) ", PAGE, re.M)
    assert REQUIRED <= {word.split("=")[0] for word in given.split()} <= VARIABLES.keys()
    assert file == "deploy/compose.yaml"
    assert service in yaml.safe_load(TEXT)["services"]


def test_rule_of_the_page_is_for_the_bridge_of_the_job() -> None:
    (bridge,) = re.findall(r"iptables -I INPUT -i (\S+) -j DROP", PAGE)
    assert bridge == VARIABLES["JOB_BRIDGE"]
