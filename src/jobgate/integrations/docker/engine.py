"""The engine, through its own client (edge): what dead launchers left, the holder, the end."""

from __future__ import annotations

import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from importlib.resources import files
from pathlib import Path
from typing import NamedTuple

from jobgate.launch.errors import LaunchError
from jobgate.launch.namespaces import PROXY_ADDRESS, PROXY_PORT

from .commands import OWNER_LABEL, RUN_LABEL, SOCKET, Run, is_podman, start_holder
from .folder import private_folder, sweep_folders
from .options import CommandLine
from .owner import Owner
from .profile import PLACES, ProfileError, close_vsock

HANDOVER_S = 30.0
"""From the start of the holder to its socket: the start of a Python, on a machine that may be busy."""

_MAX_WORD_BYTES = 64
_VSOCK_REMEDY = (
    "update the engine (Docker 23 or later forbids it), or install the package with "
    "/usr/share/containers/seccomp.json (containers-common), from which a filter without it is made"
)

# Ends when its input does, however the launcher ended, and leaves no container of the run. What the engine
# is removing already is waited for, but not for ever.
_REMOVER = """
trap '' HUP INT QUIT TERM
cat > /dev/null
rm -r -f -- "$4"
attempts=0
while [ $((attempts += 1)) -le 100 ]; do
    found=$("$1" ps --all --quiet --filter "$2") || exit
    [ -n "$found" ] || exit 0
    "$1" rm --force $3 $found || sleep 0.1
done
"""


def find_engine(name: str) -> str:
    """Find the engine's client.

    Raises:
        LaunchError: It is not installed.
    """
    path = shutil.which(name)
    if path is None:
        raise LaunchError(f"{name} is not installed: install it, or name another client with --engine")
    return path


def ask(*command: str) -> str:
    """Run the client and return what it printed.

    Raises:
        LaunchError: It failed; the message is its own.
    """
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603
    except OSError as error:
        raise LaunchError(f"{command[0]}: {error.strerror}") from error
    if done.returncode != 0:
        raise LaunchError(f"{Path(command[0]).name} {command[1]}: {complaint(done.stderr, done.returncode)}")
    return done.stdout


def complaint(said: str, exit_code: int) -> str:
    """The line of a client's standard error that says what went wrong."""
    lines = [line.strip() for line in said.splitlines()]
    lines = [line for line in lines if line and not line.startswith(("Run '", "See '"))]
    return lines[-1] if lines else f"exit code {exit_code}"


def sweep(engine: str, owner: Owner) -> None:
    """Remove the containers and the folders of launchers that are gone.

    Raises:
        LaunchError: The engine does not answer.
    """
    sweep_folders()
    found = ask(engine, "ps", "--all", "--quiet", "--filter", f"label={OWNER_LABEL}").split()
    for container in found:
        label_of = f'{{{{index .Config.Labels "{OWNER_LABEL}"}}}}'
        try:
            label = ask(engine, "inspect", "--format", label_of, container).strip()
        except LaunchError:
            continue  # gone meanwhile
        other = Owner.parse(label)
        if other is not None and other.is_gone(owner):
            remove(engine, container)


def remove(engine: str, container: str) -> None:
    """Remove a container; somebody else may be doing the same."""
    subprocess.run(  # noqa: S603
        [engine, "rm", "--force", *_at_once(engine), container], capture_output=True, check=False
    )


