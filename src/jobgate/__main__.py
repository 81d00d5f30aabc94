"""``python -m jobgate``: the same as the ``jobgate`` program."""

from jobgate.cli import main

if __name__ == "__main__":
    main()
