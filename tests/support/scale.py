"""How much the tests of the hostile job do: little by itself, more by ``JOBGATE_TEST_SCALE=50``."""

from __future__ import annotations

import os

SCALE = int(os.environ.get("JOBGATE_TEST_SCALE", "1"))
#: For ``pytest.mark.timeout``.
TIMEOUT_S = 60 * SCALE
