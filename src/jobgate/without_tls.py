"""The event loop without OpenSSL, for processes that pass TLS on and never speak it.

Loaded for nothing, libssl and libcrypto are a seventh of a sidecar's memory and of its start. asyncio does
without them, uvloop asks for names that it uses for TLS alone, and hashlib has digests of its own. Whoever
imports ``ssl`` later gets the real one.
"""

from __future__ import annotations

import sys
from importlib import import_module
from types import ModuleType

#: The digests without which hashlib reports an error; some distributions leave them to OpenSSL.
_DIGESTS = ("_md5", "_sha1", "_sha2" if sys.version_info >= (3, 12) else "_sha256", "_sha3", "_blake2")
_HELD = ("ssl", "_hashlib", "asyncio", "uvloop", "hashlib", "hmac")


class _NoTLS(ModuleType):
    """Stands for ``ssl`` while uvloop looks up what it may need: errors that never come, and numbers."""

    def __getattr__(self, name: str) -> object:
        return 0 if name.startswith("SSL_ERROR_") else type(name, (Exception,), {})


def load_event_loop() -> None:
    """Import asyncio, uvloop and the digests; does nothing where one of them or ``ssl`` is there already."""
    modules: dict[str, ModuleType | None] = sys.modules  # type: ignore[assignment]  # None: not to be found
    if any(name in modules for name in _HELD):
        return
    try:
        for name in _DIGESTS:
            import_module(name)
    except ImportError:
        return
    modules["ssl"] = modules["_hashlib"] = None
    try:
        import_module("asyncio")
        import_module("hmac")
        modules["ssl"] = _NoTLS("ssl")
        import_module("uvloop")
    finally:
        del modules["ssl"], modules["_hashlib"]
