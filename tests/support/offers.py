"""What package managers and git fetch from the origin: static files, one tiny thing of each kind."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import shutil
import subprocess
import tarfile
from pathlib import Path

from .packages import offer_wheel

MAVEN_PARENT = """<project xmlns="http://maven.apache.org/POM/4.0.0"><modelVersion>4.0.0</modelVersion>
<groupId>test.tiny</groupId><artifactId>tiny</artifactId><version>1.0</version><packaging>pom</packaging></project>
"""


def offer_all(files: Path, work: Path, origins: dict[str, str]) -> None:
    """Put all of them below the folder that the origin serves.

    Args:
        files: That folder.
        work: For what is needed meanwhile.
        origins: Scheme to URL of the folder, for an index that names the whole URL of a package.
    """
    offer_wheel(files / "simple" / "tiny")
    (files / "tiny.tgz").write_bytes(_packed({"package/package.json": _manifest()}))
    _offer_crate(files, origins)
    _offer_debian_index(files / "apt")
    parent = files / "maven/test/tiny/tiny/1.0/tiny-1.0.pom"
    parent.parent.mkdir(parents=True)
    parent.write_text(MAVEN_PARENT)
    _sum_up(parent)
    if _has_git():
        offer_repository(files / "tiny.git", work)


def offer_repository(bare: Path, work: Path) -> None:
    """Offer a repository with one commit, for git's protocol over plain files."""
    tree = work / "tree"
    tree.mkdir(parents=True)
    (tree / "README").write_text("hello\n")
    identity = ["-c", "user.name=test", "-c", "user.email=test@example.com"]
    for command in (
        ["git", "init", "-q", str(tree)],
        ["git", "-C", str(tree), "add", "README"],
        ["git", "-C", str(tree), *identity, "commit", "-q", "-m", "first"],
        ["git", "clone", "-q", "--bare", str(tree), str(bare)],
        ["git", "-C", str(bare), "update-server-info"],
    ):
        subprocess.run(command, check=True, capture_output=True)


def _has_git() -> bool:
    return shutil.which("git") is not None


def _manifest() -> bytes:
    return json.dumps({"name": "tiny", "version": "1.0.0"}).encode()


def _packed(content: dict[str, bytes]) -> bytes:
    """A gzipped tar of these files."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as archive:
        for name, data in content.items():
            member = tarfile.TarInfo(name)
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
    return packed.getvalue()


def _offer_crate(files: Path, origins: dict[str, str]) -> None:
    """One crate in a sparse index for each scheme (the index names the whole URL of the crates)."""
    manifest = b'[package]\nname = "tiny"\nversion = "1.0.0"\nedition = "2021"\n'
    crate = _packed({"tiny-1.0.0/Cargo.toml": manifest, "tiny-1.0.0/src/lib.rs": b""})
    (files / "tiny.crate").write_bytes(crate)
    line = {"name": "tiny", "vers": "1.0.0", "deps": [], "features": {}, "yanked": False}
    line["cksum"] = hashlib.sha256(crate).hexdigest()
    for scheme, origin in origins.items():
        index = files / f"crates-{scheme}"
        (index / "ti/ny").mkdir(parents=True)
        (index / "config.json").write_text(json.dumps({"dl": f"{origin}/{{crate}}.crate"}))
        (index / "ti/ny/tiny").write_text(json.dumps(line) + "\n")


def _offer_debian_index(folder: Path) -> None:
    """A flat repository of no packages."""
    folder.mkdir()
    (folder / "Packages").write_bytes(b"")
    (folder / "Packages.gz").write_bytes(gzip.compress(b""))
    digest = hashlib.sha256(b"").hexdigest()
    (folder / "Release").write_text(f"Suite: test\nSHA256:\n {digest} 0 Packages\n")


def _sum_up(file: Path) -> None:
    """Maven looks for it beside each file."""
    digest = hashlib.sha1(file.read_bytes(), usedforsecurity=False).hexdigest()
    file.with_name(file.name + ".sha1").write_text(digest)
