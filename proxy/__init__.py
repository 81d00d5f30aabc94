"""The gate, from an accepted socket to the upstream and back.

CONNECT: accept → head → whose is it → decide by name → resolve → vet → dial → 200 → ClientHello →
decide by its name → relay up ∥ relay down → close line.
Plain HTTP: accept → head → whose is it → decide → resolve → vet → dial or reuse → head and content up →
head and content down → close line → next head.

``connection.py`` is that way, top to bottom. Pure modules take and return bytes and values: ``target``,
``grammar``, ``llhttp``, ``head``, ``framing``, ``chunked``, ``content``, ``headers``, ``clienthello``,
``credentials``, ``identity``, ``entrance``, ``visit``, ``decision``, ``replies``, ``addresses``, ``hosts``,
``dnscache``, ``dnsanswer``, ``usage``. Edges own sockets and the loop: ``wire`` (one connection), ``relay``
(bytes one way), ``hello`` (the beginning of a tunnel), ``tunnel`` and ``forward`` (both ways), ``pool``,
``resolver``, ``dial``, ``listener``, ``accepting``, ``journal``, ``gate``.
"""
