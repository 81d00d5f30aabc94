"""A package index of one wheel, and the client that downloads from it."""

from __future__ import annotations

import sys
import zipfile
from pathlib import Path

PIP_DOWNLOAD = [sys.executable, "-m", "pip", "download", "--no-deps", "--no-cache-dir", "-d"]


def offer_wheel(folder: Path) -> str:
    """Offer one wheel by the simple repository API; return its file name."""
    folder.mkdir(parents=True, exist_ok=True)
    name = "tiny-1.0-py3-none-any.whl"
    metadata = "tiny-1.0.dist-info"
    with zipfile.ZipFile(folder / name, "w") as wheel:
        wheel.writestr("tiny.py", "")
        wheel.writestr(f"{metadata}/METADATA", "Metadata-Version: 2.1\nName: tiny\nVersion: 1.0\n")
        wheel.writestr(f"{metadata}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        wheel.writestr(f"{metadata}/RECORD", "")
    (folder / "index.html").write_text(f'<!DOCTYPE html><a href="/files/simple/tiny/{name}">{name}</a>')
    return name
