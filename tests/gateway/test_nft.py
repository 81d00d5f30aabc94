from __future__ import annotations

from pathlib import Path

import pytest

from jobgate.gateway import nft
from jobgate.gateway.nft import NftError, explain, load


@pytest.fixture
def program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where a script is taken for ``nft``."""
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    monkeypatch.setattr(nft, "_ADMIN_PATH", "")
    return tmp_path / "nft"


def write(program: Path, script: str) -> None:
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)


def test_rules_are_its_standard_input(program: Path, tmp_path: Path) -> None:
    write(program, f'echo "$@" > {tmp_path}/args; cat > {tmp_path}/rules')
    load("table inet jobgate\n")
    assert (tmp_path / "args").read_text() == "-f -\n"
    assert (tmp_path / "rules").read_text() == "table inet jobgate\n"


def test_failure_is_an_error(program: Path) -> None:
    write(program, "cat > /dev/null; echo '/dev/stdin:1:1-5: Error: syntax error' >&2; exit 1")
    with pytest.raises(NftError, match=r"^nft: syntax error$"):
        load("nonsense")


def test_program_that_is_missing_is_named(program: Path) -> None:
    with pytest.raises(NftError, match="no program `nft` here: install the package nftables"):
        load("")


def test_program_that_does_not_end_is_an_error(program: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(nft, "_TIMEOUT_S", 0.05)
    write(program, "exec sleep 60")
    with pytest.raises(NftError, match="timed out"):
        load("")


def test_program_that_cannot_be_started_is_an_error(program: Path) -> None:
    program.write_bytes(b"\x7fELF")
    program.chmod(0o755)
    with pytest.raises(NftError, match="Exec format error"):
        load("")


@pytest.mark.parametrize(
    ("errors", "text"),
    [
        (
            "netlink: Error: cache initialization failed: Operation not permitted\n",
            "the rules need CAP_NET_ADMIN over this network namespace",
        ),
        (
            "/dev/stdin:44:11-16: Error: Could not process rule: No such file or directory\n"
            "    chain egress {\n          ^^^^^^\n",
            "nft: Could not process rule: No such file or directory: chain egress {",
        ),
        ("internal:0:0-0: Error: no\n", "nft: no"),
        ("Segmentation fault\n", "nft: Segmentation fault"),
        ("", "nft: failed and does not say why"),
    ],
    ids=["no right", "a rule", "one line", "no form", "silent"],
)
def test_explain(errors: str, text: str) -> None:
    assert explain(errors) == text