@contextmanager
def removed_at_the_end(run: Run) -> Iterator[Path]:
    """Leave no container and no file of a run behind, even if this process is killed.

    A shell outside our session waits for the end of a pipe of which only we have the
    other end, and then removes what carries the label of the run.

    Yields:
        A folder for its files, which no other user can enter.
    """
    with private_folder(run.id) as private:
        arguments = [run.engine, f"label={RUN_LABEL}={run.id}", " ".join(_at_once(run.engine)), str(private)]
        remover = subprocess.Popen(  # noqa: S603
            ["/bin/sh", "-c", _REMOVER, "jobgate-remover", *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        try:
            yield private
        finally:
            remover.communicate()


@contextmanager
def held_network(
    run: Run, image: str, line: CommandLine, private: Path
) -> Iterator[tuple[Run, socket.socket]]:
    """Make a network of nothing but loopback, in a container that lives as long as the context.

    Where containers can reach the hypervisor past every network (AF_VSOCK: Docker before 23, Podman),
    the run gets a filter of system calls that closes it.

    Yields:
        The run, and a socket bound inside its network, not listening yet.

    Raises:
        LaunchError: The engine refuses, does not run on this machine, or leaves that way open.
    """
    with ExitStack() as stack:
        held = stack.enter_context(_held(run, image, line, private))
        if held.vsock:
            stack.close()
            run = replace(run, profile=_closing_profile(private))
            held = stack.enter_context(_held(run, image, line, private))
            if held.vsock:
                raise LaunchError(f"AF_VSOCK stays open: {_VSOCK_REMEDY}")
        yield run, held.proxy


class _Held(NamedTuple):
    proxy: socket.socket
    vsock: bool


def holder_program() -> str:
    """Source of what runs in the holder."""
    return files(__package__).joinpath("holder.py").read_text()


@contextmanager
def _held(run: Run, image: str, line: CommandLine, private: Path) -> Iterator[_Held]:
    """Start the holder, and take the socket that it made."""
    with _listening(private) as (folder, listener):
        command = start_holder(run, image, folder, line, holder_program(), PROXY_ADDRESS, PROXY_PORT)
        try:
            ask(*command)
        except LaunchError as error:
            raise LaunchError(_explain(str(error), image, Path(run.engine).name)) from error
        control = _accept(run, listener)
    with control:
        try:
            word, descriptors, _, _ = socket.recv_fds(control, _MAX_WORD_BYTES, 1)
        except OSError as error:
            raise LaunchError(f"the holder gave no socket: {error}") from error
        if not descriptors:
            raise LaunchError(f"the holder gave no socket: {_last_words(run)}")
        with socket.socket(fileno=descriptors[0]) as proxy:
            # Received descriptors are inherited by programs that are started, unless one says so.
            proxy.set_inheritable(False)
            yield _Held(proxy, vsock=word == b"vsock")


def _closing_profile(folder: Path) -> Path:
    """Write a seccomp profile without AF_VSOCK."""
    for place in filter(Path.exists, map(Path, PLACES)):
        closed = folder / "seccomp.json"
        try:
            closed.write_text(close_vsock(place.read_text()))
        except (OSError, ProfileError) as error:
            raise LaunchError(f"{place}: {error}") from error
        return closed
    raise LaunchError(
        f"containers of this engine reach the hypervisor by AF_VSOCK, past every network: {_VSOCK_REMEDY}"
    )


@contextmanager
def _listening(private: Path) -> Iterator[tuple[Path, socket.socket]]:
    """A unix socket that a container can be given, in a folder that no other user can reach."""
    with tempfile.TemporaryDirectory(dir=private) as name:
        folder = Path(name)
        folder.chmod(0o755)
        with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as listener:
            try:
                listener.bind(str(folder / SOCKET))
            except OSError as error:
                raise LaunchError(f"cannot make a socket in {folder}: {error.strerror or error}") from error
            # The holder's user is not ours.
            (folder / SOCKET).chmod(0o666)
            listener.listen(1)
            listener.settimeout(HANDOVER_S)
            yield folder, listener


def _accept(run: Run, listener: socket.socket) -> socket.socket:
    try:
        control, _ = listener.accept()
    except TimeoutError as error:
        raise LaunchError(
            f"the holder did not reach this process in {HANDOVER_S:.0f} s ({_last_words(run)}): the engine "
            f"must run on this machine, and mount {tempfile.gettempdir()} as this process sees it"
        ) from error
    control.settimeout(HANDOVER_S)
    return control


def _last_words(run: Run) -> str:
    """The last line that the holder wrote."""
    said = subprocess.run(  # noqa: S603
        [run.engine, "logs", run.holder], capture_output=True, text=True, check=False
    )
    return (said.stderr.strip().splitlines() or ["it said nothing"])[-1]


def _explain(message: str, image: str, engine: str) -> str:
    if "no such image" in message.lower() or "image not known" in message.lower():
        return (
            f'no image "{image}" to hold the network: build it ({engine} build -t jobgate . in a checkout), '
            "or name one that has python3 with --gate-image"
        )
    return message


def _at_once(engine: str) -> Sequence[str]:
    """What makes ``rm --force`` do it at once: Podman asks first, and keeps what others depend on."""
    return ("--time=0", "--depend") if is_podman(engine) else ()
