"""How fast: token bucket, fair queue of a job's connections, requests per second.

Bytes: a relay holds a chunk, asks its ``Lane`` for leave, and passes it on once it
is granted. The lane's ``FairQueue`` decides whose turn it is, its ``TokenBucket``
whether the tokens are there, its ``ByteQuota`` whether any more may pass at all, and the
one ``Pacer`` of the process wakes the queues that wait. ``NodeTotal`` bounds the sum of
all jobs. Everything but ``requests.py`` is arithmetic with the clock passed in.
"""

from .bucket import TokenBucket, default_burst_bytes, default_chunk_bytes
from .fair import FairQueue, Lane
from .pacer import Paced, Pacer, Timer
from .quota import ByteQuota
from .requests import RequestLimiter
from .total import NodeTotal

__all__ = [
    "ByteQuota",
    "FairQueue",
    "Lane",
    "NodeTotal",
    "Paced",
    "Pacer",
    "RequestLimiter",
    "Timer",
    "TokenBucket",
    "default_burst_bytes",
    "default_chunk_bytes",
]
