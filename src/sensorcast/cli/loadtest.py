"""The command `loadtest`: what a server delivers, how late, and whether that is good enough."""

from __future__ import annotations

import asyncio
import secrets
import time

import click
import uvloop

from sensorcast.cli.options import duration_s
from sensorcast.loadtest.run import LoadTest, Plan
from sensorcast.loadtest.tally import Report


@click.command()
@click.option("--url", required=True, help="Address of the server.")
@click.option(
    "--key",
    required=True,
    envvar="SENSORCAST_API_KEY",
    help="API key of the organization; better in SENSORCAST_API_KEY, where other users cannot see it.",
)
@click.option(
    "--token",
    required=True,
    envvar="SENSORCAST_TOKEN",
    help="Token of a user of the same organization; better in SENSORCAST_TOKEN.",
)
@click.option("--clients", type=click.IntRange(1, 50_000), default=100, show_default=True, help="Dashboards.")
@click.option("--units", type=click.IntRange(1, 100_000), default=20, show_default=True, help="Units that send.")
@click.option(
    "--rate",
    type=click.FloatRange(0.001, 100_000),
    default=20.0,
    show_default=True,
    help="Readings a second, of all units together.",
)
@click.option("--for", "for_s", callback=duration_s, default="30s", show_default=True, help="How long to send.")
@click.option("--max-p99-ms", type=click.FloatRange(0), help="Fail when fewer than 99 of 100 come within it.")
@click.option("--max-lost", type=click.IntRange(0), help="Fail when more deliveries are missing at the end.")
@click.option("--max-duplicates", type=click.IntRange(0), help="Fail when more readings arrive twice.")
@click.option("--max-lost-connections", type=click.IntRange(0), help="Fail when more connections end by themselves.")
@click.option(
    "--max-server-cpu",
    type=click.FloatRange(0),
    help="Fail when a local server, all its workers together, uses more cores.",
)
def loadtest(
    *, url: str, key: str, token: str, clients: int, units: int, rate: float, for_s: int, **bounds: float | None
) -> None:
    """Connect dashboards to a running server, send readings, and report what arrived; exit 1 when a bound is broken."""
    plan = Plan(
        url=url,
        key=key,
        token=token,
        run_id=secrets.token_hex(4),
        clients=clients,
        units=units,
        rate=rate,
        duration_s=for_s,
    )
    test = LoadTest(plan, clock_s=time.time, on_progress=lambda line: click.echo(line, err=True))
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        report = runner.run(test.run())
    click.echo(_text(report))
    broken = _broken(report, bounds)
    for line in broken:
        click.echo(f"sensorcast: {line}", err=True)
    if broken:
        raise SystemExit(1)


def _text(report: Report) -> str:
    cpu = "not on this machine" if report.server_cpu is None else f"{report.server_cpu:.2f} cores"
    return "\n".join(
        (
            f"clients      {report.clients}, {report.lost_connections} lost",
            f"readings     {report.sent} sent in {report.seconds:.1f} s, {report.accepted} accepted",
            f"deliveries   {report.delivered} of {report.expected}, {report.lost} lost, {report.duplicates} twice",
            f"from sending p50 {report.p50_ms:.0f} ms, p90 {report.p90_ms:.0f} ms, p99 {report.p99_ms:.0f} ms, "
            f"max {report.max_ms:.0f} ms",
            f"server CPU   {cpu}",
        )
    )


def _broken(report: Report, bounds: dict[str, float | None]) -> list[str]:
    """Say which bounds do not hold. One on what cannot be known does not hold."""
    return [
        f"--{name.replace('_', '-')} {bound:g} is broken: {'unknown' if value is None else f'{value:g}'}"
        for name, bound in bounds.items()
        if bound is not None and ((value := getattr(report, name.removeprefix("max_"))) is None or value > bound)
    ]
