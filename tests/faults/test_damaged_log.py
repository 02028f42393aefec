"""A write-ahead log whose tail is torn or damaged: the server starts, and everything before the damage is there."""

from __future__ import annotations

import pytest

from tests.faults.test_kill import NO_QUOTA
from tests.support.gateway import Gateways, Ledger, assert_nothing_lost, stored_numbers
from tests.support.server import reading
from tests.support.waiting import wait_until

FRAME_BYTES = 24 + 4096


def killed_under_load(start_server):
    """A server killed while it wrote, its ledger, and its log."""
    server = start_server(**NO_QUOTA)
    organization, ledger = server.organization(), Ledger()
    with Gateways(organization, 4, ledger):
        wait_until(lambda: len(ledger.acknowledged) >= 300, within_s=30, what="acknowledged readings")
        server.kill()
    return server, organization, ledger, server.data / "sensorcast.db-wal"


TAILS = {"zeros": b"\0" * FRAME_BYTES, "half a frame": b"\xa5" * (FRAME_BYTES // 2), "one byte": b"x"}


@pytest.mark.parametrize("tail", TAILS.values(), ids=TAILS.keys())
def test_a_torn_tail_of_the_log_loses_nothing_acknowledged(start_server, tail):
    server, organization, ledger, log = killed_under_load(start_server)
    with log.open("ab") as end:
        end.write(tail)
    server.restart()
    assert_nothing_lost(server, organization, ledger)
    assert organization.post(reading("after")).status_code == 200


def test_a_damaged_last_page_of_the_log_costs_the_commits_in_it_and_no_more(start_server):
    server, organization, ledger, log = killed_under_load(start_server)
    content = bytearray(log.read_bytes())
    content[-100:] = b"\xa5" * 100
    log.write_bytes(content)
    server.restart()
    stored = stored_numbers(organization)
    lost = ledger.acknowledged.items() - stored.items()
    print(f"damaged last page: acknowledged {len(ledger.acknowledged)}, lost {len(lost)}")
    assert len(lost) <= 100
    assert set(stored.values()) <= set(range(ledger.sent))
