"""Cases Ry1 to Ry10 with a real Ray cluster; the commands are those of docs/ray.md."""

from __future__ import annotations

import asyncio
import fcntl
import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import cast

import pytest

from jobgate.client import Client
from jobgate.client.values import Job
from support.ray_cluster import DASHBOARD, MARKS, PLUGINS, Cluster, Machine, machine
from support.ray_site import site

ROOT = Path(__file__).parents[2]
DATA = ROOT / "tests" / "data" / "ray"

pytestmark = MARKS

LEASE_S = 8
GATEWAY = """
[node]
networks = ["none", "http"]
allow = [".ok.test", "evil.test"]
allow_addresses = ["127.0.0.1"]
http_ports = ["8080"]
connect_ports = ["8443"]

[listen]
proxy = ["127.0.0.1:3128"]
control = "{folder}/control.sock"

[dns]
servers = ["127.0.0.1:9"]

[dns.hosts]
"www.ok.test" = ["127.0.0.1"]
"index.ok.test" = ["127.0.0.1"]
"upload.ok.test" = ["127.0.0.1"]
"evil.test" = ["127.0.0.1"]

[[job]]                              # what Ray's agents install for runtime_env "pip"
id = "ray-agent"
token = "s3cret-of-the-agent"
network = "http"
domains = ["index.ok.test"]
"""
EGRESS = {"network": "http", "domains": [".ok.test"]}
INDEX = "http://index.ok.test:8080/simple"
Report = dict[str, str]


@pytest.fixture(scope="module")
def here() -> Iterator[Machine]:
    """A machine with a site of packages and uploads, and a gateway."""
    folder = Path("/tmp/jobgate-ray")  # noqa: S108  Ray's sockets have long names, and paths of sockets are short
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    program = site(folder, "www.ok.test", package=("gatepkg", "1.5"))
    (folder / "gateway.toml").write_text(GATEWAY.format(folder=folder))
    with machine(folder) as made:
        processes = [
            made.start(*program),
            made.start("jobgate", "serve", "--config", str(folder / "gateway.toml")),
        ]
        yield made
        for process in processes:
            process.kill()
            process.wait()
            assert process.stdout is not None
            process.stdout.close()
    shutil.rmtree(folder)


@pytest.fixture(scope="module")
def cluster(here: Machine) -> Cluster:
    """A cluster with the plugin, whose agents have a gate of their own."""
    variables = here.run(
        "jobgate", "env", "ray-agent", "--config", f"{here.folder}/gateway.toml", "--format", "json"
    )
    environ = {
        **cast("dict[str, str]", json.loads(variables.stdout)),
        "RAY_RUNTIME_ENV_PLUGINS": PLUGINS,
        "JOBGATE_CONTROL": f"{here.folder}/control.sock",
        "JOBGATE_RAY_LEASE_S": str(LEASE_S),
        "SITE_CA": f"{here.folder}/ca.pem",
        # Ray loses count of workers that it starts ahead of need when the job ends meanwhile.
        "RAY_prestart_worker_first_driver": "0",
    }
    made = Cluster(here, environ)
    made.start()
    return made


def jobs(here: Machine) -> dict[str, Job]:
    """The jobs of the gateway by id, without the agent's own."""

    async def ask() -> dict[str, Job]:
        async with Client(f"{here.folder}/control.sock") as gateway:
            return {job.id: job async for job in gateway.jobs() if job.id != "ray-agent"}

    return asyncio.run(ask())


def egress(name: str) -> dict[str, object]:
    """A policy that no other test has: it denies a name of its own."""
    return {**EGRESS, "deny": [f"{name}.ok.test"]}


def policies(here: Machine, name: str) -> list[Job]:
    """What the gateway serves of ``egress(name)``."""
    found = jobs(here).values()
    return [job for job in found if job.origin == "api" and job.settings["deny"] == [f"{name}.ok.test"]]


def reports(output: str) -> dict[str, Report]:
    """What ``look.py`` said, by who said it."""
    found = [json.loads(line.partition("REPORT ")[2]) for line in output.splitlines() if "REPORT " in line]
    return {report["who"]: report for report in found}


