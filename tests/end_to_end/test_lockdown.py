"""``jobgate lockdown`` in real namespaces: whoever is not the gate has no way out."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from support import way_out
from support.netns import namespace, needs_namespaces
from support.ordinary_user import UID, ordinary
from support.pod import INTERFACE, OUTSIDE4, OUTSIDE6, Pod, needs_nft, pod

pytestmark = [needs_namespaces, needs_nft]

JOB = 77
ALL = ["broadcast", "dns", "multicast6", "own header", "packet", "ping4", "ping6", "raw4", "raw6"]
ALL += ["tcp4", "tcp6", "udp4", "udp6"]
UNPRIVILEGED = ["broadcast", "dns", "multicast6", "tcp4", "tcp6", "udp4", "udp6"]
for name in filter(way_out.has, way_out.OPTIONAL):
    ALL = sorted([*ALL, name])
    UNPRIVILEGED = sorted([*UNPRIVILEGED, name])


@pytest.fixture(scope="module")
def open_pod() -> Iterator[Pod]:
    with pod() as made:
        yield made


@pytest.fixture(scope="module")
def locked() -> Iterator[Pod]:
    with pod() as made:
        done = made.jobgate("lockdown", "--uid", str(UID))
        assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
        yield made


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """A folder that everybody can read."""
    with TemporaryDirectory(prefix="jobgate-lockdown-") as folder:
        Path(folder).chmod(0o755)
        yield Path(folder)


@pytest.mark.parametrize(("uid", "ways"), [(0, ALL), (JOB, UNPRIVILEGED)], ids=["root", "a user"])
def test_without_a_lockdown_every_way_is_open(open_pod: Pod, uid: int, ways: list[str]) -> None:
    """What is tried below does arrive where nothing holds it."""
    outcomes, arrived = open_pod.try_all(uid)
    assert arrived == ways
    assert [name for name, outcome in sorted(outcomes.items()) if outcome == "ok"] == ways


def test_root_with_every_capability_has_no_way_out(locked: Pod) -> None:
    outcomes, arrived = locked.try_all(0)
    assert arrived == []
    assert set(outcomes) == set(ALL)
    assert "ok" not in outcomes.values()


def test_job_has_no_way_out_and_is_told_at_once(locked: Pod) -> None:
    outcomes, arrived = locked.try_all(JOB)
    assert arrived == []
    assert {outcomes[name] for name in UNPRIVILEGED if "tcp" in name} == {"ECONNREFUSED"}
    assert {outcomes[name] for name in UNPRIVILEGED if "tcp" not in name} == {"EPERM"}


def test_gate_goes_out(locked: Pod) -> None:
    outcomes, arrived = locked.try_all(UID)
    assert arrived == UNPRIVILEGED
    assert {outcomes[name] for name in UNPRIVILEGED} == {"ok"}


def test_refusals_are_counted(locked: Pod) -> None:
    before = locked.counters()
    locked.try_all(0)
    after = locked.counters()
    grown = {name for name, count in after.items() if count > before[name]}
    assert grown == {"refused, TCP", "refused, all else", "refused, past IP"}


LISTENER = """
import socket
with socket.create_server(("0.0.0.0", 8081)), socket.socket(type=socket.SOCK_DGRAM) as datagrams:
    datagrams.bind(("0.0.0.0", 8081))
    print("ready", flush=True)
    print(datagrams.recv(100).decode(), flush=True)
"""
KNOCK = """
import socket, sys
with socket.socket() as sock:
    sock.settimeout(1)
    print("answered" if sock.connect_ex(("10.55.0.2", 8081)) == 0 else "silent")
with socket.socket(type=socket.SOCK_DGRAM) as datagrams:
    datagrams.sendto(sys.argv[1].encode(), ("10.55.0.2", 8081))
