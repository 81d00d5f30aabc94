"""Ray tasks that install a package and upload a result, through the gate of their job.

    ray job submit --working-dir . \\
        --runtime-env-json '{"egress": {"domains": ["index.example", "upload.example"]}}' \\
        -- jobgate ray check -- python ray_outbound.py \\
        --index https://index.example/simple --package six --upload https://upload.example/results

Each task has its own worker, whose variables lead pip and urllib to the gate. The node's network
needs to be nothing but the gate.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import json
import os
import subprocess
import sys
import tempfile
import urllib.request
from urllib.parse import urlsplit

import ray


def install(package: str, index: str, target: str) -> str:
    """Install a package from an index into a folder of the task's own; say which version came."""
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-input", "--disable-pip-version-check"]
    command += ["--target", target, "--index-url", index, package]
    place = urlsplit(index)
    if place.scheme == "http":  # which pip takes from no other host
        command += ["--trusted-host", place.hostname or ""]
    subprocess.run(command, check=True)
    (found,) = importlib.metadata.distributions(name=package, path=[target])
    return found.version


def upload(url: str, result: dict[str, object]) -> int:
    """Send a result; say what the other side answered."""
    request = urllib.request.Request(url, data=json.dumps(result).encode(), method="PUT")
    with urllib.request.urlopen(request, timeout=60) as response:
        return int(response.status)


@ray.remote(max_calls=1)
def work(number: int, package: str, index: str, destination: str) -> str:
    """Install, compute, upload."""
    with tempfile.TemporaryDirectory() as target:
        version = install(package, index, target)
    result: dict[str, object] = {"task": number, "installed": version, "job": os.environ["RAY_JOB_ID"]}
    status = upload(f"{destination}/task-{number}.json", result)
    return f"task {number}: installed {package} {version}, upload answered {status}"


def main() -> None:
    """Run the tasks and print what came of them."""
    parser = argparse.ArgumentParser(description="Install a package and upload a result, in Ray tasks.")
    parser.add_argument("--index", required=True, help="https://index.example/simple")
    parser.add_argument("--package", default="six")
    parser.add_argument("--upload", required=True, help="https://upload.example/results")
    parser.add_argument("--tasks", type=int, default=2)
    options = parser.parse_args()
    ray.init()
    tasks = [
        work.remote(number, options.package, options.index, options.upload) for number in range(options.tasks)
    ]
    for line in ray.get(tasks):
        print(line)


if __name__ == "__main__":
    main()