@pytest.fixture(scope="module")
def seen(cluster: Cluster) -> str:
    """What one submitted job saw from everywhere."""
    return cluster.submit(
        {"egress": EGRESS}, "jobgate", "ray", "check", "--", "python", str(DATA / "look.py")
    )


def test_Ry1_everybody_is_behind_the_gate_and_ray_works(seen: str, here: Machine) -> None:
    said = reports(seen)
    assert set(said) == {"driver", "task", "actor", "other-task", "none-said", "own-proxy"}, seen
    for who in ("driver", "task", "actor", "none-said", "own-proxy"):
        assert (said[who]["allowed"], said[who]["denied"]) == ("hello", "403 not-listed"), said[who]
        assert said[who]["no_proxy"].split(",")[:3] == ["localhost", "127.0.0.1", "::1"]
    assert (said["other-task"]["allowed"][:40], said["other-task"]["denied"]) == (
        "<urlopen error Tunnel connection failed:",
        "hello",
    )
    assert "RESULTS [42, 42, 42, 42, 42]" in seen


def test_Ry1_names_are_those_of_the_ray_job_and_of_the_submission(seen: str) -> None:
    said = reports(seen)
    task, driver = said["task"]["proxy"], said["driver"]["proxy"]
    assert said["task"]["ray_job"] != "01000000"
    assert f".{said['task']['ray_job']}:" in task
    assert ".raysubmit_" in driver
    assert task.partition(".")[0] == driver.partition(".")[0] == said["actor"]["proxy"].partition(".")[0]
    assert said["other-task"]["proxy"].partition(".")[0] != task.partition(".")[0]


def test_Ry4_wider_task_is_refused(seen: str) -> None:
    refused = [line for line in seen.splitlines() if line.startswith("REFUSED")]
    assert len(refused) == 2, seen
    assert 'the node does not accept "full", only: none, http' in refused[0]
    assert '"elsewhere.example" is not covered by the node' in refused[1]
    assert "WIDENED" not in seen


BULK = """
import fcntl, os, pathlib, sys, time, urllib.request
import ray

ray.init()
folder = pathlib.Path(sys.argv[1])

@ray.remote
def load():
    start = time.monotonic()
    content = urllib.request.urlopen("http://www.ok.test:8080/bulk").read()
    job = os.environ["RAY_JOB_ID"]
    (folder / f"done-{job}").write_text(f"{len(content)} {time.monotonic() - start:.2f}")
    with (folder / "go").open() as go:
        fcntl.flock(go, fcntl.LOCK_SH)  # when the test has seen us

ray.get(load.remote())
"""


def test_Ry5_two_jobs_with_equal_policy_have_a_rate_each(cluster: Cluster, here: Machine) -> None:
    (here.folder / "bulk.py").write_text(BULK)
    bulk = ["python", f"{here.folder}/bulk.py", str(here.folder)]
    with (here.folder / "go").open("w") as go:
        fcntl.flock(go, fcntl.LOCK_EX)
        cluster.submit_together({"egress": egress("two")}, [bulk, bulk])
        here.until(lambda: len(list(here.folder.glob("done-*"))) == 2)
        names = [path.name.removeprefix("done-") for path in here.folder.glob("done-*")]
        (group,) = policies(here, "two")
        live = {name: jobs(here)[f"{group.id}.{name}"].live for name in names}
    for one in live.values():
        assert one.rate_down == 1_250_000  # 10 Mbit/s, of its own
        assert one.bytes_down > 5_000_000
        assert one.wait_down_s > 0  # which held it back


def test_Ry2_policy_ends_with_its_last_worker(cluster: Cluster, here: Machine) -> None:
    program = "import ray; ray.init(); ray.get(ray.remote(lambda: 7).remote()); print('WORKED')"
    assert "WORKED" in cluster.submit({"egress": egress("last")}, "python", "-c", program)
    here.until(lambda: not policies(here, "last"))


def test_Ry6_grpc_that_knows_proxies_finds_ray(cluster: Cluster) -> None:
    program = "import ray; ray.init(); print('GOT', ray.get(ray.remote(lambda: 7).remote()))"
    env = {"egress": EGRESS, "env_vars": {"RAY_grpc_enable_http_proxy": "1"}}
    assert "GOT 7" in cluster.submit(env, "python", "-c", program)


