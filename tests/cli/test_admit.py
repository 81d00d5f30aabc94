from __future__ import annotations

import base64
import io
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from jobgate.cli import call
from jobgate.cli.admit import one_line, read_document
from jobgate.integrations.bacalhau_admit import PROBE_VARIABLE
from jobgate.integrations.documents import DocumentError
from support.golem import NODE_ID, certify, demand, describe

GOOD = '{"Job": {"Tasks": [{"Name": "main", "Network": {"Type": "HTTP", "Domains": ["example.com"]}}]}}'
BAD = GOOD.replace("example.com", "malware.com")
OLD = '{"node_id": "n", "job_id": "j", "spec": {"Network": {"Type": "HTTP", "Domains": ["malware.com"]}}}'
MANIFEST = '{"compManifest": {"net": {"inet": {"out": {"urls": ["https://example.com/x"]}}}}}'
NO_NETWORK = '{"Job": {"Tasks": [{}]}}'
POLICY = """
[node]
networks = ["none", "http"]
allow = ["example.com", ".example.net"]
refusal_note = "ask ops@example.com"
"""


@pytest.fixture
def policy(tmp_path: Path) -> str:
    path = tmp_path / "jobgate.toml"
    path.write_text(POLICY)
    return str(path)


@pytest.fixture(autouse=True)
def no_probe(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(PROBE_VARIABLE, raising=False)


def standard_input(monkeypatch: pytest.MonkeyPatch, text: str | bytes) -> None:
    raw = text.encode() if isinstance(text, str) else text
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(raw)))


