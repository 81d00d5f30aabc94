from __future__ import annotations

import socket

from jobgate.proxy.alone import Alone
from jobgate.proxy.peer import Peer


async def test_gate_of_one_process_has_nothing_to_do_elsewhere() -> None:
    gate, peer = Alone(), Peer("192.0.2.7:1")
    assert await gate.start() == []
    await gate.settled()
    await gate.refresh()
    gate.follow(None)
    gate.reopen_log()
    assert await gate.examine("a") is None
    with socket.socket() as sock:
        assert not gate.takes(sock, peer)
        assert not await gate.leads_on(sock, peer)
