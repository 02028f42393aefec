"""Shares of organizations: refused above them with a time to come back, whatever others do."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from sensorcast.errors import QuotaExceeded
from sensorcast.quotas import Quotas, Usage
from sensorcast.settings import Settings


class Node:
    def __init__(self, **settings: Any) -> None:
        self.now_s = 0.0
        self.quotas = Quotas(Settings(**settings), lambda: self.now_s)


def refused(act: Callable[..., None], *args: Any) -> QuotaExceeded:
    with pytest.raises(QuotaExceeded) as caught:
        act(*args)
    return caught.value


def test_requests_above_the_share_are_refused_with_a_time() -> None:
    node = Node(organization_requests_per_s=0.5, organization_requests_burst=2)
    for _ in range(2):
        node.quotas.take_request("acme")
    error = refused(node.quotas.take_request, "acme")
    assert (error.status, error.retry_after_s) == (429, 2)
    assert "setting organization_requests_per_s" in error.message
    node.quotas.take_request("globex")
    node.now_s = 2.0
    node.quotas.take_request("acme")


def test_readings_count_together_and_a_refused_request_costs_none() -> None:
    node = Node(organization_readings_per_s=10, organization_readings_burst=100, ingest_max_readings=100)
    node.quotas.take_readings("acme", 60)
    assert refused(node.quotas.take_readings, "acme", 60).retry_after_s == 2
    node.quotas.take_readings("acme", 40)


def test_a_whole_request_of_readings_always_fits() -> None:
    node = Node(organization_readings_burst=1, ingest_max_readings=500)
    node.quotas.take_readings("acme", 500)


def test_subscriptions_are_counted_over_all_sockets() -> None:
    node = Node(organization_subscriptions=3)
    node.quotas.check_subscription("acme")
    node.quotas.add_subscriptions("acme", 3)
    assert "organization_subscriptions" in refused(node.quotas.check_subscription, "acme").message
    node.quotas.check_subscription("globex")
    node.quotas.add_subscriptions("acme", -3)
    node.quotas.check_subscription("acme")


def test_who_sends_too_much_waits_until_the_debt_is_paid() -> None:
    node = Node(organization_outbound_bytes_per_s=1_000.0)
    node.quotas.spend_outbound("acme", 3_000)
    node.quotas.spend_outbound("globex", 900)
    assert node.quotas.in_debt() == {"acme"}
    node.now_s = 2.1
    assert node.quotas.in_debt() == set()


def test_usage_is_told_by_organization() -> None:
    node = Node(organization_requests_burst=1, organization_requests_per_s=0.1)
    node.quotas.take_request("acme")
    refused(node.quotas.take_request, "acme")
    node.quotas.take_readings("acme", 7)
    node.quotas.spend_outbound("acme", 100)
    node.quotas.add_subscriptions("acme", 2)
    assert node.quotas.usage("acme") == Usage(1, 7, 100, 1, 2)
    assert node.quotas.usage("globex") == Usage()


def test_memory_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sensorcast.quotas.BUCKETS_MAX", 3)
    node = Node()
    for number in range(10):
        node.quotas.take_request(f"org-{number}")
        node.quotas.spend_outbound(f"org-{number}", 1)
    assert node.quotas.usage("org-0") == Usage()
    assert node.quotas.usage("org-9").requests == 1
