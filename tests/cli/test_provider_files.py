from __future__ import annotations

import json
from os import mkfifo
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


def kept(tmp_path: Path) -> Path:
    """The folder of certificates of a provider that has nothing else."""
    (tmp_path / "rules.json").write_text("{}")
    (tmp_path / "cert-dir").mkdir()
    return tmp_path / "cert-dir"


def test_certificates_may_be_a_secret_that_kubernetes_mounts(tmp_path: Path) -> None:
    """It has them in a folder with a date, a link to that, and a link for each file."""
    folder, root = kept(tmp_path), issue("root")
    (folder / "..2026").mkdir()
    (folder / "..2026" / "root.pem").write_bytes(root.certificate.public_bytes(Encoding.PEM))
    (folder / "..data").symlink_to("..2026")
    (folder / "root.pem").symlink_to("..data/root.pem")
    mkfifo(folder / "pipe")  # nobody writes to it
    assert read_provider(tmp_path)[0].anchors == (root.certificate,)


def test_file_that_is_no_certificate_is_told(tmp_path: Path) -> None:
    folder = kept(tmp_path)
    (folder / "cut.pem").write_bytes(issue("root").certificate.public_bytes(Encoding.PEM)[:300])
    (folder / "partner.signed.json").write_text(json.dumps(certify().document))
    provider, notes = read_provider(tmp_path)
    assert provider.anchors == ()
    assert notes == [f"{folder}/cut.pem: not taken: no X.509 certificate"]


@pytest.mark.parametrize("place", ["rules.json", "domain_whitelist.json", "cert-dir", "cert-dir/root.pem"])
def test_link_that_leads_nowhere_is_an_error(place: str, tmp_path: Path) -> None:
    """Not a file that is not there: the provider's rule could be stricter than the default."""
    if place != "rules.json":
        (tmp_path / "rules.json").write_text("{}")
    (tmp_path / place).parent.mkdir(exist_ok=True)
    (tmp_path / place).symlink_to("nowhere")
    with pytest.raises(click.UsageError, match=f"{place}: cannot be read: No such file"):
        read_provider(tmp_path)


def test_folder_of_certificates_that_cannot_be_listed_is_an_error(tmp_path: Path) -> None:
    kept(tmp_path).rmdir()
    (tmp_path / "cert-dir").write_text("")
    with pytest.raises(click.UsageError, match="cert-dir: cannot be read: Not a directory"):
        read_provider(tmp_path)


def test_data_directory_that_cannot_be_entered_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(click.UsageError, match=r"file/rules\.json: cannot be read: Not a directory"):
        read_provider(tmp_path / "file")
