from __future__ import annotations

import json
from pathlib import Path

import click
import pytest
from cryptography.hazmat.primitives.serialization import Encoding

from jobgate.cli.provider_files import read_provider
from jobgate.integrations.golem.provider import Mode
from support.golem import certify, issue


@pytest.mark.parametrize("name", ["cert-dir", "cert_dir"])
def test_data_directory_of_a_provider(name: str, tmp_path: Path) -> None:
    root = issue("root")
    (tmp_path / "rules.json").write_text('{"outbound": {"everyone": "none"}}')
    patterns = [{"domain": "a.com"}, {"domain": "b.com", "match": "regex"}]
    (tmp_path / "domain_whitelist.json").write_text(json.dumps({"patterns": patterns}))
    (tmp_path / name).mkdir()
    (tmp_path / name / "root.pem").write_bytes(root.certificate.public_bytes(Encoding.PEM))
    (tmp_path / name / "root.der").write_bytes(root.certificate.public_bytes(Encoding.DER))
    (tmp_path / name / "partner.signed.json").write_text(json.dumps(certify().document))
    provider, notes = read_provider(tmp_path)
    assert provider.rules.everyone is Mode.NONE
    assert provider.whitelist is not None
    assert provider.whitelist.entries() == ["a.com"]
    assert provider.anchors == (root.certificate, root.certificate)
    assert len(notes) == 1
    assert "not taken: no '$'" in notes[0]


def test_what_is_not_there_has_golems_default(tmp_path: Path) -> None:
    (tmp_path / "domain_whitelist.json").write_text('{"patterns": []}')
    provider, _ = read_provider(tmp_path)
    assert provider.rules.everyone is Mode.WHITELIST
    (tmp_path / "domain_whitelist.json").unlink()
    (tmp_path / "rules.json").write_text("{}")
    assert read_provider(tmp_path)[0].whitelist is None


@pytest.mark.parametrize(
    ("name", "content"),
    [("rules.json", "{"), ("rules.json", '{"outbound": 1}'), ("domain_whitelist.json", "[]")],
)
def test_file_that_cannot_be_read_is_an_error(name: str, content: str, tmp_path: Path) -> None:
    (tmp_path / name).write_text(content)
    with pytest.raises(click.UsageError, match=name):
        read_provider(tmp_path)


def test_folder_without_anything_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(click.UsageError, match="neither rules"):
        read_provider(tmp_path)


def test_certificate_that_is_a_folder_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "rules.json").write_text("{}")
    (tmp_path / "cert-dir" / "inner").mkdir(parents=True)
    with pytest.raises(click.UsageError, match="cannot be read"):
        read_provider(tmp_path)