def test_Ry7_job_submits_a_job_with_and_within_the_variables_of_the_gate(cluster: Cluster) -> None:
    inner = ["ray", "job", "submit", "--address", DASHBOARD, "--", "echo", "inner job ran"]
    assert "inner job ran" in cluster.submit({"egress": EGRESS}, *inner, environ=cluster.environ)


def test_Ry9_agent_installs_through_a_gate_of_its_own(cluster: Cluster, here: Machine) -> None:
    options = ["--index-url", INDEX, "--trusted-host", "index.ok.test"]
    pip = {"packages": ["gatepkg"], "pip_install_options": options}
    program = "import gatepkg; print('INSTALLED', gatepkg.VERSION)"
    found = cluster.submit({"egress": EGRESS, "pip": pip}, "python", "-c", program)
    assert "INSTALLED 1.5" in found

    async def reached() -> list[str]:
        async with Client(f"{here.folder}/control.sock") as gateway:
            return [host.authority for host in (await gateway.usage("ray-agent")).reached]

    assert asyncio.run(reached()) == ["index.ok.test:8080"]


def test_Ry10_image_with_egress_is_refused_by_name(cluster: Cluster) -> None:
    said = cluster.submit({"egress": EGRESS, "image_uri": "registry.example/x"}, "true", code=1)
    assert "The 'image_uri' field currently cannot be used together with other fields" in said
    assert "egress" in said
    said = cluster.submit({"egress": {"network": "web"}}, "true", code=1)
    assert "egress.network: expected one of: none, http, full" in said


def test_example_installs_and_uploads_through_the_gate(cluster: Cluster, here: Machine) -> None:
    asked = {"network": "http", "domains": ["index.ok.test", "upload.ok.test"]}
    said = cluster.submit(
        {"egress": asked},
        *("jobgate", "ray", "check", "--", "python", str(ROOT / "examples" / "ray_outbound.py")),
        *("--index", INDEX, "--package", "gatepkg", "--upload", "http://upload.ok.test:8080/results"),
    )
    for number in (0, 1):
        assert f"task {number}: installed gatepkg 1.5, upload answered 201" in said
        result = json.loads((here.folder / "uploads" / f"task-{number}.json").read_text())
        assert (result["task"], result["installed"]) == (number, "1.5")


DETACHED = """
import ray
ray.init(namespace="kept")

@ray.remote(lifetime="detached", name="kept")
class Kept:
    def ready(self):
        return True

print("KEPT", ray.get(Kept.remote().ready.remote()))
"""


def test_Ry3_policy_of_a_detached_actor_ends_after_ray(cluster: Cluster, here: Machine) -> None:
    assert "KEPT True" in cluster.submit({"egress": egress("kept")}, "python", "-c", DETACHED)
    (group,) = policies(here, "kept")
    assert group.state == "active"
    here.run("ray", "stop", "--force")
    here.until(lambda: jobs(here)[group.id].state == "expired")


SAID = "is the plugin in RAY_RUNTIME_ENV_PLUGINS of this node"


@pytest.fixture(scope="module")
def plain(here: Machine) -> Cluster:
    """A cluster without the plugin, in the place of the one before."""
    here.run("ray", "stop", "--force")
    made = Cluster(here, {})
    made.start()
    return made


def test_Ry8_driver_without_the_plugin_is_not_started(plain: Cluster) -> None:
    program = "import os; print('RAN with', os.environ.get('http_proxy'))"
    command = ("python", "-c", program)
    assert "RAN with None" in plain.submit({"egress": EGRESS}, *command)  # what Ray does by itself
    said = plain.submit({"egress": EGRESS}, "jobgate", "ray", "check", "--", *command, code=1)
    assert SAID in said
    assert "RAN with None" not in said


def test_Ry8_worker_without_the_plugin_is_not_started(plain: Cluster) -> None:
    program = "import ray; ray.init(); print('WORKED', ray.get(ray.remote(lambda: 7).remote()))"
    hook = {"worker_process_setup_hook": "jobgate.integrations.ray.guard.require_gate"}
    said = plain.submit({"egress": EGRESS, **hook}, "python", "-c", program, code=1)
    assert SAID in said
    assert "WORKED 7" not in said
