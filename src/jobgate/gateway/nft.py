"""The program ``nft`` of nftables(8), which hands rules to the kernel."""

from __future__ import annotations

import os
import shutil
import subprocess

#: Where it is on systems whose ordinary users do not have it on their PATH.
_ADMIN_PATH = "/usr/sbin:/sbin"
_TIMEOUT_S = 30.0


class NftError(Exception):
    """The rules are not in force, none of them; the text says why."""


def load(rules: str) -> None:
    """Put rules in force, in this network namespace: all of them in one step, or none.

    Raises:
        NftError: There is no ``nft``, no right, or something in the rules that the kernel does not know.
    """
    program = shutil.which("nft", path=f"{os.environ.get('PATH', '')}:{_ADMIN_PATH}")
    if program is None:
        raise NftError("there is no program `nft` here: install the package nftables")
    try:
        done = subprocess.run(  # noqa: S603  fixed arguments
            [program, "-f", "-"],
            input=rules,
            env={**os.environ, "LC_ALL": "C"},
            capture_output=True,
            text=True,
            timeout=_TIMEOUT_S,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise NftError(f"{program}: {error}") from error
    if done.returncode != 0:
        raise NftError(explain(done.stderr))


def explain(errors: str) -> str:
    """Make one line of what ``nft`` wrote to standard error."""
    if "Operation not permitted" in errors:
        return "the rules need CAP_NET_ADMIN over this network namespace"
    lines = [line.strip() for line in errors.splitlines() if line.strip()]
    first = next((number for number, line in enumerate(lines) if "Error:" in line), None)
    if first is None:
        return f"nft: {lines[-1] if lines else 'failed and does not say why'}"
    # The next line is the one that the kernel or the parser did not take.
    return "nft: " + ": ".join([lines[first].partition("Error: ")[2], *lines[first + 1 : first + 2]])
