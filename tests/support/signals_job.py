"""A job that prints each signal it gets, a line each, and ends on SIGTERM. Standard library only."""

from __future__ import annotations

import signal
import sys

WATCHED = {
    signal.SIGHUP,
    signal.SIGINT,
    signal.SIGQUIT,
    signal.SIGTERM,
    signal.SIGUSR1,
    signal.SIGUSR2,
    signal.SIGWINCH,
    signal.SIGCONT,
}


def main() -> None:
    """Stops (SIGTSTP) are left to their default."""
    signal.pthread_sigmask(signal.SIG_BLOCK, WATCHED)
    print("ready", flush=True)  # noqa: T201
    while True:
        number = signal.Signals(signal.sigwait(WATCHED))
        print(number.name, flush=True)  # noqa: T201
        if number is signal.SIGTERM:
            sys.exit(4)


if __name__ == "__main__":
    main()
