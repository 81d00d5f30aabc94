"""The configurations that the gate is given one after another, and what each must mean for its clients."""

from __future__ import annotations

from dataclasses import dataclass, replace

from faulty_network import GATE_INSIDE, ORIGIN
from soak_client import Job
from soak_names import DOMAIN, REVOCABLE
from soak_origin import PORT, RESET_PORT

JOBS = [
    Job("limited", GATE_INSIDE, 3101),
    Job("unlimited", GATE_INSIDE, 3102),
    Job("small", GATE_INSIDE, 3103),
]
#: It comes and goes.
EXTRA = Job("passing", GATE_INSIDE, 3104)
DRAIN_S = 25.0
#: Whoever lost a reset is let go after this: then nothing of the load is left.
IDLE_S = 30.0

_RATES = {"limited": "10mbit", "unlimited": "unlimited", "small": "1mbit", "passing": "1mbit"}
_OTHER_RATES = {"limited": "4mbit", "unlimited": "50mbit", "small": "2mbit", "passing": "1mbit"}
_NODE = f"""\
[listen]
control = "unix:{{folder}}/control.sock"
[node]
allow_addresses = ["{ORIGIN}"]
deny = [{{deny}}]
[log]
path = "{{folder}}/gate.log"
[dns]
servers = ["{ORIGIN}"]
timeout_s = 3.0
cache_entries = 512  # full before the second quarter, with which the last one is compared
[limits]
dns_names_per_s_per_job = 100
[timeouts]
tunnel_idle_s = {IDLE_S}
half_closed_s = {IDLE_S}
upstream_response_s = {IDLE_S}
keepalive_s = 15.0
drain_s = {DRAIN_S}
"""
#: The one place of what a job is allowed.
_JOB = f"""
[[job]]
id = "{{name}}"
listen = "{{address}}:{{port}}"
network = "http"
domains = [".{DOMAIN}", ".{DOMAIN}:{PORT}", ".{DOMAIN}:{RESET_PORT}"]
rate_up = "{{rate}}"
rate_down = "{{rate}}"
tls = "any"
"""


@dataclass(frozen=True, slots=True)
class Policy:
    """What a configuration says, as far as it changes.

    Attributes:
        denies: The names that begin with ``REVOCABLE`` are denied.
        has_extra: There is the job ``EXTRA``.
        other_rates: Some rates are lower, some higher.
    """

    denies: bool = False
    has_extra: bool = False
    other_rates: bool = False

    def written(self, folder: str) -> str:
        """Write the whole configuration."""
        denied = ["denied", *(f"{REVOCABLE}-{number}" for number in range(4) if self.denies)]
        rates = _OTHER_RATES if self.other_rates else _RATES
        jobs = [*JOBS, EXTRA] if self.has_extra else JOBS
        return _NODE.format(folder=folder, deny=", ".join(f'"{word}.{DOMAIN}"' for word in denied)) + "".join(
            _JOB.format(name=job.name, address=job.address, port=job.port, rate=rates[job.name])
            for job in jobs
        )


@dataclass(frozen=True, slots=True)
class Change:
    """One step: what is written, and what then holds."""

    name: str
    policy: Policy
    is_broken: bool = False

    def written(self, folder: str) -> str:
        """Write the configuration; a broken one would change everything if anybody believed it."""
        text = self.policy.written(folder)
        return text.replace("[[job]]", "[[jobs]]").replace("10mbit", "1kbit") if self.is_broken else text


def _changes() -> tuple[Change, ...]:
    plain = Policy()
    extra = replace(plain, has_extra=True)
    denied = replace(extra, denies=True)
    rates = replace(denied, other_rates=True)
    return (
        Change("job added", extra),
        Change("name denied", denied),
        Change("broken file", denied, is_broken=True),
        Change("rates changed", rates),
        Change("name allowed again", replace(rates, denies=False)),
        Change("job removed", replace(rates, denies=False, has_extra=False)),
        Change("broken file", replace(rates, denies=False, has_extra=False), is_broken=True),
        Change("rates as before", plain),
    )


#: Over and over again; the last one leads back to the beginning.
CHANGES = _changes()
BACK = CHANGES[-1]
