"""A database that another process holds locked: refusals in time, a loop that never waits, and all is well after."""

from __future__ import annotations

import re
import subprocess
import sys
import time

import pytest

from tests.faults.test_kill import NO_QUOTA
from tests.support.gateway import Gateways, Ledger, assert_nothing_lost
from tests.support.waiting import wait_until

LOCK = """
import apsw, sys
other = apsw.Connection(sys.argv[1])
other.set_busy_timeout(10_000)
other.execute("BEGIN IMMEDIATE")
print("locked", flush=True)
sys.stdin.read()
"""
TICKS_PER_S = 10
"""A fifth of what the settings of the test ask for; a loop that waits for the lock has about one."""
LAG_MAX = re.compile(r'sensorcast_loop_lag_seconds_bucket\{le="0\.1"\} (\S+)')
LAG_ALL = re.compile(r"sensorcast_loop_lag_seconds_count (\S+)")


@pytest.mark.parametrize("locked_s", [1, 5, pytest.param(30, marks=pytest.mark.long)])
def test_a_locked_database_never_blocks_the_event_loop_and_loses_nothing(start_server, locked_s):
    server = start_server(**NO_QUOTA, flush_interval_ms=20)
    organization, ledger = server.organization(), Ledger()
    with Gateways(organization, 2, ledger):
        wait_until(lambda: len(ledger.acknowledged) >= 50, within_s=30, what="acknowledged readings")
        ticks(server)  # the first answer of /metrics takes longer than any other, and is not what this is about
        before = ticks(server)
        hold_lock(server, organization, locked_s, until_ticks=before[1] + TICKS_PER_S * locked_s)
        late = [now - was for now, was in zip(ticks(server), before, strict=True)]
        enough = len(ledger.acknowledged) + 50
        wait_until(lambda: len(ledger.acknowledged) >= enough, within_s=30, what="readings are taken again")
    wait_until(lambda: server.http.get("/readyz").status_code == 200, within_s=30, what="readiness")
    assert_nothing_lost(server, organization, ledger)
    assert set(ledger.refused) <= {503}
    refused = len(ledger.refused)
    print(
        f"locked {locked_s} s: {late[1]:.0f} flush ticks, {late[0]:.0f} later than 100 ms, {refused} answers with 503"
    )
    # A loop that waits for the lock is late with each tick; one on a machine that is busy otherwise, with a few.
    assert late[0] <= late[1] / 5


def hold_lock(server, organization, locked_s: float, *, until_ticks: float) -> None:
    """Hold the write lock from another process; meanwhile queries are answered, and flush ticks come."""
    command = [sys.executable, "-c", LOCK, str(server.data / "sensorcast.db")]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
        assert other.stdout.readline() == b"locked\n"
        end_s = time.monotonic() + locked_s
        wait_until(
            lambda: answers(organization) and time.monotonic() >= end_s and ticks(server)[1] >= until_ticks,
            within_s=60,
            what="the end of the lock",
        )


def answers(organization) -> bool:
    assert organization.get("units?limit=1").status_code == 200
    return True


def ticks(server) -> tuple[float, float]:
    """Give how many flush ticks were later than 100 ms, and how many there were."""
    text = server.http.get("/metrics").text
    on_time, count = (float(pattern.search(text)[1]) for pattern in (LAG_MAX, LAG_ALL))
    return count - on_time, count
