"""Settings on their way from the main process to its workers, as text. Pure.

Both run the same program, and only the main process writes: that is what pickle is for.
What a worker says comes back as JSON, since a worker reads what jobs send.
"""

from __future__ import annotations

import io
import pickle
import zlib
from base64 import b85decode, b85encode
from types import MappingProxyType
from typing import Any, TypeVar

from jobgate.config.pattern import HostPattern, parse_pattern

T = TypeVar("T")


class _Pickler(pickle.Pickler):
    def reducer_override(self, obj: object) -> Any:
        """Take read-only views along as what they are, and compiled patterns as their text."""
        if isinstance(obj, HostPattern):
            return parse_pattern, (str(obj),)
        return (_view, (dict(obj),)) if isinstance(obj, MappingProxyType) else NotImplemented


def _view(mapping: dict[object, object]) -> MappingProxyType[object, object]:
    return MappingProxyType(mapping)


def packed(value: object) -> str:
    """Write a value."""
    whole = io.BytesIO()
    _Pickler(whole, protocol=pickle.HIGHEST_PROTOCOL).dump(value)
    return b85encode(zlib.compress(whole.getvalue(), 1)).decode("ascii")


def unpacked(text: object, kind: type[T]) -> T:
    """Read it again.

    Raises:
        TypeError: It is of another kind.
    """
    if not isinstance(text, str):
        raise TypeError(f"expected a text, not {text!r}")
    value = pickle.loads(zlib.decompress(b85decode(text)))  # noqa: S301 (written by our own main process)
    if not isinstance(value, kind):
        raise TypeError(f"expected {kind.__name__}, not {type(value).__name__}")
    return value
