"""What pid 1 of the job gives up, for itself and for everything it starts."""

from __future__ import annotations

from . import linux
from .errors import Step, during


def lock_down(filter_program: bytes) -> None:
    """Drop every capability for good, and put the system call filter in place.

    Raises:
        SetupError: The system does not allow it.
    """
    with during(Step.CAPABILITIES):
        linux.drop_capabilities()
        linux.set_no_new_privileges()
    with during(Step.FILTER):
        linux.install_filter(filter_program)
