"""How a command is imported."""

from __future__ import annotations

import gc
import sys
from importlib import import_module
from types import ModuleType


def load(name: str) -> ModuleType:
    """Import a module with the garbage collector at rest, then and later.

    What is loaded stays to the end. To look through it again and again, while it grows,
    was a twelfth of a start; and as much each time the collector looks at everything.
    """
    if name in sys.modules:
        return sys.modules[name]
    gc.disable()
    try:
        return import_module(name)
    finally:
        gc.freeze()
        gc.enable()
