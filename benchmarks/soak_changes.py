"""Load that notices when the policy changes: tunnels to names that get denied, a job that comes and goes.

Whether it ended at the right moment and for the right reason, the log tells (``soak_log``).
"""

from __future__ import annotations

import asyncio

from soak_breaks import SILENT
from soak_client import Broken, Operation, Refused, Stream
from soak_content import Ended, content
from soak_names import REVOCABLE
from soak_transfers import expect

_SILENCE_S = 15.0
_ROUNDS, _PAUSE_S = 60, 0.25


async def revocable(operation: Operation) -> None:
    """A tunnel that is busy for a while, to a name that is denied now and then."""
    authority = operation.authority_of(f"{REVOCABLE}-{operation.seed % 4}")
    try:
        async with asyncio.timeout(None) as silence, operation.tunnel(authority) as stream:
            await _converse(operation, stream, silence)
    except Refused as answer:
        if answer.reason != "denied":
            raise
        raise Broken("denied") from None
    except TimeoutError:
        raise Broken(SILENT) from None
    except (OSError, Ended):
        raise Broken("revoked") from None


async def passing(operation: Operation) -> None:
    """The same through a job that is not always there."""
    try:
        async with asyncio.timeout(None) as silence, operation.tunnel() as stream:
            await _converse(operation, stream, silence)
    except ConnectionRefusedError:
        raise Broken("no job") from None
    except TimeoutError:
        raise Broken(SILENT) from None
    except (OSError, Ended):
        raise Broken("job removed") from None


async def _converse(operation: Operation, stream: Stream, silence: asyncio.Timeout) -> None:
    """Send a little and have it echoed, again and again.

    Raises:
        Ended, OSError: It broke.
        TimeoutError: Nothing came for a while.
    """
    loop = asyncio.get_running_loop()
    await stream.send(b"ECHO 0 0\n")
    for number in range(_ROUNDS):
        data = content(operation.seed + number, 100)
        silence.reschedule(loop.time() + _SILENCE_S)
        await stream.send(data)
        try:
            echoed = await stream.reader.readexactly(len(data))
        except asyncio.IncompleteReadError as error:
            raise Ended(f"{len(error.partial)} of {len(data)} bytes") from None
        expect(echoed.hex(), data.hex(), "echo")
        operation.moved.up_bytes += len(data)
        operation.moved.down_bytes += len(data)
        await asyncio.sleep(_PAUSE_S)
