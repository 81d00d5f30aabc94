"""The wheel is built from the map in ``pyproject.toml``; tools read the links. Both must say the same."""

from __future__ import annotations

import ast
import os
import shutil
import subprocess
import sys
import tomllib
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
SHELL = ROOT / "src" / "jobgate"
SETUPTOOLS = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]
PACKAGE_DIR: dict[str, str] = SETUPTOOLS["package-dir"]
PACKAGES: list[str] = SETUPTOOLS["packages"]
MAPPED = {name.removeprefix("jobgate."): folder for name, folder in PACKAGE_DIR.items() if name != "jobgate"}


def links(shell: Path) -> dict[str, str]:
    """The links of the shell package and where each of them points."""
    return {path.name: str(path.readlink()) for path in shell.iterdir() if path.is_symlink()}


def source_files(root: Path) -> Iterator[tuple[str, Path]]:
    """Every source file once, by its real place, with its module name below ``jobgate``."""
    for package, folder in PACKAGE_DIR.items():
        base = root / folder
        inner = package.removeprefix("jobgate").removeprefix(".")
        for directory, _, files in os.walk(base):  # does not follow links
            for path in (Path(directory, name) for name in files if name.endswith(".py")):
                parts = [inner, *path.relative_to(base).with_suffix("").parts]
                yield ".".join(part for part in parts if part), path


def has_code(path: Path) -> bool:
    """Whether a module defines a function or a class, and so needs a test."""
    kinds = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
    return any(isinstance(node, kinds) for node in ast.walk(ast.parse(path.read_text())))


def test_file_of(module: str) -> Path:
    """Where the test of a module stands: ``proxy.head`` in ``tests/proxy/test_head.py``."""
    *packages, name = module.split(".")
    return Path("tests", *packages, f"test_{name.strip('_')}.py")


test_file_of.__test__ = False  # type: ignore[attr-defined]  # a helper, not a test


def modules_without_test(root: Path) -> list[str]:
    """The modules with code that have no test module of their own."""
    wanted = ((module, path) for module, path in source_files(root) if has_code(path))
    return sorted(module for module, _ in wanted if not (root / test_file_of(module)).exists())


def test_links_are_the_map() -> None:
    assert links(SHELL) == {name: f"../../{folder}" for name, folder in MAPPED.items()}


def test_packages_are_those_on_disk() -> None:
    found = {"jobgate"} | {
        "jobgate." + module.removesuffix(".__init__")
        for module, path in source_files(ROOT)
        if path.name == "__init__.py" and module != "__init__"
    }
    assert set(PACKAGES) == found


def test_every_module_has_its_test() -> None:
    assert modules_without_test(ROOT) == []


def test_missing_test_module_is_found(tmp_path: Path) -> None:
    for folder in PACKAGE_DIR.values():
        (tmp_path / folder).mkdir(parents=True)
    (tmp_path / "proxy" / "stray.py").write_text("def f() -> None: ...\n")
    (tmp_path / "proxy" / "constants.py").write_text("A = 1\n")
    (tmp_path / "src" / "jobgate" / "cli").mkdir()
    (tmp_path / "src" / "jobgate" / "cli" / "__init__.py").write_text("def main() -> None: ...\n")
    assert modules_without_test(tmp_path) == ["cli.__init__", "proxy.stray"]


@pytest.mark.parametrize(
    ("module", "test"),
    [
        ("proxy.head", "tests/proxy/test_head.py"),
        ("cli.__init__", "tests/cli/test_init.py"),
        ("__main__", "tests/test_main.py"),
    ],
    ids=["module", "package", "top"],
)
def test_test_file_of(module: str, test: str) -> None:
    assert test_file_of(module) == Path(test)


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """The names inside a wheel built from a copy of the sources that has no links."""
    copy = tmp_path_factory.mktemp("checkout")
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, copy)
    for folder in ("src", *MAPPED.values()):
        shutil.copytree(ROOT / folder, copy / folder, ignore=ignore_links)
    build = "import sys; from setuptools import build_meta; build_meta.build_wheel(sys.argv[1])"
    done = subprocess.run(
        [sys.executable, "-c", build, "dist"], cwd=copy, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    (built,) = (copy / "dist").glob("*.whl")
    with zipfile.ZipFile(built) as archive:
        return archive.namelist()


def ignore_links(folder: str, names: list[str]) -> list[str]:
    """What a copy leaves out: links, as if they had been lost, and leftovers of builds."""
    return [name for name in names if (Path(folder) / name).is_symlink() or name in {"__pycache__", "build"}]


def test_wheel_installs_only_jobgate(wheel: list[str]) -> None:
    tops = {name.split("/", 1)[0] for name in wheel}
    assert {top for top in tops if not top.endswith(".dist-info")} == {"jobgate"}


def test_wheel_has_every_module_without_the_links(wheel: list[str]) -> None:
    expected = {f"jobgate/{module.replace('.', '/')}.py" for module, _ in source_files(ROOT)}
    assert expected <= set(wheel)


def test_wheel_has_the_files_of_the_dashboard(wheel: list[str]) -> None:
    assets = {path.name for path in (SHELL / "gateway" / "dashboard" / "assets").iterdir()}
    assert {"index.html", "main.js", "base.css", "icon.svg"} <= assets
    assert {f"jobgate/gateway/dashboard/assets/{name}" for name in assets} <= set(wheel)


def test_wheel_is_typed(wheel: list[str]) -> None:
    assert "jobgate/py.typed" in wheel
