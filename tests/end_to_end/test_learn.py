"""Learn, enforce, pass: the policy that ``jobgate learn`` prints lets the same job pass."""

from __future__ import annotations

import subprocess
import sys
import tomllib
from collections.abc import Iterator

import pytest

from support.jobs import COMMAND, DEADLINE_S, as_identity, common_folder, environment
from support.world import World, running_world

FETCH_ALL = """
import sys, urllib.request
for url in sys.argv[1:]:
    assert len(urllib.request.urlopen(url, timeout=20).read()) == 5000
print("fetched", len(sys.argv) - 1)
"""


@pytest.fixture(scope="module")
def world() -> Iterator[World]:
    with running_world() as running:
        yield running


def learn(world: World, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [*COMMAND, "learn", "--config", str(world.configuration), *arguments]
    return subprocess.run(
        as_identity("user", command),
        env=environment(SSL_CERT_FILE=str(world.authority)),
        capture_output=True,
        text=True,
        timeout=DEADLINE_S,
        check=False,
    )


def test_the_learned_policy_lets_the_same_job_pass(world: World) -> None:
    urls = [world.url("http", "ok.test"), world.url("https", "other.test")]
    job = [sys.executable, "-c", FETCH_ALL, *urls]
    learned = learn(world, "--", *job)
    assert (learned.returncode, learned.stdout) == (0, "fetched 2\n"), learned.stderr
    policy, _, options = learned.stderr.partition("# as options: ")
    domains = tomllib.loads(policy)["domains"]
    assert domains == ["ok.test", f"other.test:{world.origin.tls_port}"]
    enforced = world.fetch("user", urls[0], "--config", str(world.configuration), *options.split())
    assert enforced.returncode == 0, enforced.stderr
    enforced = world.fetch("user", urls[1], "--config", str(world.configuration), *options.split())
    assert enforced.returncode == 0, enforced.stderr
    beyond = world.url("http", "other.test")
    refused = world.fetch("user", beyond, "--config", str(world.configuration), *options.split())
    assert "403 Forbidden (jobgate: port)" in refused.stderr


def test_what_learning_never_lifts(world: World) -> None:
    fetch = "import sys, urllib.request; urllib.request.urlopen(sys.argv[1], timeout=20)"
    inside = learn(world, "--", sys.executable, "-c", fetch, world.url("http", "inside.test"))
    assert "403: Forbidden (jobgate: address)" in inside.stderr
    denied = learn(
        world, "--deny", "ok.test", "--", sys.executable, "-c", fetch, world.url("http", "ok.test")
    )
    assert "403: Forbidden (jobgate: denied)" in denied.stderr
    for done in (inside, denied):
        assert "the job reached nothing" in done.stderr


def test_policy_goes_to_a_file_that_was_named(world: World) -> None:
    with common_folder() as folder:
        folder.chmod(0o777)
        path = folder / "learned.toml"
        job = [sys.executable, "-c", FETCH_ALL, world.url("https", "ok.test")]
        done = learn(world, "--output", str(path), "--", *job)
        assert done.returncode == 0, done.stderr
        assert tomllib.loads(path.read_text())["domains"] == [f"ok.test:{world.origin.tls_port}"]
        assert "domains" not in done.stderr
