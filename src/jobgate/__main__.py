"""``python -m jobgate``, and the ``jobgate`` program."""

import sys

from jobgate.interrupts import end_at_interrupt


def main() -> None:
    """The entry point of the ``jobgate`` program."""
    end_at_interrupt()
    from jobgate.cli import call

    sys.exit(call(sys.argv[1:]))


if __name__ == "__main__":
    main()