@pytest.mark.parametrize(
    ("job", "code", "words"),
    [
        (GOOD, 0, 'accepted: task "main": http: example.com\n'),
        (MANIFEST, 0, "accepted: http: example.com:443\n"),
        (base64.b64encode(MANIFEST.encode()).decode(), 0, "accepted: http: example.com:443\n"),
        (NO_NETWORK, 0, "accepted: task 1: none\n"),
        (BAD, 1, '"malware.com" is not covered'),
        (OLD, 1, '"malware.com" is not covered'),
        (
            MANIFEST.replace("example.com", "evil.com"),
            1,
            "Everyone rule didn't match whitelist: evil.com:443",
        ),
        ("not json", 1, "neither a JSON object nor one in base64"),
        ("", 1, "not JSON"),
        ("{", 1, "not JSON"),
        ("{}", 1, "neither a job of Bacalhau"),
        ("[]", 1, "neither a JSON object"),
        ('{"Job": {}, "compManifest": {}}', 1, "neither a job of Bacalhau"),
        ('{"Job": {"Tasks": []}}', 1, "no Tasks"),
        (b"\xff\xfe", 1, "neither a JSON object"),
    ],
)
def test_verdict_is_the_exit_code(
    job: str | bytes,
    code: int,
    words: str,
    policy: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    standard_input(monkeypatch, job)
    assert call(["admit", "--policy", policy, "-"]) == code
    printed = capsys.readouterr()
    if code == 0:
        assert (printed.out, printed.err) == (words, "")
    else:
        assert printed.out == ""
        assert words in printed.err
        assert printed.err.endswith("\nask ops@example.com\n")


def test_job_comes_from_file_variable_or_standard_input(
    policy: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "job.json").write_text(GOOD)
    standard_input(monkeypatch, BAD)
    assert call(["admit", "--policy", policy, str(tmp_path / "job.json")]) == 0
    monkeypatch.setenv(PROBE_VARIABLE, GOOD)
    assert call(["admit", "--policy", policy]) == 0
    assert call(["admit", "--policy", policy, "-"]) == 1
    monkeypatch.delenv(PROBE_VARIABLE)
    standard_input(monkeypatch, GOOD)
    assert call(["admit", "--policy", policy]) == 0
    standard_input(monkeypatch, BAD)
    assert call(["admit", "--policy", policy]) == 1


@pytest.mark.parametrize(
    "words", [["--policy", "/nonexistent"], ["/nonexistent.json"], ["--golem", "/nonexistent"], ["--no-such"]]
)
def test_what_the_operator_got_wrong_is_exit_code_2(
    words: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    standard_input(monkeypatch, NO_NETWORK)
    assert call(["admit", *words]) == 2
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize(
    ("text", "job", "code"),
    [
        pytest.param(None, NO_NETWORK, 0, id="no-policy-none"),
        pytest.param(None, GOOD, 1, id="no-policy-http"),
        pytest.param('[node]\nallow = ["example.com"]', GOOD, 1, id="networks-not-said"),
        pytest.param("[node]", NO_NETWORK, 0, id="networks-not-said-none"),
        pytest.param('[node]\nnetworks = ["http"]', GOOD, 0, id="no-list-jobs-decide"),
        pytest.param('[node]\nnetworks = ["http"]', NO_NETWORK, 1, id="none-not-accepted"),
        pytest.param('[node]\nnetworks = ["http"]\nallow = []', GOOD, 1, id="empty-list-allows-nothing"),
        pytest.param('[node]\nnetworks = ["http"]\ndeny = ["example.com"]', GOOD, 1, id="denied"),
    ],
)
def test_node_accepts_no_network_alone_unless_it_says_so(
    text: str | None, job: str, code: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    options = []
    if text is not None:
        (tmp_path / "p.toml").write_text(text)
        options = ["--policy", str(tmp_path / "p.toml")]
    standard_input(monkeypatch, job)
    assert call(["admit", *options]) == code


def test_policy_may_be_in_the_environment(policy: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("JOBGATE_POLICY", "JOBGATE_CONFIG"):
        with monkeypatch.context() as inside:
            inside.setenv(name, policy)
            standard_input(inside, GOOD)
            assert call(["admit"]) == 0


def test_default_network_is_said_by_the_operator(policy: str, monkeypatch: pytest.MonkeyPatch) -> None:
    job = '{"Job": {"Tasks": [{"Network": {"Type": "Default"}}]}}'
    for options, code in (([], 0), (["--default-network", "none"], 0), (["--default-network", "full"], 1)):
        standard_input(monkeypatch, job)
        assert call(["admit", "--policy", policy, *options]) == code


def test_verdict_as_json(
    policy: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    standard_input(monkeypatch, GOOD)
    assert call(["admit", "--policy", policy, "--json"]) == 0
    task = {"place": 'task "main"', "network": "http", "domains": ["example.com"]}
    assert json.loads(capsys.readouterr().out) == {"accepted": True, "reasons": [], "tasks": [task]}
    standard_input(monkeypatch, BAD)
    assert call(["admit", "--policy", policy, "--json"]) == 1
    printed = capsys.readouterr()
    verdict = json.loads(printed.out)
    assert verdict["accepted"] is False
    assert "malware.com" in verdict["reasons"][0]
    assert "malware.com" in printed.err


def provider(tmp_path: Path, rules: object) -> Path:
    folder = tmp_path / "ya-provider"
    folder.mkdir()
    (folder / "rules.json").write_text(json.dumps({"outbound": rules}))
    (folder / "domain_whitelist.json").write_text(
        json.dumps({"patterns": [{"domain": "example.com"}, {"domain": "loose.com", "match": "regex"}]})
    )
    return folder


def test_golem_provider_and_partner(
    policy: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from datetime import UTC, datetime

    from jobgate.integrations.golem.certificate import verify_descriptor

    always = (datetime(2000, 1, 1, tzinfo=UTC), datetime(2999, 1, 1, tzinfo=UTC))
    descriptor = describe(certify(period=always), permissions="all", period=always)
    partner = verify_descriptor(descriptor, datetime.now(UTC)).fingerprints[0]
    rules = {"everyone": "none", "partner": {partner: {"mode": "whitelist", "description": ""}}}
    options = ["admit", "--policy", policy, "--golem", str(provider(tmp_path, rules))]
    document = demand(["https://example.com"], descriptor=descriptor, requestor="")
    standard_input(monkeypatch, json.dumps(document))
    assert call([*options, "--requestor", NODE_ID.upper()]) == 0
    standard_input(monkeypatch, json.dumps(document))
    assert call(options) == 1
    printed = capsys.readouterr().err
    assert "refused: Outbound rejected because: Everyone rule is disabled\n" in printed
    assert "an unknown node" in printed
    assert "'loose.com': not taken: no '$'" in printed


def test_provider_whose_files_are_wrong_is_exit_code_2(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    standard_input(monkeypatch, MANIFEST)
    assert call(["admit", "--golem", str(provider(tmp_path, {"everyone": "some"}))]) == 2
    assert "the mode is all, whitelist or none" in capsys.readouterr().err


def test_missing_library_is_exit_code_2(
    policy: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "cryptography.hazmat.primitives.asymmetric.ed25519", None)
    standard_input(monkeypatch, json.dumps(demand(["https://example.com"], descriptor=describe(certify()))))
    assert call(["admit", "--policy", policy]) == 2
    assert "install jobgate[golem]" in capsys.readouterr().err


def test_nothing_of_a_job_breaks_the_lines_of_the_answer(
    policy: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    names = ["evil\n\x1b[2Jaccepted: x.com", "\u202eexample.com", "x" * 5000]
    task = {"Name": "\x1b]0;x\x07\nname", "Network": {"Type": "HTTP", "Domains": names}}
    standard_input(monkeypatch, json.dumps({"Job": {"Tasks": [task]}}))
    assert call(["admit", "--policy", policy]) == 1
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 4
    assert all(line.isprintable() and len(line) < 600 for line in lines)
    assert one_line("a\nb\x1b") == "a\\nb\\x1b"


def test_answer_is_bounded(
    policy: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    names = [f"h{number}.evil.com" for number in range(1000)]
    task = {"Network": {"Type": "HTTP", "Domains": names}}
    standard_input(monkeypatch, json.dumps({"Job": {"Tasks": [task]}}))
    assert call(["admit", "--policy", policy]) == 1
    lines = capsys.readouterr().err.splitlines()
    assert lines[-2:] == ["refused: and for 950 more reasons", "ask ops@example.com"]
    assert len(lines) == 52


def test_read_document_refuses_what_is_no_object() -> None:
    with pytest.raises(DocumentError, match="expected an object"):
        read_document(base64.b64encode(b"[]").decode())


def test_probe_as_bacalhau_runs_it(policy: str, tmp_path: Path) -> None:
    """``bash -c``, the job in the variable and on standard input, PATH, and nothing else."""
    folder = Path(sys.executable).parent
    environment = {PROBE_VARIABLE: BAD, "PATH": f"{folder}:{os.environ['PATH']}"}
    done = subprocess.run(
        ["bash", "-c", f"python -m jobgate admit --policy {policy}"],
        env={**environment, "PYTHONPATH": os.pathsep.join(sys.path)},
        input=BAD,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith('refused: task "main": domains: "malware.com"')


def test_command_does_not_load_the_gate() -> None:
    program = (
        "import sys; from jobgate.cli import call\n"
        "sys.argv = []; call(['admit', '--json', '/dev/null'])\n"
        "print(sorted({'aiohttp', 'uvloop', 'cryptography', 're2', 'asyncio'} & set(sys.modules)))\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"
