from __future__ import annotations

import json
from pathlib import Path

import pytest

from jobgate.cli import call
from jobgate.cli.check import judge_resolved, verdict_text
from jobgate.client.values import Verdict
from jobgate.config.settings import DnsSettings, Settings
from jobgate.proxy.errors import Reason
from support import dns as script
from support.control_thread import TOKEN, control_thread
from support.dns import DnsServer
from support.policies import policy

FILE = """
[node]
deny = ["worse.example.com"]
allow_addresses = ["127.0.0.1:8081"]

[dns.hosts]
"ok.test" = ["127.0.0.1"]
"inside.test" = ["10.0.0.1"]
"outside.test" = ["198.51.100.1", "8.8.8.8"]

[[job]]
id = "train"
listen = "127.0.0.1:3128"
network = "http"
domains = [".example.com", "ok.test:8081", "inside.test", "outside.test", "127.0.0.1:8081", "192.168.1.1"]

[[job]]
id = "other"
listen = "127.0.0.1:3129"
network = "http"
domains = ["example.net"]
"""


@pytest.fixture
def config(tmp_path: Path) -> str:
    path = tmp_path / "gate.toml"
    path.write_text(FILE)
    return str(path)


@pytest.mark.parametrize(
    ("url", "code", "words"),
    [
        ("https://www.example.com/", 0, "allow  https://www.example.com/  by .example.com"),
        ("https://www.example.org/", 1, "deny   https://www.example.org/  not-listed: "),
        ("https://worse.example.com/", 1, "deny   https://worse.example.com/  denied: "),
        ("https://www.example.com:22/", 1, "deny   https://www.example.com:22/  port: "),
        ("http://127.0.0.1:8081/", 0, "allow  http://127.0.0.1:8081/  by 127.0.0.1:8081  -> 127.0.0.1"),
        ("https://192.168.1.1/", 1, "deny   https://192.168.1.1/  address: 192.168.1.1 is private"),
        ("https://127.1/", 1, "deny   https://127.1/  bad-request: "),
    ],
    ids=["allowed", "not listed", "denied", "port", "address lifted", "address", "bad request"],
)
def test_decision_is_explained(
    url: str, code: int, words: str, config: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert call(["check", "--config", config, "--job", "train", url]) == code
    assert capsys.readouterr().out.startswith(words)


@pytest.mark.parametrize(
    ("url", "code", "words"),
    [
        ("http://ok.test:8081/", 0, "by ok.test:8081  -> 127.0.0.1"),
        ("https://inside.test/", 1, "address: 10.0.0.1 is private"),
        ("https://outside.test/", 0, "by outside.test  -> 8.8.8.8"),
        ("https://not-there.example.org/", 1, "not-listed"),
    ],
    ids=["lifted", "private", "one good", "refused before DNS"],
)
def test_resolve_judges_the_addresses(
    url: str, code: int, words: str, config: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert call(["check", "--config", config, "--job", "train", "--resolve", url]) == code
    assert words in capsys.readouterr().out


async def test_resolve_refuses_no_address_by_an_incomplete_answer() -> None:
    lost = script.by_type(A=script.error("SERVFAIL"), AAAA=script.records("fd00::7"))
    async with DnsServer({"n.test": lost}) as server:
        settings = Settings(dns=DnsSettings(servers=(server.endpoint,)))
        (answer,) = await judge_resolved(["https://n.test/"], policy("n.test"), settings)
    assert (answer.reason, answer.addresses) == (Reason.DNS_FAILURE, ())
    assert "only some of the addresses of n.test" in answer.detail


def test_json_has_the_names_of_the_log(config: str, capsys: pytest.CaptureFixture[str]) -> None:
    urls = ["https://www.example.com/", "http://www.example.org/"]
    assert call(["check", "--config", config, "--job", "train", "--json", *urls]) == 1
    allowed, denied = map(json.loads, capsys.readouterr().out.splitlines())
    assert (allowed["decision"], allowed["rule"], allowed["reason"]) == ("allow", ".example.com", None)
    assert (denied["decision"], denied["reason"], denied["kind"]) == ("deny", "not-listed", "http")
    assert (denied["host"], denied["port"]) == ("www.example.org", 80)


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["--job", "nope"], 'no job "nope" in the configuration; it has: train, other'),
        ([], "the file has several jobs (train, other)"),
    ],
    ids=["unknown", "several"],
)
def test_job_must_be_clear(
    args: list[str], message: str, config: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert call(["check", "--config", config, *args, "https://x.example/"]) == 2
    assert message in capsys.readouterr().err


def test_job_of_the_gateway_is_judged_by_the_gateway(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "token").write_text(TOKEN)
    monkeypatch.setenv("JOBGATE_CONTROL_TOKEN_FILE", str(tmp_path / "token"))
    with control_thread(tmp_path) as base:
        monkeypatch.setenv("JOBGATE_CONTROL", base.removeprefix("http://"))
        assert call(["check", "--job", "a", "https://other.example/"]) == 1
        assert capsys.readouterr().out.startswith("deny   https://other.example/  not-listed: ")
        assert call(["check", "--job", "a", "--json", "https://other.example/"]) == 1
        assert json.loads(capsys.readouterr().out)["reason"] == "not-listed"
        assert call(["check", "--job", "nope", "https://other.example/"]) == 1
        assert capsys.readouterr().err == 'jobgate: No job "nope".\n'


@pytest.mark.parametrize(
    ("verdict", "text"),
    [
        (Verdict("u", "allow", None, ".e.com", ""), "allow  u  by .e.com"),
        (Verdict("u", "deny", "port", ".e.com", "no"), "deny   u  port: no"),
        (Verdict("u", "allow", "port", ".e.com", "no", "deny"), "allow  u  only reported: port: no"),
    ],
    ids=["allowed", "refused", "reported"],
)
def test_answer_of_a_gateway_reads_as_our_own(verdict: Verdict, text: str) -> None:
    assert verdict_text(verdict) == text
