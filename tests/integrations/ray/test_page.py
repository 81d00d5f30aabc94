"""What docs/ray.md tells to write is what is read."""

from __future__ import annotations

import json
import re
from pathlib import Path

from jobgate.config.load import load_text
from jobgate.config.policy import JobPolicy, Network, job_problems
from jobgate.config.rule import parse_rule
from jobgate.config.rules import RuleSet
from jobgate.integrations.ray import options
from jobgate.integrations.ray.request import read_egress
from support.ray_cluster import PLUGINS

PAGE = (Path(__file__).parents[3] / "docs" / "ray.md").read_text()


def test_configuration_of_the_page_is_one() -> None:
    (text,) = re.findall(r"```toml\n(.*?)```", PAGE, re.DOTALL)
    settings = load_text(text)
    assert [job.id for job in settings.jobs] == ["ray-agent"]
    assert settings.listen.proxy


def test_environments_of_the_page_are_read() -> None:
    (submitted,) = re.findall(r"--runtime-env-json '(.*?)'", PAGE)
    egress = read_egress(json.loads(submitted))
    assert egress is not None
    assert egress.network == "http"


def test_jobs_of_the_page_are_within_the_node_of_the_page() -> None:
    (text,) = re.findall(r"```toml\n(.*?)```", PAGE, re.DOTALL)
    asked = re.findall(r'"egress": (\{[^{}]*\})', PAGE)
    assert len(asked) == 3
    for egress in map(json.loads, asked):
        policy = JobPolicy(Network.HTTP, RuleSet(map(parse_rule, egress["domains"])))
        assert job_problems(policy, load_text(text).node.policy) == []


def test_plugin_of_the_page_is_the_one_that_is_tested() -> None:
    assert f"RAY_RUNTIME_ENV_PLUGINS='{PLUGINS}'" in PAGE
    (plugin,) = json.loads(PLUGINS)
    module, _, name = plugin["class"].rpartition(".")
    source = Path(__file__).parents[3] / "src" / Path(*module.split(".")).with_suffix(".py")
    assert f"class {name}(RuntimeEnvPlugin)" in source.read_text()


def test_every_option_is_on_the_page() -> None:
    source = Path(options.__file__).read_text()
    for name in (
        "CONTROL",
        "CONTROL_TOKEN_FILE",
        "RAY_ADDRESS",
        "RAY_NO_PROXY",
        "RAY_LEASE_S",
        "RAY_MAX_JOBS",
    ):
        assert name.removeprefix("RAY_") in source
        assert f"`JOBGATE_{name}`" in PAGE
