"""Ray: the ``egress`` field of a runtime environment, and a guard for where nobody reads it.

``plugin.py`` is loaded by Ray's runtime environment agent on each node, and asks the node's
gateway for one job per policy; ``guard.py`` runs in jobs. ``request.py``, ``environment.py``
and ``options.py`` are pure, ``leases.py`` talks to the gateway.
"""
