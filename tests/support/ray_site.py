"""The internet of the Ray tests: an index with one package, a place for uploads, HTTPS with a certificate."""

from __future__ import annotations

import sys
import zipfile
from pathlib import Path

import trustme

PROGRAM = Path(__file__).parents[1] / "data" / "ray" / "site.py"


def site(folder: Path, *names: str, package: tuple[str, str], at: tuple[str, ...] = ()) -> list[str]:
    """Make its files.

    Args:
        folder: For them; ``ca.pem`` is for clients, ``uploads`` for what they send.
        names: Of its certificate.
        package: Name and version.
        at: Address and ports, if not those of the program.

    Returns:
        The command that serves it.
    """
    (folder / "uploads").mkdir()
    _write_package(folder / "index" / "simple", *package)
    authority = trustme.CA()
    authority.cert_pem.write_to_path(str(folder / "ca.pem"))
    issued = authority.issue_cert(*names)
    issued.private_key_and_cert_chain_pem.write_to_path(str(folder / "server.pem"))
    return [sys.executable, str(PROGRAM), str(folder), *at]


def _write_package(index: Path, name: str, version: str) -> None:
    """Make an index with one package: a wheel with one module."""
    folder = index / name
    folder.mkdir(parents=True)
    info = f"{name}-{version}.dist-info"
    with zipfile.ZipFile(folder / f"{name}-{version}-py3-none-any.whl", "w") as wheel:
        wheel.writestr(f"{name}.py", f"VERSION = {version!r}\n")
        wheel.writestr(f"{info}/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
        wheel.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        wheel.writestr(f"{info}/RECORD", "")
