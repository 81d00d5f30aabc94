"""``jobgate top``: the jobs of a running gateway, second by second."""

from __future__ import annotations

import sys
from datetime import datetime
from typing import TYPE_CHECKING

import click

from .control import ask, control_options

if TYPE_CHECKING:
    from rich.console import Console, RenderableType

    from jobgate.client import Client

    from .top_loop import Picture

SORTS = ("id", "down", "up", "connections", "waiting", "refused")


def drawn(picture: Picture, console: Console, *, fits: bool, note: str = "") -> RenderableType:
    """Draw a picture for a console; ``fits``: into its height."""
    from .top_model import sum_of
    from .top_screen import screen

    clock = datetime.fromtimestamp(picture.at).strftime("%H:%M:%S") if picture.at else "--:--:--"
    return screen(
        picture.rows,
        sum_of(picture.rows),
        picture.refusals,
        clock=clock,
        width=console.width,
        height=console.height if fits else None,
        note=picture.note or note,
    )


async def show_once(gateway: Client, console: Console, sort: str, interval_s: float) -> None:
    """Print one table."""
    from .top_loop import Top
    from .top_source import GatewaySource

    top = Top(GatewaySource(gateway), sort)
    await top.once(interval_s)
    console.print(drawn(top.picture, console, fits=False))


async def show_live(gateway: Client, console: Console, sort: str, interval_s: float) -> None:
    """Draw on the whole screen and obey keys; without a capable terminal, print table after table."""
    from rich.live import Live

    from .keys import pressed_keys
    from .top_loop import HELP, Top
    from .top_source import GatewaySource

    top = Top(GatewaySource(gateway), sort)
    if not console.is_terminal or console.is_dumb_terminal:
        await top.run(lambda picture: console.print(drawn(picture, console, fits=False), ""), interval_s)
        return
    with Live(console=console, screen=True, auto_refresh=False) as live:

        def draw(picture: Picture) -> None:
            live.update(drawn(picture, console, fits=True, note=HELP), refresh=True)

        def on_key(key: str) -> None:
            if top.press(key):
                draw(top.picture)

        with pressed_keys(sys.stdin.fileno(), on_key):
            await top.run(draw, interval_s)


@click.command(epilog="Example: jobgate top --sort down")
@control_options
@click.option(
    "--sort",
    type=click.Choice(SORTS),
    default="id",
    show_default=True,
    help="What comes first; the largest of it. In a terminal a key changes it.",
)
@click.option(
    "--interval",
    "interval_s",
    type=click.FloatRange(min=0.1, max=3600),
    default=1.0,
    show_default=True,
    envvar="JOBGATE_INTERVAL",
    help="Seconds between two looks.",
)
@click.option("--once", is_flag=True, help="Print one table, of one interval, and end.")
def command(control: str, control_token_file: str | None, sort: str, interval_s: float, once: bool) -> None:
    """Show the jobs of a running gateway live: rates against limits, connections, refusals.

    HELD is the number of connections that wait for their job's rate. Ctrl+C or q ends it.
    """
    from rich.console import Console

    from .top_loop import Unreachable

    console = Console(highlight=False, markup=False, emoji=False)
    show = show_once if once else show_live

    async def look(gateway: Client) -> None:
        await show(gateway, console, sort, interval_s)

    try:
        ask(control, control_token_file, look)
    except Unreachable as error:
        raise click.ClickException(str(error)) from error
    except KeyboardInterrupt:
        return
