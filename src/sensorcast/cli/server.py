"""The commands that run a server: `serve`, and `demo` with a simulated fleet beside it."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import sys
import tempfile
from collections.abc import Callable
from typing import Any, Final

import click

from sensorcast import serving, workers
from sensorcast.cli.credentials import mint, new_key
from sensorcast.cli.options import load, warn_of_unknown_variables, with_settings
from sensorcast.model import Role
from sensorcast.settings import Settings
from sensorcast.simulator import demo

_OF_NO_OTHER: Final = {"database_url": "", "redis_url": "", "node_exchange": False, "workers": 1}
"""What keeps a demo apart from the real server for which the environment may be set up."""


@click.command()
@with_settings()
def serve(**flags: Any) -> None:
    """Run the server until it is told to stop."""
    chosen = load(flags)
    warn_of_unknown_variables()
    sys.exit(serving.serve(chosen) if chosen.workers == 1 else workers.supervise(chosen))


@click.command("demo")
@click.option(
    "--units", type=click.IntRange(1, 2_000), default=24, show_default=True, help="How many units to simulate."
)
@click.option(
    "--every",
    "interval_s",
    type=click.FloatRange(0.1, 3_600),
    default=1.0,
    show_default=True,
    help="Seconds between two readings of a unit.",
)
@click.option("--seed", default=1, show_default=True, help="Another number gives another fleet.")
@with_settings("host", "port", "data", "log_level")
def run_demo(units: int, interval_s: float, seed: int, **flags: Any) -> None:
    """Run a server with a simulated fleet and print the link to its dashboard.

    Data goes to a temporary folder, removed at the end, so that every demo starts with the same clean picture and never
    touches the data of a real server; give --data to keep it.
    """
    flags |= _OF_NO_OTHER
    with contextlib.ExitStack() as cleanup:
        if flags["data"] is None:
            flags["data"] = cleanup.enter_context(tempfile.TemporaryDirectory(prefix="sensorcast-demo-"))
        flags["port"] = flags["port"] or _free_port(load(flags))
        flags["log_level"] = flags["log_level"] or "warning"
        chosen = load(flags)
        api_key = asyncio.run(new_key(chosen, demo.ORGANIZATION, "demo"))
        token = mint(chosen, demo.ORGANIZATION, Role.OWNER, "demo", 86_400)
        code = serving.serve(
            chosen,
            on_ready=_announcement(token, units, chosen.data),
            background=lambda url: demo.send_fleet(url, api_key, units=units, interval_s=interval_s, seed=seed),
        )
    sys.exit(code)


def _free_port(chosen: Settings) -> int:
    """Give the port of the settings, or 0 (any) when somebody else is listening there: a demo should just start."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((chosen.host, chosen.port))
        except OSError:
            return 0
    return chosen.port


def _announcement(token: str, units: int, data: str) -> Callable[[str], None]:
    """Give what prints where to look, once the address is known."""

    def announce(base_url: str) -> None:
        click.echo(
            f"\n  {units} simulated units are sending to {base_url}\n"
            f"  Open the dashboard:  {base_url}/#token={token}\n"
            f"  Data is kept in {data}. Ctrl-C stops everything.\n"
        )

    return announce
