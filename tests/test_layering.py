"""Who may import whom, read from the sources: the layers, the pure modules, the forbidden calls."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent

LAYERS = {
    "config": frozenset[str](),
    "ratelimit": frozenset[str](),
    "proxy": frozenset({"config", "ratelimit"}),
}
"""What each package of the data plane may import of ours, besides itself."""

EDGES = {
    "proxy": frozenset(
        {
            "accepting",
            "alarms",
            "alone",
            "buffers",
            "connection",
            "dial",
            "dnsquery",
            "fastpath",
            "forward",
            "gate",
            "heads",
            "hello",
        }
        | {
            "journal",
            "legs",
            "linger",
            "listener",
            "logwriter",
            "own",
            "peeking",
            "poller",
            "pool",
            "reach",
            "relay",
            "resolver",
            "sockets",
            "splice",
            "tunnel",
        }
        | {"upstream", "waiting", "watch", "wire"}
    ),
    "ratelimit": frozenset[str](),
    "config": frozenset[str](),
}
"""The modules that may touch sockets, the loop and the clock. Every other one is bytes and values only."""

IMPURE = frozenset(
    {"aiohttp", "asyncio", "concurrent", "dns", "multiprocessing", "select", "selectors", "signal", "socket"}
    | {"ssl", "subprocess", "threading", "time", "uvloop"}
)
"""What a pure module never imports."""

Check = Callable[[ast.Module], Iterator[str]]


def imports(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """Every module named by an import statement, wherever it stands; relative ones begin with dots."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            module = "." * node.level + (node.module or "")
            if module == "jobgate":
                yield from ((node.lineno, f"jobgate.{alias.name}") for alias in node.names)
            else:
                yield node.lineno, module


def layer_violations(package: str) -> Check:
    """Imports of ours that the layer does not allow."""

    def check(tree: ast.Module) -> Iterator[str]:
        for line, name in imports(tree):
            top, _, rest = name.partition(".")
            if top == "jobgate" and rest.split(".")[0] not in LAYERS[package]:
                yield f"{line}: {package} imports {name}"
            elif name.startswith(".."):
                yield f"{line}: {package} leaves its package by {name}"

    return check


def purity_violations(tree: ast.Module) -> Iterator[str]:
    """Imports that bring input, output or a clock into a pure module."""
    for line, name in imports(tree):
        if name.partition(".")[0] in IMPURE:
            yield f"{line}: a pure module imports {name}"


def bare_violations(tree: ast.Module) -> Iterator[str]:
    """Imports by a name that belongs to another project: it would be a second copy of the classes."""
    for line, name in imports(tree):
        if name.partition(".")[0] in LAYERS:
            yield f"{line}: write jobgate.{name}"


def integration_violations(tree: ast.Module) -> Iterator[str]:
    """Imports of what is made for one other system: only its own command needs that."""
    for line, name in imports(tree):
        if f"{name}.".startswith("jobgate.integrations."):
            yield f"{line}: imports {name}"


def command_violations(tree: ast.Module) -> Iterator[str]:
    """Imports of the command line, which stands above everything."""
    for line, name in imports(tree):
        if f"{name}.".startswith("jobgate.cli."):
            yield f"{line}: imports {name}"


def web_violations(tree: ast.Module) -> Iterator[str]:
    """Imports of aiohttp, which the data plane must never load."""
    for line, name in imports(tree):
        if name.partition(".")[0] == "aiohttp":
            yield f"{line}: the data plane imports {name}"


