"""Snapshots: newest readings of an organization, read again when they fail, few at a time, nothing brought twice."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from sensorcast.cluster import repair
from sensorcast.cluster.repair import AT_ONCE, Brought, Repairs
from sensorcast.model import Reading
from sensorcast.stream import SensorStream
from tests.contracts.bus import eventually
from tests.readings import T0_US, reading
from tests.support.cluster import MemoryStore


class CountingStore(MemoryStore):
    """Says how many ask it at the same time."""

    asking = most = 0

    async def units(self, organization_id: str, *, after: str | None, limit: int) -> list[Reading]:
        self.asking += 1
        self.most = max(self.most, self.asking)
        try:
            return await super().units(organization_id, after=after, limit=limit)
        finally:
            self.asking -= 1


class Mended:
    """Repairs with what they work on."""

    def __init__(self) -> None:
        self.store, self.stream, self.brought = CountingStore(), SensorStream(), Brought()
        self.done: list[str] = []
        self.since_us: int | None = T0_US
        self.repairs = Repairs(
            self.store, self.stream, self.brought, since_us=lambda _: self.since_us, done=self.done.append
        )

    async def run(self, *organization_ids: str) -> None:
        for organization_id in organization_ids:
            self.repairs.request(organization_id)
        await eventually(lambda: len(self.done) >= len(organization_ids))

    def flushed(self) -> list[Reading]:
        drained = self.stream.drain().values()
        return [one for each in drained for unit in each.units.values() for one in unit]


@pytest.fixture
async def mended(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Mended]:
    monkeypatch.setattr(repair, "RETRY_S", 0.01)
    made = Mended()
    made.repairs.start()
    yield made
    await made.repairs.stop()


async def test_what_is_newer_than_known_is_taken_and_nothing_else(mended: Mended) -> None:
    mended.stream.warm([reading("u1", 5), reading("u2", 5), reading("u3", 5, device_id="a")])
    for each in (reading("u1", 9), reading("u2", 3), reading("u3", 5, device_id="b"), reading("u4", 1)):
        mended.store.append(each)
    await mended.run("acme")
    assert mended.flushed() == [reading("u1", 9), reading("u3", 5, device_id="b"), reading("u4", 1)]
    assert mended.stream.get_latest_reading("acme", "u2") == reading("u2", 5)


async def test_what_was_received_before_somebody_followed_is_only_known(mended: Mended) -> None:
    mended.store.append(old := reading("u1", received_at_us=T0_US - 1))
    await mended.run("acme")
    assert mended.stream.latest_of("acme") == [old]
    assert mended.flushed() == []


async def test_every_page_is_read(mended: Mended) -> None:
    for number in range(1_203):
        mended.store.append(reading(f"u{number}"))
    await mended.run("acme")
    assert mended.store.pages_read == 3
    assert len(mended.flushed()) == 1_203


async def test_who_is_no_longer_followed_is_not_read(mended: Mended) -> None:
    mended.since_us = None
    mended.store.append(reading())
    await mended.run("acme")
    assert mended.store.pages_read == 0


async def test_a_failure_is_tried_again(mended: Mended) -> None:
    mended.store.failures_left = 3
    mended.store.append(reading())
    await mended.run("acme")
    assert mended.flushed() == [reading()]


async def test_only_so_many_are_read_at_the_same_time(mended: Mended) -> None:
    mended.store.slow_s = 0.005
    await mended.run(*(f"org-{number}" for number in range(40)))
    assert mended.store.most == AT_ONCE


async def test_requests_for_the_same_join_and_one_during_a_read_is_read_again(mended: Mended) -> None:
    mended.store.slow_s = 0.05
    for _ in range(5):
        mended.repairs.request("acme")
    await eventually(lambda: mended.store.pages_read == 1)
    mended.store.append(reading())
    mended.repairs.request("acme")
    await eventually(lambda: mended.done == ["acme"])
    assert mended.store.pages_read == 2
    assert mended.flushed() == [reading()]


def test_what_was_brought_is_remembered_by_organization_and_for_a_while() -> None:
    brought = Brought(max_readings=2)
    brought.add(reading("u1"), 0.0)
    assert reading("u1") in brought
    assert reading("u1", org="b") not in brought
    brought.expire(59.0)
    assert reading("u1") in brought
    brought.expire(60.0)
    assert reading("u1") not in brought
    for number in range(3):
        brought.add(reading(f"u{number}"), 100.0)
    assert [reading(f"u{number}") in brought for number in range(3)] == [False, True, True]


async def test_a_stop_ends_what_is_under_way() -> None:
    made = Mended()
    made.store.slow_s = 60.0
    made.repairs.start()
    made.repairs.request("acme")
    await eventually(lambda: made.store.pages_read == 1)
    async with asyncio.timeout(30):
        await made.repairs.stop()
    assert made.done == []
