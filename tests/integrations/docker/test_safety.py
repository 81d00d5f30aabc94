from __future__ import annotations

import pytest

from jobgate.integrations.docker.options import SWITCHES, VALUED, parse
from jobgate.integrations.docker.safety import REFUSED, judge


def judged(words: str) -> list[str]:
    return judge(parse([*words.split(" "), "alpine", "--privileged"]))


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("--network host", "--network: the only network of the job is its gate"),
        ("--net=bridge", "--net: the only network"),
        ("--network none", "--network: the only network"),
        ("--link db", "--link: the only network"),
        ("-p 80:80", "--publish: nothing reaches the job from outside"),
        ("-P", "--publish-all: nothing reaches"),
        ("--dns 192.0.2.1", "--dns: the gate resolves names"),
        ("--add-host a:192.0.2.1", "--add-host: the gate resolves names: write it into"),
        ("--privileged", "--privileged: a privileged container owns the host"),
        ("--privileged=yes", "--privileged: a privileged container owns the host"),
        ("--cap-add NET_ADMIN", '--cap-add: "NET_ADMIN": reaches beyond the job'),
        ("--cap-add=cap_net_admin", '--cap-add: "cap_net_admin"'),
        ("--cap-add ALL", '--cap-add: "ALL"'),
        ("--cap-add SYS_ADMIN", '--cap-add: "SYS_ADMIN"'),
        ("--cap-add NET_RAW", '--cap-add: "NET_RAW"'),
        ("--cap-add CHOWN,SYS_MODULE", '--cap-add: "SYS_MODULE"'),
        ("--pid host", '--pid: "host": the job would see processes'),
        ("--pid=container:x", '--pid: "container:x"'),
        ("--ipc host", '--ipc: "host": the job would share it with the host; for more shared memory'),
        ("--uts=host", '--uts: "host"'),
        ("--userns=host", '--userns: "host"'),
        ("--security-opt seccomp=unconfined", '--security-opt: "seccomp=unconfined"'),
        ("--security-opt apparmor:unconfined", '--security-opt: "apparmor:unconfined"'),
        ("--security-opt systempaths=unconfined", '--security-opt: "systempaths=unconfined"'),
        ("--device /dev/net/tun", '--device: "/dev/net/tun"'),
        ("--device /dev/dri/../mem", '--device: "/dev/dri/../mem"'),
        ("--device /dev/vsock", '--device: "/dev/vsock"'),
        ("--device vendor.example/nic=0", '--device: "vendor.example/nic=0"'),
        ("--device-cgroup-rule=a", "--device-cgroup-rule: the job could open devices"),
        ("-v /var/run/docker.sock:/s", '--volume: "/var/run/docker.sock": leads to /run'),
        ("--mount type=bind,src=/,dst=/host", '--mount: "/": leads to'),
        ("--volumes-from x", "--volumes-from: mounts that are not seen here"),
        ("--runtime kata", '--runtime: "kata"'),
        ("--use-api-socket", "--use-api-socket: with the engine's socket"),
        ("-d", "--detach: the gate lives as long as this command"),
        ("--restart always", "--restart: the gate lives as long as this command"),
        ("--pod x", "--pod: the only network"),
        ("--annotation a=b", "--annotation: annotations can change"),
        ("--volumes-from f", "--volumes-from: mounts that are not seen here"),
        ("--volumes-from=0", "--volumes-from: mounts that are not seen here"),
        ("--pod=false", "--pod: the only network"),
        ("--uts=container:x", '--uts: "container:x": the job would share it with others'),
        ("--userns=ns:/proc/1/ns/user", '--userns: "ns:/proc/1/ns/user"'),
    ],
)
def test_option_that_would_undo_the_isolation_is_refused_with_the_reason(words: str, message: str) -> None:
    (problem,) = judged(words)
    assert problem.startswith(message)


@pytest.mark.parametrize(
    "words",
    [
        "-it",
        "--privileged=false",
        "--restart no",
        "-u 1000:1000 -w /x -m 1g --cpus 2",
        "--cap-add SYS_PTRACE,cap_chown --cap-drop ALL",
        "--security-opt no-new-privileges:true",
        "--gpus all --device nvidia.com/gpu=all --device /dev/nvidia0:/dev/nvidia0",
        "--ipc private --pid private --shm-size 1g",
        "--userns keep-id",
        "-v /srv:/srv:ro -v data:/data -v /anonymous --tmpfs /tmp",
        "--hostname box",
        "--runtime nvidia",
    ],
)
def test_what_leaves_the_isolation_alone_passes(words: str) -> None:
    assert judged(words) == []


def test_all_problems_are_told_at_once() -> None:
    assert len(judged("--privileged --network host --cap-add NET_ADMIN")) == 3


def test_every_refused_option_is_one_that_is_read() -> None:
    assert REFUSED.keys() <= SWITCHES | VALUED
