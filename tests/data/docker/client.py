"""Stands for ``docker``: containers are processes of this machine, and folders in FAKE_ENGINE remember them.

What is asked is written to ``calls``; ``answer-NAME`` is what the command NAME says instead, and fails with.
"""

import contextlib
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

STATE = Path(os.environ["FAKE_ENGINE"])


def options(words: list[str]) -> tuple[dict[str, list[str]], list[str]]:
    """The options, all of which are words of their own, and what follows them."""
    found: dict[str, list[str]] = {}
    while words and words[0].startswith("-"):
        name, _, value = words.pop(0).partition("=")
        found.setdefault(name, []).append(value)
    return found, words


def hold(given: dict[str, list[str]], rest: list[str]) -> None:
    folder = given["--volume"][0].split(":")[0]
    program = rest[rest.index("-c") + 1]
    if os.environ.get("FAKE_VSOCK") == "closed":
        program = program.replace("if vsock_leads_out()", "if False")
    container = STATE / "containers" / given["--name"][0]
    container.mkdir(parents=True)
    label = next(text for text in given["--label"] if text.startswith("jobgate.launcher="))
    (container / "label").write_text(label.partition("=")[2])
    (container / "run").write_text("\n".join(given["--label"]))
    started = subprocess.Popen(
        [sys.executable, "-I", "-S", "-c", program, f"{folder}/control", "127.0.0.1", "0"],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    (container / "pid").write_text(str(started.pid))


def run(given: dict[str, list[str]], rest: list[str]) -> None:
    for file in given.get("--env-file", []):
        for line in Path(file).read_text().splitlines():
            name, _, value = line.partition("=")
            os.environ[name] = value
    for text in given.get("--env", []):
        name, _, value = text.partition("=")
        os.environ[name] = value
    os.execvp(rest[1], rest[1:])  # noqa: S606  the job of a test


def remove(name: str) -> None:
    container = STATE / "containers" / name
    if (container / "pid").exists():
        with contextlib.suppress(ProcessLookupError):
            os.kill(int((container / "pid").read_text()), signal.SIGKILL)
    for file in container.iterdir():
        file.unlink()
    container.rmdir()


def matching(wanted: str) -> list[str]:
    """The containers that have a label, or one of that name."""
    label = wanted.removeprefix("label=")
    found = sorted(STATE.glob("containers/*"))
    return [
        path.name
        for path in found
        if any(
            line == label or line.startswith(f"{label}=") for line in (path / "run").read_text().splitlines()
        )
    ]


def main(command: str, *words: str) -> None:
    with (STATE / "calls").open("a") as calls:
        calls.write(json.dumps([command, *words]) + "\n")
    answer = STATE / f"answer-{command}"
    if answer.exists():
        sys.exit(answer.read_text())
    given, rest = options(list(words))
    if command == "run":
        (hold if "--detach" in given else run)(given, rest)
    elif command == "ps":
        print("\n".join(matching(rest[0])))
    elif command == "inspect":
        print((STATE / "containers" / rest[-1] / "label").read_text())
    elif command == "rm":
        for name in rest:
            remove(name)


main(*sys.argv[1:])