def write_eof_violations(tree: ast.Module) -> Iterator[str]:
    """Uses of ``write_eof``: uvloop frees memory twice there when short tunnels close."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and node.attr == "write_eof":
            yield f"{node.lineno}: write_eof"


def sleep_violations(tree: ast.Module) -> Iterator[str]:
    """Calls that wait for real time: any ``sleep`` whose argument is not a literal zero."""
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call):
            continue
        name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
        zero = bool(node.args) and isinstance(node.args[0], ast.Constant) and node.args[0].value == 0
        if name == "sleep" and not zero:
            yield f"{node.lineno}: a real sleep"


def python_files(*folders: str) -> list[Path]:
    """The sources below the folders, each by its real place (links are not followed)."""
    return sorted(
        path
        for folder in folders
        for path in (ROOT / folder).rglob("*.py")
        if not any(parent.is_symlink() for parent in path.parents)
    )


def found(check: Check, files: list[Path]) -> list[str]:
    """What a check says about these files."""
    return [
        f"{path.relative_to(ROOT)}:{text}" for path in files for text in check(ast.parse(path.read_text()))
    ]


def is_pure(path: Path) -> bool:
    return path.stem not in EDGES[path.parent.name]


@pytest.mark.parametrize("package", sorted(LAYERS))
def test_package_imports_only_what_its_layer_allows(package: str) -> None:
    files = python_files(package)
    assert files
    assert found(layer_violations(package), files) == []


@pytest.mark.parametrize("package", sorted(LAYERS))
def test_pure_modules_import_no_io_and_no_clock(package: str) -> None:
    assert found(purity_violations, [path for path in python_files(package) if is_pure(path)]) == []


def test_every_edge_exists() -> None:
    listed = {f"{package}/{name}.py" for package, names in EDGES.items() for name in names}
    assert listed <= {str(path.relative_to(ROOT)) for path in python_files(*EDGES)}


def test_nobody_imports_bare_names() -> None:
    assert found(bare_violations, python_files(*LAYERS, "src", "tests", "benchmarks")) == []


def test_integrations_are_for_commands_alone() -> None:
    outside = [
        path
        for path in python_files("src")
        if not {"cli", "integrations"} & set(path.relative_to(ROOT).parts)
    ]
    assert outside
    assert found(integration_violations, outside) == []


def test_integrations_stand_below_the_commands() -> None:
    files = python_files("src/jobgate/integrations")
    assert files
    assert found(command_violations, files) == []


def test_data_plane_source_names_no_aiohttp() -> None:
    assert found(web_violations, python_files(*LAYERS)) == []


def test_data_plane_loads_no_aiohttp() -> None:
    names = [f"jobgate.{path.parent.name}.{path.stem}" for path in python_files(*LAYERS)]
    modules = [name.removesuffix(".__init__") for name in names]
    program = (
        "import importlib, sys\n"
        "for name in sys.argv[1:]: importlib.import_module(name)\n"
        "print(sorted({'aiohttp', 'yarl'} & set(sys.modules)))\n"
    )
    path = f"import sys; sys.path.insert(0, {str(ROOT / 'src')!r})\n"
    done = subprocess.run(
        [sys.executable, "-c", path + program, *modules], capture_output=True, text=True, check=False
    )
    assert (done.stdout, done.stderr) == ("[]\n", "")


def test_data_plane_never_calls_write_eof() -> None:
    assert found(write_eof_violations, python_files("proxy", "ratelimit")) == []


def test_tests_never_sleep() -> None:
    assert found(sleep_violations, python_files("tests")) == []


@pytest.mark.parametrize(
    ("check", "bad", "good"),
    [
        (layer_violations("config"), "import jobgate.proxy.head", "from .host import Host"),
        (layer_violations("config"), "def f():\n    from jobgate import ratelimit", "import json"),
        (layer_violations("ratelimit"), "from jobgate.config import host", "from . import bucket"),
        (layer_violations("ratelimit"), "from jobgate import __version__", "import math"),
        (layer_violations("proxy"), "from jobgate.launch import run", "from jobgate.config.host import Host"),
        (layer_violations("proxy"), "from ..launch import run", "from jobgate.ratelimit import bucket"),
        (purity_violations, "import asyncio.events", "import httptools"),
        (purity_violations, "from time import monotonic", "from timeit import Timer"),
        (purity_violations, "if True:\n    import dns.resolver", "import ipaddress"),
        (bare_violations, "import proxy.head", "import jobgate.proxy.head"),
        (bare_violations, "from config import host", "from .config import host"),
        (integration_violations, "from jobgate import integrations", "import jobgate.gateway"),
        (command_violations, "from jobgate.cli.run import main", "import jobgate.client"),
        (web_violations, "from aiohttp import web", "import h11"),
        (write_eof_violations, "transport.write_eof()", "sock.shutdown(1)"),
        (sleep_violations, "await asyncio.sleep(0.01)", "await asyncio.sleep(0)"),
        (sleep_violations, "time.sleep(delay)", "event.wait(1)"),
        (sleep_violations, "sleep(1)", "run(['sleep', '1'])"),
    ],
)
def test_checker_sees_the_violation_and_only_that(check: Check, bad: str, good: str) -> None:
    assert len(list(check(parsed(bad)))) == 1
    assert list(check(parsed(good))) == []


def parsed(source: str) -> ast.Module:
    """A snippet as a module; ``await`` is put inside a coroutine."""
    return ast.parse(f"async def f():\n    {source}" if source.startswith("await ") else source)
