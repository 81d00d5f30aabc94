"""Jobs and headers as far as identity needs them."""

from __future__ import annotations

import base64
import hashlib
from ipaddress import ip_network

from jobgate.config.settings import JobSettings
from jobgate.proxy.framing import Headers


def job_settings(job_id: str, *clients: str, token: str = "", listen: str = "") -> JobSettings:
    """Make the settings of a job that shows a token, or comes from networks, or both."""
    digest = hashlib.sha256(token.encode()).digest() if token else None
    networks = tuple(map(ip_network, clients))
    return JobSettings(job_id, listen=listen, token_hash=digest, clients=networks)


def showing(credentials: str) -> Headers:
    """Make the fields of a request that shows ``job:token``."""
    value = b"Basic " + base64.b64encode(credentials.encode())
    return [(b"Host", b"a.test"), (b"Proxy-Authorization", value)]