"""


def test_nothing_comes_in_unasked(locked: Pod) -> None:
    """Neither a connection nor a datagram; from inside both do."""
    command = locked.inside.command(sys.executable, "-c", LISTENER)
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        assert locked.outside.run(sys.executable, "-c", KNOCK, "from outside") == "silent\n"
        assert locked.inside.run(sys.executable, "-c", KNOCK, "from inside") == "answered\n"
        assert process.stdout.readline() == "from inside\n"


def test_what_the_gate_sent_before_it_closed_arrives(locked: Pod) -> None:
    """The kernel sends it when the socket is nobody's any more."""
    size = 1_000_000
    server = (
        "import socket, sys\n"
        "with socket.socket() as server:\n"
        "    server.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)\n"
        "    server.bind(('0.0.0.0', 8082))\n"
        "    server.listen()\n"
        "    print('ready', flush=True)\n"
        "    with server.accept()[0] as sock:\n"
        "        sys.stdin.readline()\n"
        "        print(sum(map(len, iter(lambda: sock.recv(65536), b''))), flush=True)\n"
    )
    client = (
        f"import os, socket\nos.setresuid({UID}, {UID}, {UID})\n"
        "sock = socket.socket()\n"
        f"sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, {2 * size})\n"
        f"sock.connect(('{OUTSIDE4}', 8082))\n"
        "sock.setblocking(False)\n"
        f"print(sock.send(bytes({size})))\n"
    )
    command = locked.outside.command(sys.executable, "-c", server)
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        sent = int(locked.inside.run(sys.executable, "-c", client))
        received, _ = process.communicate("go\n", timeout=30)
    assert sent > 100_000  # much more than the other side takes in without reading
    assert int(received) == sent


def test_again_replaces_and_leaves_one_set_of_rules(locked: Pod) -> None:
    before = locked.inside.run("nft", "-s", "list", "ruleset")
    assert locked.jobgate("lockdown", "--uid", str(UID)).returncode == 0
    assert locked.inside.run("nft", "-s", "list", "ruleset") == before


def test_listen_closes_loopback_but_for_the_gate() -> None:
    dial = "import os, socket; os.setresuid({0}, {0}, {0}); socket.socket().connect(('127.0.0.1', {1}))"
    serve = (
        "import os, socket, sys\n"
        f"os.setresuid({UID}, {UID}, {UID})\n"
        "with socket.create_server(('127.0.0.1', 3128)), socket.create_server(('127.0.0.1', 3129)):\n"
        "    print('ready', flush=True)\n"
        "    sys.stdin.read()\n"
    )
    with pod() as made:
        command = made.inside.command(sys.executable, "-c", serve)
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
            assert process.stdout is not None
            assert process.stdout.readline() == b"ready\n"

            def reached() -> list[tuple[int, int]]:
                tried = [(uid, port) for uid in (0, JOB, UID) for port in (3128, 3129)]
                return [each for each in tried if not _status(made, dial.format(*each))]

            assert made.jobgate("lockdown", "--uid", str(UID)).returncode == 0
            assert len(reached()) == 6
            locked = made.jobgate("lockdown", "--uid", str(UID), "--listen", "127.0.0.1:3128")
            assert locked.returncode == 0
            assert reached() == [(0, 3128), (JOB, 3128), (UID, 3128), (UID, 3129)]
            process.kill()


def _status(made: Pod, code: str) -> int:
    command = made.inside.command(sys.executable, "-c", code)
    return subprocess.run(command, stderr=subprocess.DEVNULL, timeout=60, check=False).returncode


@pytest.mark.parametrize("wrap", [[], ordinary([])], ids=["root", "the gate"])
def test_check_is_satisfied_with_a_lockdown(locked: Pod, wrap: list[str]) -> None:
    done = locked.jobgate("lockdown", "--check", "--uid", str(UID), wrap=wrap)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


@pytest.mark.parametrize("wrap", [[], ordinary([])], ids=["root", "the gate"])
def test_check_says_what_is_open(open_pod: Pod, wrap: list[str]) -> None:
    done = open_pod.jobgate("lockdown", "--check", "--uid", str(UID), wrap=wrap)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == f"jobgate: no lockdown is in force: {INTERFACE} (IPv4) is open to every user\n"


def test_check_sees_one_family_that_is_open() -> None:
    with pod() as made:
        assert made.jobgate("lockdown", "--uid", str(UID)).returncode == 0
        made.inside.run("nft", "insert rule inet jobgate output meta nfproto ipv6 accept")
        for wrap in ([], ordinary([])):
            done = made.jobgate("lockdown", "--check", "--uid", str(UID), wrap=wrap)
            assert done.returncode == 1
            assert f"{INTERFACE} (IPv6) is open to every user" in done.stderr


