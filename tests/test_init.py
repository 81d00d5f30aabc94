from __future__ import annotations

import subprocess
import sys

import pytest

import jobgate
from support.serve import ENVIRONMENT


@pytest.mark.parametrize("name", [name for name in jobgate.__all__ if name != "__version__"])
def test_public_names_are_those_of_the_client(name: str) -> None:
    assert getattr(jobgate, name) is getattr(jobgate.client, name)


def test_other_names_are_not_there() -> None:
    with pytest.raises(AttributeError, match="'jobgate' has no attribute 'client_'"):
        getattr(jobgate, "client_")  # noqa: B009  it is what is tested


def test_jobgate_by_itself_loads_next_to_nothing() -> None:
    program = (
        "import __future__, sys\nbefore = set(sys.modules)\nimport jobgate\n"
        "assert jobgate.__version__\nprint(sorted(set(sys.modules) - before))\n"
        "print(jobgate.Client.__name__, 'aiohttp' in sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-S", "-c", f"import site; site.main()\n{program}"],
        capture_output=True,
        text=True,
        env=ENVIRONMENT,
        check=True,
    )
    assert done.stdout == "['jobgate']\nClient True\n"
