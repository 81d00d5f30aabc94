"""Change a running gate, and hold what it does at a step where a change may come."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Sequence
from dataclasses import replace

from jobgate.config.address_rule import AddressRule
from jobgate.config.host import Address, Name
from jobgate.config.policy import JobPolicy
from jobgate.config.rules import RuleSet
from jobgate.config.settings import JobSettings, NodeSettings
from jobgate.proxy.job import Job
from jobgate.proxy.resolver import Resolution

from .gate import DialHook, FakeResolver, RunningGate


def job_of(gate: RunningGate, job_id: str = "job") -> Job:
    """The live job."""
    return gate.gate.jobs[job_id]


def change_job(gate: RunningGate, settings: JobSettings) -> None:
    """Give a job other settings."""
    gate.gate.change_job(settings)


def allow_only(gate: RunningGate, *domains: str, job_id: str = "job") -> None:
    """Let a job reach these domains and no others, from now on."""
    settings = job_of(gate, job_id).settings
    change_policy(gate, replace(settings.policy, domains=RuleSet.parse(domains)), job_id)


def change_policy(gate: RunningGate, policy: JobPolicy, job_id: str = "job") -> None:
    """Give a job another policy."""
    change_job(gate, replace(job_of(gate, job_id).settings, policy=policy))


def change_node(gate: RunningGate, node: NodeSettings) -> None:
    """Give the node other settings."""
    gate.gate.change_node(replace(gate.gate.settings, node=node))


def deny_address(gate: RunningGate, address: str = "127.0.0.1") -> None:
    """Let no job reach an address, from now on."""
    node = gate.gate.settings.node
    change_node(gate, replace(node, deny_addresses=(AddressRule.parse(address),)))


class HeldResolver(FakeResolver):
    """Answers when told to."""

    def __init__(self, *addresses: str) -> None:
        super().__init__({}, others=addresses)
        self.asked = asyncio.Event()
        self.go = asyncio.Event()

    async def resolve(self, name: Name, *, whole: bool = False) -> Resolution:
        """Wait, then answer."""
        self.asked.set()
        await self.go.wait()
        return await super().resolve(name, whole=whole)


class HeldDialer(DialHook):
    """Connects, and hands the socket out when told to."""

    def __init__(self) -> None:
        super().__init__()
        self.connected = asyncio.Event()
        self.go = asyncio.Event()

    async def __call__(
        self, addresses: Sequence[Address], port: int, *, timeout_s: float, receive_buffer_bytes: int | None
    ) -> socket.socket:
        """Connect, then wait."""
        sock = await super().__call__(
            addresses, port, timeout_s=timeout_s, receive_buffer_bytes=receive_buffer_bytes
        )
        self.connected.set()
        try:
            await self.go.wait()
        except BaseException:
            sock.close()
            raise
        return sock
