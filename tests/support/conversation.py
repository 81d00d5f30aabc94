"""Having the conversation of a case with a gate, and what is expected of it."""

from __future__ import annotations

import cattrs

from .cases import Case, Expect
from .client import Client, Response
from .gate import RunningGate

#: Where the product's documented behaviour (``docs/behavior.md``) decides otherwise: the sentence, and
#: what is expected instead.
SUPERSEDED: dict[str, tuple[str, dict[str, object]]] = {
    "ap-lit4-listed-imds-connect": (
        "CONNECT to port 80 is answered without dialling and read as plain HTTP, each request decided anew.",
        {"status": [200], "upstream_connects": 0},
    ),
}


def expected(case: Case) -> Expect:
    """Return what must come out."""
    _, changes = SUPERSEDED.get(case.id, ("", {}))
    return cattrs.structure({**cattrs.unstructure(case.expect), **changes}, Expect)


async def converse(case: Case, gate: RunningGate) -> tuple[list[Response], bool, bytes]:
    """Return the responses, whether the gate closed by itself, and what else came."""
    async with gate.client() as client:
        await client.send(case.request)
        if case.half_close:
            client.half_close()
        responses = await read_responses(client, case)
        tunnel = case.request.startswith(b"CONNECT") and [r.status for r in responses] == [200]
        if case.expect.closes and not tunnel:
            return responses, True, await client.read_to_end()
        closed = client.ended
        if not closed and not case.half_close:
            client.half_close()
        leftover = await client.read_to_end()
        return responses, closed, b"" if tunnel else leftover


async def read_responses(client: Client, case: Case) -> list[Response]:
    """Read as many responses as are expected, fewer if the gate closes before."""
    responses: list[Response] = []
    wanted = 1 + len(case.expect.then)
    methods = [*case.methods, *["GET"] * wanted][:wanted]
    for method in methods:
        try:
            responses.append(await client.response(method))
        except EOFError:
            break
    return responses
