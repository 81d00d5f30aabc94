"""The least of a shell with job control: one job on a terminal. Standard library only.

Leads the session of the terminal on its standard input, starts the command in a
process group of its own in the foreground, and prints ``stopped N`` when it stops, whereupon a
byte on the descriptor named first continues it; ``ended CODE`` when it has ended, and whether
the terminal is back.
"""

from __future__ import annotations

import fcntl
import os
import signal
import sys
import termios


def say(text: str) -> None:
    os.write(2, f"{text}\n".encode())


def start(command: list[str], resume: int) -> int:
    pid = os.fork()
    if pid == 0:
        os.setpgid(0, 0)
        os.tcsetpgrp(0, os.getpgrp())
        signal.signal(signal.SIGTTOU, signal.SIG_DFL)
        os.close(resume)
        os.execvp(command[0], command)  # noqa: S606  what a shell does
    return pid


def main() -> None:
    os.setsid()
    fcntl.ioctl(0, termios.TIOCSCTTY, 0)
    signal.signal(signal.SIGTTOU, signal.SIG_IGN)
    resume = int(sys.argv[1])
    pid = start(sys.argv[2:], resume)
    while True:
        _, status = os.waitpid(pid, os.WUNTRACED)
        foreground = os.tcgetpgrp(0)
        os.tcsetpgrp(0, os.getpgrp())
        if not os.WIFSTOPPED(status):
            say(f"ended {os.waitstatus_to_exitcode(status)} {'in' if foreground == pid else 'off'} place")
            return
        say(f"stopped {os.WSTOPSIG(status)}")
        os.read(resume, 1)
        os.tcsetpgrp(0, pid)
        os.killpg(pid, signal.SIGCONT)


if __name__ == "__main__":
    main()
