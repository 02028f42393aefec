"""Two nodes behind nginx are restarted one after the other, under load: nobody has to know."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.faults.test_kill import NO_QUOTA
from tests.support.dashboard import Dashboard
from tests.support.gateway import Gateways, Ledger, assert_nothing_lost
from tests.support.nginx import nginx_before
from tests.support.node import NodeDriver
from tests.support.postgres import PostgresServer
from tests.support.redis import RedisServer
from tests.support.server import Organization
from tests.support.two_nodes import TwoNodes, stored_latest, wait_ready
from tests.support.waiting import wait_until

RIGHT_WITHIN_S = 20.0
TRANSPORTS: tuple[tuple[str, ...], ...] = (("websocket",), (), ("polling",))
"""The second is what the library does unless told otherwise: poll, then upgrade."""


@pytest.fixture(scope="module")
def cluster(
    tmp_path_factory: pytest.TempPathFactory, postgres: PostgresServer, shared_redis: RedisServer
) -> Iterator[TwoNodes]:
    nodes = TwoNodes.start(tmp_path_factory.mktemp("nodes"), postgres, shared_redis.url, **NO_QUOTA)
    yield nodes
    nodes.close()


class Load:
    """Gateways and dashboards of one organization, all of them behind the balancer."""

    def __init__(self, organization: Organization, url: str, node: NodeDriver, *, sites: int) -> None:
        self.organization = organization
        self.ledger = Ledger()
        self.gateways = Gateways(organization, 2, self.ledger, patient=True, url=url, prefix=f"{organization.name}-")
        self.dashboards = [
            Dashboard.open(node, url, organization, *transports, address=f"10.1.{site}.1")
            for site in range(sites)
            for transports in TRANSPORTS
        ]

    def goes_on(self) -> None:
        """Further readings are acknowledged."""
        enough = len(self.ledger.acknowledged) + 150
        wait_until(lambda: len(self.ledger.acknowledged) >= enough, within_s=30, what="acknowledged readings")

    def is_right(self) -> bool:
        """Whether each dashboard shows what is stored."""
        stored = stored_latest(self.organization)
        return all(each.shown() == stored for each in self.dashboards)


def roll(cluster: TwoNodes, node: NodeDriver, folder: Path, *, rounds: int, sites: int) -> None:
    """Restart both nodes in turn, `rounds` times; then look at everything that could have gone wrong."""
    with nginx_before(cluster.nodes, folder) as url, ExitStack() as sending:
        loads = begin(cluster, node, url, sending, sites=sites)
        for _ in range(rounds):
            for server in cluster.nodes:
                all_go_on(loads)
                assert server.terminate() == 0
                all_go_on(loads)
                server.restart()
        all_go_on(loads)
        sending.close()
        end(loads)
        assert all(each.connects() >= 2 for load in loads for each in load.dashboards)


def begin(cluster: TwoNodes, node: NodeDriver, url: str, sending: ExitStack, *, sites: int) -> list[Load]:
    """Let two organizations send, until `sending` is closed, and watch."""
    loads = [Load(cluster.organization()[0], url, node, sites=sites) for _ in range(2)]
    for load in loads:
        sending.enter_context(load.gateways)
    return loads


def all_go_on(loads: list[Load]) -> None:
    for load in loads:
        load.goes_on()


def end(loads: list[Load], *, within_s: float = RIGHT_WITHIN_S) -> None:
    """Wait until each dashboard is right, and look at everything else."""
    ended_s = time.monotonic()
    for load in loads:
        wait_until(load.is_right, within_s=within_s, what="each dashboard shows what is stored")
    print(f"right {time.monotonic() - ended_s:.1f} s after the end")
    for load in loads:
        look_at(load)
        for each in load.dashboards:
            each.client.disconnect()


def look_at(load: Load) -> None:
    """Nothing lost, nothing twice, nothing foreign; and every client came back by itself."""
    ledger = load.ledger
    assert_nothing_lost(load.organization.server, load.organization, ledger)
    print(f"refused {Counter(ledger.refused)}, unanswered {ledger.unanswered}")
    assert len(ledger.acknowledged) == ledger.sent
    assert set(ledger.refused) <= {502, 503, 504}
    for each in load.dashboards:
        print(f"connected {each.connects()} times, {each.disconnect_reasons()}, {len(each.client.readings())} readings")
        assert all(unit_id.startswith(f"{load.organization.name}-") for unit_id in each.units())
        assert each.repeated() == 0
        assert each.disconnect_reasons() <= {"transport close", "transport error"}


def test_rolling_restart_loses_nothing_and_every_dashboard_comes_back(cluster, node, tmp_path: Path) -> None:
    roll(cluster, node, tmp_path, rounds=1, sites=2)


def test_what_a_killed_node_stored_last_is_shown_by_the_other(cluster, node, tmp_path: Path) -> None:
    one, two = cluster.nodes
    with nginx_before(cluster.nodes, tmp_path) as url, ExitStack() as sending:
        loads = begin(cluster, node, url, sending, sites=2)
        all_go_on(loads)
        sending.close()
        two.kill()  # what it has just acknowledged may not have left it
        try:
            end(loads, within_s=2 * RIGHT_WITHIN_S)  # its silence is noticed after five seconds
        finally:
            two.restart()
        wait_ready(one, two)


@pytest.mark.long
@pytest.mark.timeout(900)
def test_ten_rolling_restarts_lose_nothing_and_every_dashboard_comes_back(cluster, node, tmp_path: Path) -> None:
    roll(cluster, node, tmp_path, rounds=10, sites=10)
