"""Each of these loads an event loop in a process of its own."""

from __future__ import annotations

import subprocess
import sys

import pytest

from jobgate.cli import WITHOUT_TLS
from support.serve import ENVIRONMENT

MAPS = "print(any('libssl' in line or 'libcrypto' in line for line in open('/proc/self/maps')))\n"
LOAD = "from jobgate.without_tls import load_event_loop\nload_event_loop()\n"


def run(program: str) -> list[str]:
    done = subprocess.run(
        [sys.executable, "-c", program], env=ENVIRONMENT, capture_output=True, text=True, check=True
    )
    assert done.stderr == ""
    return done.stdout.split()


@pytest.mark.parametrize("loop", ["uvloop", "asyncio"])
def test_loop_serves_without_openssl(loop: str) -> None:
    program = (
        "import asyncio, uvloop\n"
        "async def echo(reader, writer):\n"
        "    writer.write(await reader.read())\n"
        "    writer.close()\n"
        "async def main():\n"
        "    server = await asyncio.start_server(echo, '127.0.0.1', 0)\n"
        "    reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())\n"
        "    writer.write(b'text')\n"
        "    writer.write_eof()\n"
        "    print((await reader.read()).decode())\n"
        "    writer.close()\n"
        "    server.close()\n"
        f"with asyncio.Runner(loop_factory={loop}.new_event_loop) as runner: runner.run(main())\n"
    )
    assert run(f"{LOAD}{program}{MAPS}") == ["text", "False"]


def test_digests_are_those_of_openssl() -> None:
    program = (
        "import hashlib, hmac\n"
        "print(hashlib.sha256(b'token').hexdigest(), hmac.new(b'k', b'm', 'sha256').hexdigest(),"
        " hmac.compare_digest(b'a', b'a'), hmac.compare_digest(b'a', b'b'))\n"
    )
    assert run(f"{LOAD}{program}{MAPS}") == [*run(program), "False"]


def test_who_imports_ssl_later_gets_the_real_one() -> None:
    program = "import aiohttp.web, ssl\nprint(ssl.create_default_context().verify_mode.name)\n"
    assert run(f"{LOAD}{program}{MAPS}") == ["CERT_REQUIRED", "True"]


@pytest.mark.parametrize(
    "before",
    [
        "import ssl",
        "import asyncio",
        "import sys\nsys.modules['_sha3'] = None",  # as where a distribution leaves digests to OpenSSL
    ],
    ids=["ssl is there", "asyncio is there", "digests are missing"],
)
def test_nothing_is_kept_away_where_it_was_there_or_is_needed(before: str) -> None:
    program = "import asyncio, ssl, uvloop\nprint(asyncio.sslproto.ssl is ssl)\n"
    assert run(f"{before}\n{LOAD}{program}{MAPS}") == ["True", "True"]


@pytest.mark.parametrize("command", sorted(WITHOUT_TLS))
def test_command_loads_no_openssl(command: str) -> None:
    assert run(f"from jobgate.cli import cli\ncli.get_command(None, {command!r})\n{MAPS}") == ["False"]


def test_worker_loads_no_openssl() -> None:
    program = (
        "from jobgate.gateway import spawn\n"
        "text = spawn._PROGRAM.format(path=__import__('sys').path).replace('main(*sys.argv[1:])', '')\n"
        "import subprocess, sys\n"
        f"print(subprocess.check_output([sys.executable, '-c', text + {MAPS!r}], text=True))"
    )
    assert run(program) == ["False"]