def test_rules_of_another_kind_are_no_lockdown_for_the_gate() -> None:
    """A firewall that closes everything does not tell the gate's two sockets apart."""
    with pod() as made:
        made.inside.run("nft", "add table inet other")
        made.inside.run(
            "nft", "add chain inet other output { type filter hook output priority 0; policy drop; }"
        )
        done = made.jobgate("lockdown", "--check", "--uid", str(UID), wrap=ordinary([]))
        assert done.returncode == 1
        assert "is closed to the gate, too" in done.stderr


def test_rules_for_another_user_are_no_lockdown_for_this_gate() -> None:
    with pod() as made:
        assert made.jobgate("lockdown", "--uid", str(UID + 1)).returncode == 0
        done = made.jobgate("lockdown", "--check", "--uid", str(UID), wrap=ordinary([]))
        assert done.returncode == 1
        assert f"the rules are for another uid than {UID}" in done.stderr


def test_what_does_not_hold_fails_and_changes_nothing() -> None:
    """A right that is missing, and a rule that the kernel does not know: no table is left."""
    with pod() as made:
        done = made.jobgate(
            "lockdown", wrap=["setpriv", "--bounding-set=-net_admin", "--inh-caps=-net_admin"]
        )
        assert done.returncode == 1
        assert "jobgate: nothing is locked: the rules need CAP_NET_ADMIN over this" in done.stderr
        assert made.inside.run("nft", "list", "ruleset") == ""
        made.inside.run("ip", "link", "add", "odd}name", "type", "veth", "peer", "name", "peer0")
        done = made.jobgate("lockdown")
        assert done.returncode == 1
        assert done.stderr.startswith("jobgate: nothing is locked: cannot write rules for the interface")
        assert made.inside.run("nft", "list", "ruleset") == ""


def test_namespace_without_a_way_out_is_locked_before_it_has_one() -> None:
    with namespace() as alone:
        command = alone.command(sys.executable, "-m", "jobgate", "lockdown")
        subprocess.run(command, check=True, timeout=60)
        assert "skuid 65532" in alone.run("nft", "list", "ruleset")
        checked = subprocess.run(
            [*command, "--check"], capture_output=True, text=True, timeout=60, check=False
        )
        assert (checked.returncode, checked.stderr) == (
            1,
            "jobgate: no lockdown is in force: there is no route to ask about\n",
        )


FETCH = """
import os, socket, sys
os.setresuid(77, 77, 77)
sock = socket.socket()
sock.connect(("127.0.0.1", 3128))
sock.sendall(f"GET http://{sys.argv[1]}/ HTTP/1.0\\r\\n\\r\\n".encode())
print(b"".join(iter(lambda: sock.recv(4096), b"")).decode())
"""


def test_sidecar_starts_behind_a_lockdown_and_its_job_reaches_what_is_listed(
    locked: Pod, open_folder: Path
) -> None:
    config = open_folder / "gate.toml"
    config.write_text(
        f'[node]\nallow_addresses = ["{OUTSIDE4}", "{OUTSIDE6}"]\n'
        f'[dns.hosts]\n"four.test" = ["{OUTSIDE4}"]\n"six.test" = ["{OUTSIDE6}"]\n'
        '[[job]]\nid = "job"\nlisten = "127.0.0.1:3128"\n'
        'network = "http"\ndomains = ["four.test", "six.test"]\n'
    )
    gate = [sys.executable, "-m", "jobgate", "sidecar"]
    command = locked.inside.command(*ordinary(gate))
    with subprocess.Popen(
        command, env={**os.environ, "JOBGATE_CONFIG": str(config)}, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        try:
            assert json.loads(process.stdout.readline())["listen"] == {"job": "127.0.0.1:3128"}
            for name in ("four.test", "six.test"):
                answer = locked.inside.run(sys.executable, "-c", FETCH, f"{name}:8080")
                assert answer.endswith("\n\noutside\n"), answer
            assert locked.try_all(JOB)[1] == []
        finally:
            process.terminate()


def test_sidecar_without_a_lockdown_refuses_and_says_why(open_pod: Pod) -> None:
    done = open_pod.jobgate("sidecar", "--domain", "example.com", wrap=ordinary([]))
    assert (done.returncode, done.stdout) == (1, "")
    assert f"go around the gate by {INTERFACE} (no lockdown: {INTERFACE} (IPv4) is open to every user)" in (
        done.stderr
    )
    assert f"run `jobgate lockdown --uid {UID}`" in done.stderr
