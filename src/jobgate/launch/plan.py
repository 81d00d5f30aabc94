"""What the launcher was asked to start. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Plan:
    """One job, ready to start.

    Attributes:
        command: The program and its arguments, at least the program.
        environment: All variables of the job.
        proxy: Whether a socket for the proxy is made inside (network ``http``) or not (``none``).
        keep_run: Leave the host's ``/run`` in sight.
    """

    command: tuple[str, ...]
    environment: Mapping[str, str]
    proxy: bool
    keep_run: bool = False
