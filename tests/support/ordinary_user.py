"""Run a command as a user without any privilege, whoever runs the tests.

Where the tests run as root, the command gets a uid and gid that nothing belongs to. The
interpreter and the checkout may lie below directories that only root may enter
(``/root``): in a mount namespace of the command's own, these are covered by an
empty directory that anybody may enter, in which only the needed parts appear.
Nothing changes outside, and nothing is left behind.
"""

from __future__ import annotations

import os
import stat
import sys
from pathlib import Path

from jobgate.launch import linux

UID = 4242
"""Not that of nobody: an id that is not mapped shows as nobody's."""
CHECKOUT = Path(__file__).resolve().parents[2]
_STAGE = "/mnt"


def ordinary(command: list[str], uid: int = UID) -> list[str]:
    """The command line that runs ``command`` as a user without any capability."""
    if os.geteuid() != 0:
        return command
    return [sys.executable, __file__, str(uid), *command]


def closed_ancestor(path: Path) -> Path | None:
    """The outermost directory above ``path`` that others may not enter."""
    parents = reversed(path.resolve().parents)
    return next((parent for parent in parents if not parent.stat().st_mode & stat.S_IXOTH), None)


def open_the_way(needed: list[Path]) -> None:
    """Let anybody reach these directories, in a mount namespace of this process's own."""
    linux.unshare(linux.CLONE_NEWNS)
    linux.mount("", "/", "", linux.MS_REC | linux.MS_SLAVE)
    blocked = {path: ancestor for path in needed if (ancestor := closed_ancestor(path)) is not None}
    if not blocked:
        return
    linux.mount("tmpfs", _STAGE, "tmpfs", 0, "mode=0755")
    for number, path in enumerate(blocked):
        stage = f"{_STAGE}/{number}"
        Path(stage).mkdir()
        linux.mount(str(path), stage, "", linux.MS_BIND | linux.MS_REC)
    for ancestor in set(blocked.values()):
        linux.mount("tmpfs", str(ancestor), "tmpfs", 0, "mode=0755")
    for number, path in enumerate(blocked):
        path.mkdir(parents=True)
        linux.mount(f"{_STAGE}/{number}", str(path), "", linux.MS_BIND | linux.MS_REC)


def main() -> None:
    """Become an ordinary user, then the command."""
    open_the_way([Path(sys.base_prefix).resolve(), Path(sys.prefix).resolve(), CHECKOUT])
    uid = int(sys.argv[1])
    os.setgroups([])
    os.setresgid(uid, uid, uid)
    os.setresuid(uid, uid, uid)
    os.execvp(sys.argv[2], sys.argv[2:])  # noqa: S606  the test's own command line


if __name__ == "__main__":
    main()
