"""What is known of a name, and for how long: a bounded cache, the clock passed in.

Positive answers live as long as their smallest TTL, not below ``MIN_TTL_S`` and not
above ``MAX_TTL_S``; negative ones as long as their SOA says, at most
``MAX_NEGATIVE_TTL_S`` (RFC 2308 §5). TTL 0 is not kept at all, nor is a failure.
"""

from __future__ import annotations

from collections import OrderedDict

from .dnsanswer import Answer

# Names with a TTL of a second or two would cost a query for nearly every request.
MIN_TTL_S = 5.0
# A name that moves is followed within the hour, whatever its TTL.
MAX_TTL_S = 3600.0
# A name that was just created is found within the minute.
MAX_NEGATIVE_TTL_S = 60.0


class DnsCache:
    """Answers by name; the one that was not used for the longest time gives way.

    Args:
        max_entries: Number of names, positive and negative together; 0 keeps nothing.
    """

    __slots__ = ("_entries", "_max_entries")

    def __init__(self, max_entries: int) -> None:
        self._entries: OrderedDict[str, tuple[float, Answer]] = OrderedDict()
        self._max_entries = max_entries

    def __len__(self) -> int:
        return len(self._entries)

    def get(self, name: str, now: float) -> Answer | None:
        """Return the answer that is still valid at ``now`` (seconds of any clock)."""
        entry = self._entries.get(name)
        if entry is None:
            return None
        if entry[0] <= now:
            del self._entries[name]
            return None
        self._entries.move_to_end(name)
        return entry[1]

    def put(self, name: str, answer: Answer, now: float) -> None:
        """Keep an answer for its clamped TTL, in place of what was known of the name."""
        self._entries.pop(name, None)
        if answer.ttl_s <= 0 or self._max_entries == 0:
            return
        if len(self._entries) >= self._max_entries:
            self._entries.popitem(last=False)
        self._entries[name] = (now + _kept_s(answer), answer)


def _kept_s(answer: Answer) -> float:
    if not answer.addresses:
        return min(answer.ttl_s, MAX_NEGATIVE_TTL_S)
    return min(max(answer.ttl_s, MIN_TTL_S), MAX_TTL_S)
