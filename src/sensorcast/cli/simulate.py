"""The command `simulate`: a fleet that sends to any server."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import signal
import time
from collections.abc import Coroutine
from typing import Any

import click
import httpx

from sensorcast.cli.options import duration_s
from sensorcast.simulator import fleet, run
from sensorcast.simulator.sender import Ledger, Sender


@click.command()
@click.option("--url", required=True, help="Address of the server.")
@click.option(
    "--key",
    required=True,
    envvar="SENSORCAST_API_KEY",
    help="API key; better in SENSORCAST_API_KEY, where other users cannot see it.",
)
@click.option(
    "--units", type=click.IntRange(1, 100_000), default=24, show_default=True, help="How many units to simulate."
)
@click.option(
    "--rate",
    type=click.FloatRange(0.001, 100_000),
    default=12.0,
    show_default=True,
    help="Readings a second, of all units together.",
)
@click.option(
    "--for",
    "for_s",
    callback=duration_s,
    help="Stop after this time, like 30s or 1h.",
)
@click.option("--seed", default=1, show_default=True, help="Another number gives another fleet.")
def simulate(url: str, key: str, units: int, rate: float, for_s: int | None, seed: int) -> None:
    """Send readings of a simulated fleet to a server, until Ctrl-C; print what became of them."""
    ledger = asyncio.run(_simulate(url, key, units=units, interval_s=units / rate, for_s=for_s, seed=seed))
    click.echo(" ".join(f"{name}={value}" for name, value in dataclasses.asdict(ledger).items()))


async def _simulate(url: str, key: str, *, units: int, interval_s: float, for_s: int | None, seed: int) -> Ledger:
    start_s = time.time()
    until_s = None if for_s is None else start_s + for_s
    simulated = fleet.build(units, seed=seed, start_s=start_s, interval_s=interval_s, failing_since_s=start_s)
    async with httpx.AsyncClient() as client:
        sender = Sender(client, url, key)
        live = run.send_live(simulated, sender, interval_s=interval_s, clock=time.time, until_s=until_s)
        await _until_signal(live)
    return sender.ledger


async def _until_signal(work: Coroutine[Any, Any, None]) -> None:
    """Do `work` until it is done or the process is told to stop, which is a normal end, too."""
    task, loop = asyncio.ensure_future(work), asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, task.cancel)
    with contextlib.suppress(asyncio.CancelledError):
        await task
