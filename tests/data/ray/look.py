"""A job of Ray that says what its driver, its tasks and an actor see of the network, as JSON lines."""

from __future__ import annotations

import json
import os
import ssl
import urllib.error
import urllib.request

import ray

SITE = "https://www.ok.test:8443/hello"
EVIL = "http://evil.test:8080/hello"


def fetch(url: str) -> str:
    """What a client of the environment gets."""
    context = ssl.create_default_context(cafile=os.environ.get("SITE_CA"))
    try:
        with urllib.request.urlopen(url, timeout=60, context=context) as response:
            return str(response.read(), "utf-8")
    except urllib.error.HTTPError as error:
        return f"{error.code} {error.headers.get('X-Jobgate-Reason')}"
    except OSError as error:
        return str(error)


def look(who: str) -> int:
    """Say it."""
    report = {
        "who": who,
        "proxy": os.environ.get("http_proxy", ""),
        "no_proxy": os.environ.get("no_proxy", ""),
        "ray_job": os.environ.get("RAY_JOB_ID"),
        "allowed": fetch(SITE),
        "denied": fetch(EVIL),
    }
    print("REPORT", json.dumps(report), flush=True)
    return 42


class Looker:
    """An actor that looks."""

    def look(self) -> int:
        """Say it."""
        return look("actor")


def main() -> None:
    """Look from everywhere."""
    look("driver")
    ray.init(address="auto", log_to_driver=True)

    task, actor = ray.remote(look), ray.remote(Looker)

    narrow = {"egress": {"network": "http", "domains": ["evil.test"]}}
    found = ray.get(
        [
            task.remote("task"),
            actor.remote().look.remote(),
            task.options(runtime_env=narrow).remote("other-task"),
            task.options(runtime_env={"egress": None}).remote("none-said"),
            task.options(runtime_env={"env_vars": {"http_proxy": "http://own:1"}}).remote("own-proxy"),
        ]
    )
    print("RESULTS", found)
    for asked in ({"network": "full"}, {"network": "http", "domains": ["elsewhere.example"]}):
        try:
            print("WIDENED", ray.get(task.options(runtime_env={"egress": asked}).remote("wider")))
        except ray.exceptions.RuntimeEnvSetupError as error:
            print(
                "REFUSED",
                [line for line in str(error).splitlines() if "the node" in line][-1],
            )


main()
