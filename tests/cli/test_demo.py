from __future__ import annotations

import os
import ssl
import subprocess
import sys
import urllib.request
from importlib.resources import files
from pathlib import Path

from jobgate.cli.demo import ALLOWED, CLIENT, CONTENT, child_environment, configuration, tls_origin
from jobgate.config.load import load_text

DATA = Path(str(files("jobgate.cli"))) / "demo_data"


def test_origin_serves_its_content_with_a_valid_certificate() -> None:
    context = ssl.create_default_context(cafile=str(DATA / "ca.pem"))
    context.check_hostname = False  # the name is not in the DNS; its presence is asserted below
    with tls_origin(DATA / "origin.pem") as port:
        opener = urllib.request.build_opener(
            urllib.request.ProxyHandler({}), urllib.request.HTTPSHandler(context=context)
        )
        with opener.open(f"https://127.0.0.1:{port}/", timeout=10) as response:
            assert response.read() == CONTENT


def test_certificate_is_good_for_the_allowed_name_only() -> None:
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(DATA / "origin.pem")
    client = ssl.create_default_context(cafile=str(DATA / "ca.pem"))
    for name, fails in ((ALLOWED, False), ("www.example.com", True)):
        assert handshake_fails(client, server, name) is fails


def handshake_fails(client: ssl.SSLContext, server: ssl.SSLContext, name: str) -> bool:
    """Whether a client that wants this name turns the server away, in memory."""
    up, down = ssl.MemoryBIO(), ssl.MemoryBIO()
    ends = [client.wrap_bio(down, up, server_hostname=name), server.wrap_bio(up, down, server_side=True)]
    for _ in range(4):
        for end in ends:
            try:
                end.do_handshake()
            except ssl.SSLWantReadError:
                continue
            except ssl.SSLCertVerificationError:
                return True
    return False


def test_configuration_is_valid() -> None:
    settings = load_text(configuration(8443))
    assert 8443 in settings.node.connect_ports
    assert [str(rule) for rule in settings.node.allow_addresses] == ["127.0.0.1:8443"]


def test_client_fails_unless_the_first_is_allowed_and_the_second_refused(tmp_path: Path) -> None:
    client = tmp_path / "client.py"
    client.write_text(CLIENT)
    command = [
        sys.executable,
        str(client),
        str(DATA / "ca.pem"),
        "https://127.0.0.1:1/",
        "https://127.0.0.1:1/",
    ]
    done = subprocess.run(command, env=dict(os.environ), capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stdout.count("Connection refused") == 2


def test_environment_of_the_user_is_no_part_of_the_demo() -> None:
    assert child_environment({"JOBGATE_NETWORK": "none", "PATH": "/bin"}) == {"PATH": "/bin"}
