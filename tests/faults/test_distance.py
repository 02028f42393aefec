"""Two nodes on two hosts, one of which is cut off for a while: it says so, the other goes on, and nothing is lost."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.faults.test_kill import NO_QUOTA
from tests.support.dashboard import Dashboard
from tests.support.distance import Distance, by_namespaces, by_proxies, namespaces_allowed
from tests.support.gateway import Gateways, Ledger, assert_nothing_lost
from tests.support.node import NodeDriver
from tests.support.server import Organization
from tests.support.two_nodes import readiness, stored_latest, wait_degraded, wait_ready
from tests.support.waiting import wait_until

RIGHT_WITHIN_S = 20.0
GATEWAYS = 2


@pytest.fixture(params=["as the machine allows", pytest.param("proxies", marks=pytest.mark.long)])
def distance(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Distance]:
    """Two nodes that are apart, by the best means there is, and by those that there are everywhere."""
    apart = by_namespaces if request.param != "proxies" and namespaces_allowed() else by_proxies
    with apart(tmp_path, **NO_QUOTA) as made:
        print(f"two hosts by {made.how}")
        yield made


class Side:
    """What is on one side of the cut: a node, its gateways, its dashboard."""

    def __init__(self, organization: Organization, node: NodeDriver) -> None:
        self.organization = organization
        self.server = organization.server
        self.ledger = Ledger()
        prefix = f"{self.server.settings['node_name']}-"
        self.gateways = Gateways(organization, GATEWAYS, self.ledger, patient=True, prefix=prefix)
        self.units = {f"{prefix}unit-{number}" for number in range(GATEWAYS)}
        self.dashboard = Dashboard.open(node, self.server.url, organization)
        self.dashboard.client.connected()

    def goes_on(self) -> None:
        """Further readings are acknowledged, and shown."""
        enough = len(self.ledger.acknowledged) + 100
        wait_until(lambda: len(self.ledger.acknowledged) >= enough, within_s=30, what="acknowledged readings")
        shown = len(self.dashboard.client.readings()) + 50
        wait_until(
            lambda: len(self.dashboard.client.readings()) >= shown, within_s=30, what="readings on the dashboard"
        )

    def fails_honestly(self) -> None:
        """Readings are refused for now, and the dashboard is told."""
        self.dashboard.client.wait_for_event("stream:degraded", within_s=30)
        wait_degraded(self.server)
        wait_until(lambda: self.ledger.refused, within_s=60, what="a refusal")
        wait_until(lambda: any("database" in each for each in readiness(self.server)[1]), within_s=30, what="why")


def test_a_node_that_is_cut_off_says_so_and_both_are_whole_afterwards(distance: Distance, node: NodeDriver) -> None:
    one, two = (Side(each, node) for each in distance.cluster.organization())
    with one.gateways, two.gateways:
        one.goes_on()
        two.goes_on()
        distance.cut()
        try:
            two.fails_honestly()
            one.goes_on()
            assert readiness(one.server) == (200, [])
        finally:
            distance.mend()
        wait_ready(one.server, two.server, within_s=30)
        two.goes_on()
    wait_until(lambda: is_right(one) and is_right(two), within_s=RIGHT_WITHIN_S, what="dashboards show what is stored")
    two.dashboard.client.wait_for_event("stream:restored", within_s=30)
    for side, others in ((one, two), (two, one)):
        look_at(side, others)


def is_right(side: Side) -> bool:
    return side.dashboard.shown() == stored_latest(side.organization)


def look_at(side: Side, others: Side) -> None:
    """Nothing lost, nothing twice; what was refused was refused for a while, and said for how long."""
    assert_nothing_lost(side.server, side.organization, side.ledger, besides=others.units)
    print(f"refused {len(side.ledger.refused)}, unanswered {side.ledger.unanswered}")
    assert len(side.ledger.acknowledged) == side.ledger.sent
    assert set(side.ledger.refused) <= {503}
    assert all(side.ledger.retry_after)
    assert side.ledger.unanswered == 0
    assert side.dashboard.connects() == 1
    assert side.dashboard.repeated() == 0
    side.dashboard.client.disconnect()
