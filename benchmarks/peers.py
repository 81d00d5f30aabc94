"""The proxies under test: each with one job's policy, a log in a file, and no rate.

Every one may reach ``localhost`` on the origin's port and nothing else, logs each
request unless its name says otherwise, and resolves names by ``/etc/hosts``.
``run.py --show`` prints their configurations.
"""

from __future__ import annotations

import os
import pwd
import shutil
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

_ROOT = Path(__file__).resolve().parent.parent

JOBGATE = """\
[node]
allow_addresses = ["127.0.0.1:{origin}", "[::1]:{origin}"]
[log]
path = "{folder}/decisions.log"
[limits]
requests_per_s_per_job = 0
[[job]]
id = "bench"
network = "http"
listen = "127.0.0.1:{port}"
domains = ["localhost:{origin}"]
rate_up = "unlimited"
rate_down = "unlimited"
tls = "any"
"""

SQUID = """\
http_port 127.0.0.1:{port}
pid_filename {folder}/squid.pid
coredump_dir {folder}
access_log stdio:{folder}/access.log
buffered_logs on
cache_log {folder}/cache.log
cache deny all
cache_mem 8 MB
pinger_enable off
max_filedescriptors 16384
shutdown_lifetime 0 seconds
via on
forwarded_for delete
acl origin_port port {origin}
acl origin_name dstdomain localhost
http_access deny !origin_port
http_access allow origin_name
http_access deny all
"""

TINYPROXY = """\
Listen 127.0.0.1
Port {port}
Timeout 600
MaxClients 1000
LogFile "{folder}/tinyproxy.log"
LogLevel Connect
PidFile "{folder}/tinyproxy.pid"
Allow 127.0.0.1
ConnectPort {origin}
Filter "{folder}/filter"
FilterDefaultDeny Yes
ViaProxyName "tinyproxy"
"""

NGINX = """\
daemon off;
master_process off;
worker_processes 1;
pid {folder}/nginx.pid;
error_log {folder}/error.log warn;
events {{ worker_connections 4096; }}
http {{
    access_log off;
    sendfile on;
    tcp_nopush on;
    keepalive_requests 100000000;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    server {{
        listen 127.0.0.1:{origin} backlog=1024;
        listen [::1]:{origin} backlog=1024;
        root {folder}/www;
    }}
}}
"""


@dataclass(frozen=True, slots=True)
class Peer:
    """One proxy.

    Attributes:
        name: For the table.
        program: What must be installed.
        configuration: Text with ``{port}``, ``{origin}``, ``{folder}``.
        command: From the program and the configuration's path.
        version: Command that prints a version.
        environment: Of the process; ``None``: ours.
    """

    name: str
    program: str
    configuration: str
    command: Callable[[str, Path], list[str]]
    version: Callable[[str], list[str]]
    environment: Mapping[str, str] | None = None

    @property
    def path(self) -> str | None:
        """Where the program is, ``None`` if it is missing."""
        return shutil.which(self.program, path=os.environ.get("PATH", "") + ":/usr/sbin:/usr/local/sbin")

    def prepare(self, folder: Path, port: int, origin: int) -> list[str]:
        """Write the configuration and return the command."""
        folder.mkdir(parents=True, exist_ok=True)
        file = folder / "configuration"
        file.write_text(self.configuration.format(port=port, origin=origin, folder=folder))
        (folder / "filter").write_text("^localhost$\n")
        _give_to_proxy_user(folder)
        return self.command(self.path or self.program, file)


def _give_to_proxy_user(folder: Path) -> None:
    """Let Squid, which leaves root's identity, write its logs."""
    if os.geteuid() == 0:
        try:
            user = pwd.getpwnam("proxy")
        except KeyError:
            return
        os.chown(folder, user.pw_uid, user.pw_gid)


_OUR_ENVIRONMENT = {**os.environ, "PYTHONPATH": str(_ROOT / "src")}

PEERS = [
    Peer(
        "jobgate",
        sys.executable,
        JOBGATE,
        lambda program, file: [program, "-m", "jobgate", "serve", "--config", str(file)],
        lambda program: [program, "-m", "jobgate", "--version"],
        _OUR_ENVIRONMENT,
    ),
    Peer(
        "Squid",
        "squid",
        SQUID,
        lambda program, file: [program, "-N", "-f", str(file)],
        lambda program: [program, "-v"],
    ),
    Peer(
        "tinyproxy",
        "tinyproxy",
        TINYPROXY,
        lambda program, file: [program, "-d", "-c", str(file)],
        lambda program: [program, "-v"],
    ),
    # Its log is flushed to the disk line by line, which costs more than all the rest: shown without, too.
    Peer(
        "tinyproxy, log off",
        "tinyproxy",
        TINYPROXY.replace("LogLevel Connect", "LogLevel Critical"),
        lambda program, file: [program, "-d", "-c", str(file)],
        lambda program: [program, "-v"],
    ),
]

ORIGIN = Peer(
    "nginx",
    "nginx",
    NGINX,
    lambda program, file: [program, "-c", str(file)],
    lambda program: [program, "-v"],
)
RUN_TRUE = [sys.executable, "-m", "jobgate", "run", "--domain", "example.com", "--no-summary", "--", "true"]
PYTHON_PASS = [sys.executable, "-c", "pass"]
OUR_ENVIRONMENT = _OUR_ENVIRONMENT
