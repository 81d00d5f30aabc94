"""The command line: one module per command, loaded only when it is called.

Owns what all commands share: the list of them, ``JOBGATE_<OPTION>`` for every
option, and the form of an error: lines that begin with ``jobgate:``, exit code 2
for usage and configuration, 1 for a failure at run time.
"""

from __future__ import annotations

from collections.abc import Sequence
from keyword import iskeyword

import click

from jobgate import __version__
from jobgate.interrupts import raise_at_interrupt
from jobgate.without_tls import load_event_loop

from .loading import load

ENVIRONMENT_PREFIX = "JOBGATE"

COMMANDS = {
    "run": "Run one command behind its allowlist, in a network of its own.",
    "docker": "Run one container behind its allowlist, with no other network.",
    "learn": "Run one command and print the smallest policy it needs.",
    "sidecar": "Serve one job from beside it: same namespace or same pod.",
    "lockdown": "Let only the gate out of a network namespace that the job shares.",
    "serve": "Serve many jobs: of a file, and those that the control API adds.",
    "bacalhau": "Serve one job in the place of Bacalhau's http-gateway container.",
    "check": "Explain whether a job may reach a URL, and why.",
    "env": "Print the variables that a job needs to find its gate.",
    "jobs": "List, add, change and remove jobs of a running gateway.",
    "reload": "Have a running gateway read its configuration again.",
    "top": "Watch the jobs of a running gateway.",
    "admit": "Decide whether a node accepts a job of Bacalhau or Golem.",
    "import": "Make an allow list of one of Bacalhau's or Golem's.",
    "ray": "Go on only behind the gate of a Ray job.",
    "health": "Ask a running gate whether it answers.",
    "demo": "Show one allowed and one refused request, offline.",
}
"""Every command with its line in the list, so that listing them loads none."""

WITHOUT_TLS = frozenset(("run", "docker", "learn", "sidecar", "serve", "bacalhau"))
"""The commands that serve jobs: TLS goes through a gate, which never speaks it."""


class LazyGroup(click.Group):
    """A group whose command ``x`` is the attribute ``command`` of ``jobgate.cli.x``.

    A word that Python keeps for itself has an underscore behind it, there.
    """

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        module = f"jobgate.cli.{cmd_name}_" if iskeyword(cmd_name) else f"jobgate.cli.{cmd_name}"
        if cmd_name in WITHOUT_TLS:
            load_event_loop()
        command = load(module).command
        raise_at_interrupt()
        if not isinstance(command, click.Command):
            raise TypeError(f"jobgate.cli.{cmd_name}.command is not a click command")
        command.context_settings.setdefault("auto_envvar_prefix", ENVIRONMENT_PREFIX)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))


@click.group(
    cls=LazyGroup,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="Example: jobgate run --domain .example.com -- curl https://www.example.com/",
)
@click.version_option(__version__, prog_name="jobgate", message="%(prog)s %(version)s")
def cli() -> None:
    """The network gate of a compute job: an allowlist, a rate and a log."""


def call(args: Sequence[str]) -> int:
    """Run one command line and return its exit code; errors are written to standard error."""
    try:
        outcome = cli.main(args=list(args) or ["--help"], prog_name="jobgate", standalone_mode=False)
    except click.ClickException as error:
        message = error.format_message()
        is_help = message.startswith("Usage: ")  # of a group that got no command
        prefix = "" if is_help else "jobgate: "
        for line in message.splitlines():
            click.echo(f"{prefix}{line}", err=True)
        return error.exit_code
    except click.Abort:
        return 130
    return outcome if isinstance(outcome, int) else 0
