"""docs/ray.md by its commands as written, on a machine that has the hosts of the page and nothing else."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

from support.pages import steps_of
from support.ray_cluster import MARKS, machine
from support.ray_site import site

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "ray.md"
ADDRESS = "93.184.215.14"  # a public one, which the gate dials without being told

pytestmark = MARKS


def test_commands_of_the_page_run_the_job_and_print_what_it_says() -> None:
    folder = Path("/tmp/jobgate-ray-page")  # noqa: S108  paths of sockets are short
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    shutil.copytree(ROOT / "examples", folder / "examples")
    (configuration,) = re.findall(r"```toml\n(.*?)```", PAGE.read_text(), re.DOTALL)
    (folder / "jobgate.toml").write_text(configuration)
    hosts = ("index.example", "upload.example")
    (folder / "hosts").write_text(f"127.0.0.1 localhost\n{ADDRESS} {' '.join(hosts)}\n")
    install, path, *steps = steps_of(PAGE)
    assert (install.command[:18], path.command[:12]) == ("python3.11 -m venv", "export PATH=")  # as we are
    shell = ["set -e", f"cd {folder}", f"exec > {folder}/said 2>&1", *(step.command for step in steps)]
    prepare = (
        f"ip address add {ADDRESS}/32 dev lo",
        f"mount --bind {folder}/hosts /etc/hosts",
        "mount -t tmpfs tmpfs /run",
    )
    trusted = dict.fromkeys(("SSL_CERT_FILE", "PIP_CERT"), f"{folder}/ca.pem")
    with machine(folder, *prepare) as made:
        served = made.start(*site(folder, *hosts, package=("six", "1.17.0"), at=(ADDRESS, "80", "443")))
        made.run(
            "bash", "-c", "\n".join(shell), environ={**trusted, "RAY_TMPDIR": f"{folder}/ray"}, code=None
        )
    served.communicate()  # it has ended with its machine
    said = (folder / "said").read_text()
    assert steps[-1].output
    for line in steps[-1].output:
        assert f"{line}\n" in said, said
    assert len(list((folder / "uploads").iterdir())) == 2
    shutil.rmtree(folder)
