"""One soak from the first namespace to the last table."""

from __future__ import annotations

import contextlib
import json
import queue
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import namespaces
import soak_load
import soak_origin
from faulty_network import ORIGIN, Network, faulty_network
from soak_gate import ENVIRONMENT, Gate, Sample, running_gate
from soak_log import FOLLOWS_S, LogCheck
from soak_policy import BACK, CHANGES, DRAIN_S, EXTRA, IDLE_S, JOBS, Change
from soak_report import Result, Tally, machine, problems, tables

_SAMPLE_S = 10.0
_ROTATE_S = 15.0
#: Between two signals to the gate: each has been heeded when the next one comes.
_CALM_S = 2.0
#: The origin's port is reset for so long, so often.
_RESETS_S, _RESETS_EVERY_S = 2.0, 17.0
#: For operations under way when the load ends, and for each answer of a helper.
_PATIENCE_S = 120.0


class Helper:
    """A process that says lines and is told lines; the end of its input ends it."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process
        self._said: queue.SimpleQueue[str] = queue.SimpleQueue()
        threading.Thread(target=self._listen, daemon=True).start()

    def next_line(self, timeout_s: float) -> str:
        """Wait for a line, without its end; ``""`` when the process has ended or is silent."""
        try:
            return self._said.get(timeout=timeout_s)
        except queue.Empty:
            return ""

    def tell(self, line: str) -> None:
        """Say a line to it."""
        if self.process.stdin is not None:
            self.process.stdin.write(line + "\n")
            self.process.stdin.flush()

    def _listen(self) -> None:
        for line in self.process.stdout or ():
            self._said.put(line.rstrip("\n"))
        self._said.put("")


@contextlib.contextmanager
def helper(namespace: str, arguments: Sequence[str]) -> Iterator[Helper]:
    """Run a Python program in a namespace while the context is entered."""
    process = subprocess.Popen(
        namespaces.inside(namespace, [sys.executable, *arguments]),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=ENVIRONMENT,
        start_new_session=True,
    )
    try:
        yield Helper(process)
    finally:
        with contextlib.suppress(BrokenPipeError):
            if process.stdin is not None:
                process.stdin.close()
        try:
            process.wait(5)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


class Soak:
    """While the load runs: watches the gate, rotates its log, changes its policy, lets a port be reset."""

    def __init__(self, network: Network, gate: Gate, plan: Plan) -> None:
        self.gate = gate
        self.log = LogCheck(follows_s=FOLLOWS_S if plan.upgrade_s else 0.0)
        self.samples: list[Sample] = []
        self.rotations = self.resets = 0
        self.changes: Counter[str] = Counter()
        self._network = network
        self._plan = plan
        self._moved: Path | None = None
        self._reset_until = 0.0
        self._is_broken = False

    def watch(self, load: Helper, seconds: float) -> bool:
        """Do all that until the load is over; ``False`` if it did not end as it should."""
        start = time.monotonic()
        sample_s = min(_SAMPLE_S, seconds / 24)
        sample_at, rotate_at, reset_at = start + sample_s, start + _ROTATE_S, start + _RESETS_EVERY_S
        change_at, upgrade_at, calm_at = start + self._plan.change_s, start + self._plan.upgrade_s, start
        while (now := time.monotonic()) < start + seconds + _PATIENCE_S:
            if sample_at <= now < start + seconds:
                self.samples.append(self.gate.sample())
                sample_at += sample_s
            if now >= rotate_at and now >= calm_at:
                self.rotate()
                rotate_at, calm_at = rotate_at + _ROTATE_S, now + _CALM_S
            may_upgrade = self._plan.upgrade_s and not self._is_broken and now < start + seconds
            if may_upgrade and now >= upgrade_at and now >= calm_at:
                self.gate.upgrade()
                upgrade_at, calm_at = upgrade_at + self._plan.upgrade_s, time.monotonic() + _CALM_S
            if now >= reset_at:
                self._network.start_resets(soak_origin.RESET_PORT)
                self.resets += 1
                self._reset_until, reset_at = now + _RESETS_S, reset_at + _RESETS_EVERY_S
            if self._plan.change_s and now >= change_at and now >= calm_at:
                self._change()
                change_at, calm_at = change_at + self._plan.change_s, now + _CALM_S
            self._stop_resets(now)
            if load.next_line(0.5) == "quiet":
                return True
            if load.process.poll() is not None or self.gate.process.poll() is not None:
                return False
        return False

    def _stop_resets(self, now: float) -> None:
        if self._reset_until and now >= self._reset_until:
            self._network.stop_resets()
            self._reset_until = 0.0

    def _change(self) -> None:
        """Give the gate the next configuration."""
        change = CHANGES[self.changes.total() % len(CHANGES)]
        self.changes[change.name] += 1
        self._write(change)

    def change_back(self) -> None:
        """Give the gate the configuration that it began with."""
        if self.changes:
            self._write(BACK)

    def _write(self, change: Change) -> None:
        self._is_broken = change.is_broken
        self.log.expect(time.time(), change)
        self.gate.reload(change.written(str(self.gate.folder)))

    def rotate(self) -> None:
        """Move the log away; by now the gate has finished with what was moved away before."""
        self.read_moved()
        self._moved = self.gate.rotate()
        self.rotations += 1

    def read_moved(self) -> None:
        """Check a log that was moved away, and delete it."""
        if self._moved is not None:
            with self._moved.open() as lines:
                self.log.read(lines)
            self._moved.unlink()
            self._moved = None

    def until_idle(self, held: Counter[str]) -> list[str]:
        """Wait until the gate holds no other socket than in the beginning; return those that it does."""
        self._stop_resets(time.monotonic() + _RESETS_S)
        deadline = time.monotonic() + IDLE_S + 20
        while True:
            kept = list(self.gate.sockets() - held)
            if self.gate.old and self.gate.sockets().total() <= held.total():
                kept = []  # another process, with the same number of others
            if not kept or time.monotonic() > deadline:
                return kept
            time.sleep(1.0)


@dataclass(frozen=True, slots=True)
class Plan:
    """What is done, and where it is written.

    Attributes:
        minutes: Of load.
        change_s: Between two changes of the policy; 0: there are none.
        upgrade_s: Between two new processes of the gate; 0: there is one.
        json, markdown: For the figures and for the tables; ``None``: nowhere.
    """

    minutes: float
    change_s: float = 0.0
    upgrade_s: float = 0.0
    json: Path | None = None
    markdown: Path | None = None


def run(plan: Plan) -> int:
    """Run a soak, print its tables; return the exit code."""
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="jobgate-soak-")))
        network = stack.enter_context(faulty_network())
        origin = stack.enter_context(helper(network.origin, [soak_origin.__file__, ORIGIN]))
        if origin.next_line(20.0) != "ready":
            raise RuntimeError("the origin did not start")
        gate = stack.enter_context(running_gate(network, folder))
        result = _soak(network, gate, plan)
    found = problems(result)
    text = tables(result, found)
    print(text)
    if plan.markdown is not None:
        plan.markdown.write_text(text + "\n")
    if plan.json is not None:
        plan.json.write_text(json.dumps({**result.described(), "problems": found}, indent=1))
    return 1 if found else 0


def _soak(network: Network, gate: Gate, plan: Plan) -> Result:
    seconds = plan.minutes * 60
    soak = Soak(network, gate, plan)
    first, held, idle = gate.sample(), gate.sockets(), None
    kept: list[str] = []
    tally: dict[str, Tally] = {}
    exit_code: int | None = None
    jobs = json.dumps([(job.name, job.address, job.port) for job in (*JOBS, EXTRA)])
    with helper(network.client, [soak_load.__file__, str(seconds), jobs]) as load:
        if soak.watch(load, seconds):
            soak.change_back()
            kept = soak.until_idle(held)
            idle = gate.sample()
            load.tell("end")
            if load.next_line(_PATIENCE_S) == "open":
                exit_code = gate.stop(DRAIN_S + 10)
            text = load.next_line(_PATIENCE_S)
            tally = json.loads(text) if text else {}
        elif gate.process.poll() is not None:
            exit_code = gate.process.returncode
    gate.stop(DRAIN_S + 10)
    soak.read_moved()
    with gate.log.open() as lines:
        soak.log.read(lines)
    return Result(
        machine=machine(),
        minutes=plan.minutes,
        tally=tally,
        first=first,
        samples=soak.samples,
        idle=idle,
        kept=kept,
        exit_code=exit_code,
        decisions=soak.log.decisions,
        unfinished=soak.log.unfinished,
        reasons=dict(soak.log.reasons),
        events=dict(soak.log.events),
        changes=dict(soak.changes),
        log_problems=soak.log.problems,
        rotations=soak.rotations,
        upgrades=len(gate.old),
        old_exit_codes=gate.old_exit_codes(),
        resets=soak.resets,
        stderr=gate.complaints(),
    )
