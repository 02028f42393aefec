"""The command line: what a person types, turned into settings and calls.

Reading order: `options` (what the commands share), `server`, `simulate`, `loadtest`, `credentials`, `registry`. The
invariant: nothing but the commands here reads arguments or the environment, and a mistake in them is one line, never a
traceback.
"""

from __future__ import annotations

import click

from sensorcast import __version__
from sensorcast.cli.credentials import keys, revoke, token
from sensorcast.cli.loadtest import loadtest
from sensorcast.cli.migrate import migrate
from sensorcast.cli.options import Commands
from sensorcast.cli.registry import registry
from sensorcast.cli.server import run_demo, serve
from sensorcast.cli.simulate import simulate
from sensorcast.cli.verify import verify_isolation


@click.group(cls=Commands)
@click.version_option(__version__, prog_name="sensorcast")
def main() -> None:
    """Take readings from sensors, keep them, and stream them to everybody who watches."""


for _command in (serve, run_demo, simulate, loadtest, keys, token, revoke, registry, migrate, verify_isolation):
    main.add_command(_command)
