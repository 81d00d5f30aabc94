"""``python -m jobgate``, and the ``jobgate`` program."""

import gc
import sys

from jobgate.interrupts import end_at_interrupt


def main() -> None:
    """The entry point of the ``jobgate`` program."""
    end_at_interrupt()
    gc.disable()  # until the command is loaded (cli/loading.py)
    from jobgate.cli import call

    gc.collect()  # what is garbage by now would be frozen with all the rest
    sys.exit(call(sys.argv[1:]))


if __name__ == "__main__":
    main()
