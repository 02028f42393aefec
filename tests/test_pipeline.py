"""The path of readings: committed before streamed, streamed once, and never troubled by the stream or the caller."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import apsw
import pytest

from sensorcast.errors import InvalidReading, Unavailable
from sensorcast.metrics import REGISTRY
from sensorcast.model import Reading, Unit
from sensorcast.pipeline import Pipeline, Receipt, Rejected
from sensorcast.registry import Registry
from sensorcast.settings import Settings
from sensorcast.store.sqlite import SqliteStore
from tests.contracts.store import history
from tests.readings import T0_US, reading, series

BAD = InvalidReading("out_of_range", "humidity must be ...")


class Sink:
    """Remembers what is streamed; fails for units named `bad`."""

    def __init__(self) -> None:
        self.streamed: list[Reading] = []

    def add_readings(self, organization_id: str, readings: Sequence[Reading]) -> None:
        for each in readings:
            if each.unit_id == "bad":
                raise RuntimeError("no stream for you")
            assert organization_id == each.organization_id
            self.streamed.append(each)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "readings.db"


@pytest.fixture
async def store(path: Path) -> AsyncIterator[SqliteStore]:
    store = SqliteStore(path, Settings(store_busy_timeout_ms=60_000))
    await store.open()
    yield store
    await store.close()


@pytest.fixture
def sink() -> Sink:
    return Sink()


@pytest.fixture
async def registry(store: SqliteStore) -> AsyncIterator[Registry]:
    registry = Registry(store, Settings(), time.monotonic)
    registry.start()
    yield registry
    await registry.stop()


@pytest.fixture
def pipeline(store: SqliteStore, sink: Sink, registry: Registry) -> Pipeline:
    return Pipeline(store, sink, registry)


@pytest.fixture
def strict(store: SqliteStore, sink: Sink) -> Pipeline:
    """A pipeline that takes readings of registered units only."""
    return Pipeline(store, sink, Registry(store, Settings(auto_register=False), time.monotonic))


def counted(outcome: str) -> float:
    return REGISTRY.get_sample_value("sensorcast_ingest_readings_total", {"outcome": outcome}) or 0.0


async def test_good_readings_are_stored_streamed_and_answered(
    pipeline: Pipeline, store: SqliteStore, sink: Sink
) -> None:
    items = series(3)
    receipt = await pipeline.accept("acme", items)
    assert (receipt.success, receipt.inserted_count, receipt.duplicate_count, receipt.alerts_triggered) == (
        True,
        3,
        0,
        0,
    )
    assert receipt.reading_ids == [item.id for item in items]
    assert receipt.rejected == []
    assert await history(store) == items[::-1]
    assert sink.streamed == items


async def test_bad_items_are_answered_by_their_place(pipeline: Pipeline, sink: Sink) -> None:
    receipt = await pipeline.accept("acme", [BAD, reading("u1"), BAD, reading("u2")])
    assert receipt.reading_ids == [None, reading("u1").id, None, reading("u2").id]
    assert receipt.rejected == [Rejected(0, BAD.item_code, BAD.message), Rejected(2, BAD.item_code, BAD.message)]
    assert [each.unit_id for each in sink.streamed] == ["u1", "u2"]


async def test_only_bad_items_are_an_answer_too(pipeline: Pipeline) -> None:
    receipt = await pipeline.accept("acme", [BAD])
    assert (receipt.success, receipt.inserted_count, receipt.reading_ids) == (True, 0, [None])


async def test_a_duplicate_has_its_id_and_is_not_streamed_again(pipeline: Pipeline, sink: Sink) -> None:
    await pipeline.accept("acme", [reading()])
    receipt = await pipeline.accept("acme", [reading(), reading()])
    assert (receipt.inserted_count, receipt.duplicate_count) == (0, 2)
    assert receipt.reading_ids == [reading().id] * 2
    assert len(sink.streamed) == 1


async def test_a_conflict_is_rejected_and_not_streamed(pipeline: Pipeline, sink: Sink) -> None:
    receipt = await pipeline.accept("acme", [reading(), BAD, reading(temperature=9.0)])
    assert (receipt.inserted_count, receipt.duplicate_count) == (1, 0)
    assert receipt.reading_ids == [reading().id, None, None]
    assert [(item.index, item.code) for item in receipt.rejected] == [(1, "out_of_range"), (2, "conflict")]
    assert sink.streamed == [reading()]


async def test_a_failing_stream_changes_no_answer_and_no_neighbour(pipeline: Pipeline, sink: Sink) -> None:
    failures = REGISTRY.get_sample_value("sensorcast_stream_errors_total") or 0.0
    receipt = await pipeline.accept("acme", [reading("a"), reading("bad"), reading("z")])
    assert (receipt.inserted_count, receipt.rejected) == (3, [])
    assert [each.unit_id for each in sink.streamed] == ["a"]
    assert REGISTRY.get_sample_value("sensorcast_stream_errors_total") == failures + 1


async def test_what_shared_a_turn_is_streamed_together_by_time_and_before_anybody_is_answered(
    pipeline: Pipeline, registry: Registry, sink: Sink
) -> None:
    for organization_id in ("acme", "globex"):
        await registry.prepare(organization_id, [reading("u1", org=organization_id)])
    streamed_by_then: list[int] = []

    def answer(_: object) -> None:
        streamed_by_then.append(len(sink.streamed))

    taken = [
        pipeline.accept_known(org, [reading("u1", at_us, org=org)], answer)
        for org, at_us in (("acme", 5), ("globex", 1), ("acme", 2))
    ]
    await pipeline.drain()
    assert taken == [True] * 3
    assert [(each.organization_id, each.recorded_at_us) for each in sink.streamed] == [
        ("acme", T0_US + 2),
        ("acme", T0_US + 5),
        ("globex", T0_US + 1),
    ]
    assert streamed_by_then == [3] * 3


async def test_an_answer_that_fails_keeps_nobody_elses_back(pipeline: Pipeline, registry: Registry) -> None:
    await registry.prepare("acme", series(1))
    answered: list[object] = []

    def fail(_: object) -> None:
        raise RuntimeError("nobody there")

    assert pipeline.accept_known("acme", [reading("u1", 1)], fail)
    assert pipeline.accept_known("acme", [reading("u1", 2)], answered.append)
    await pipeline.drain()
    assert [type(each) for each in answered] == [Receipt]


async def test_a_failing_registration_changes_no_answer(
    pipeline: Pipeline, registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise RuntimeError("no registration for you")

    await registry.prepare("acme", series(1))
    monkeypatch.setattr(registry, "registered", fail)
    answered: asyncio.Future[object] = asyncio.get_running_loop().create_future()
    assert pipeline.accept_known("acme", series(2), answered.set_result)
    async with asyncio.timeout(30):
        receipt = await answered
    assert getattr(receipt, "inserted_count", receipt) == 2
    assert (await pipeline.accept("acme", series(3))).inserted_count == 1


async def test_a_request_is_streamed_in_order_of_time(pipeline: Pipeline, sink: Sink) -> None:
    receipt = await pipeline.accept("acme", series(5)[::-1])
    assert sink.streamed == series(5)
    assert receipt.reading_ids == [item.id for item in series(5)[::-1]]


async def test_nothing_is_streamed_that_was_not_stored(pipeline: Pipeline, store: SqliteStore, sink: Sink) -> None:
    await store.close()
    with pytest.raises(Unavailable):
        await pipeline.accept("acme", [reading()])
    assert sink.streamed == []


async def test_a_caller_who_goes_away_changes_nothing(
    pipeline: Pipeline, registry: Registry, store: SqliteStore, sink: Sink, path: Path
) -> None:
    await registry.prepare("acme", series(1))
    other = apsw.Connection(str(path))
    other.execute("BEGIN IMMEDIATE")
    callers = [asyncio.create_task(pipeline.accept("acme", [item])) for item in series(3)]
    await asyncio.sleep(0.02)
    for caller in callers:
        caller.cancel()
    await asyncio.wait(callers)
    assert sink.streamed == []
    other.execute("ROLLBACK")
    await pipeline.drain()
    other.close()
    assert sink.streamed == series(3)
    assert await history(store) == series(3)[::-1]


async def test_a_failure_after_the_caller_left_harms_nobody(pipeline: Pipeline, registry: Registry, sink: Sink) -> None:
    await registry.prepare("acme", series(1))
    caller = asyncio.create_task(pipeline.accept("acme", [reading(given_id="poison")]))
    await asyncio.sleep(0)
    caller.cancel()
    await pipeline.drain()
    assert sink.streamed == []


async def test_what_would_find_the_queue_full_is_refused_before_it_is_read(
    store: SqliteStore, sink: Sink, registry: Registry, path: Path
) -> None:
    pipeline = Pipeline(store, sink, registry, Settings(queue_max_readings=8))
    other = apsw.Connection(str(path))
    other.execute("BEGIN IMMEDIATE")
    callers = [asyncio.create_task(pipeline.accept("acme", [item])) for item in series(6)]
    await asyncio.sleep(0.02)
    pipeline.refuse_when_full()
    callers.append(asyncio.create_task(pipeline.accept("acme", [reading("u2")])))
    await asyncio.sleep(0.02)
    with pytest.raises(Unavailable, match="7 readings wait for it"):
        pipeline.refuse_when_full()
    other.execute("ROLLBACK")
    other.close()
    await asyncio.gather(*callers)
    pipeline.refuse_when_full()


async def test_while_the_first_waits_for_too_long_no_more_is_read(
    store: SqliteStore, sink: Sink, registry: Registry, path: Path
) -> None:
    pipeline = Pipeline(store, sink, registry, Settings(queue_max_wait_s=0.05))
    other = apsw.Connection(str(path))
    other.execute("BEGIN IMMEDIATE")
    caller = asyncio.create_task(pipeline.accept("acme", [reading()]))
    async with asyncio.timeout(30):
        while not pipeline._in_flight:
            await asyncio.sleep(0.01)
    await asyncio.sleep(0.1)
    with pytest.raises(Unavailable, match="queue_max_wait_s"):
        pipeline.refuse_when_full()
    other.execute("ROLLBACK")
    other.close()
    await caller
    pipeline.refuse_when_full()


async def test_readings_whose_units_are_still_looked_up_are_bounded_as_well(
    store: SqliteStore, sink: Sink, registry: Registry
) -> None:
    pipeline = Pipeline(store, sink, registry, Settings(queue_max_readings=8))
    go_on = threading.Event()
    busy = [asyncio.create_task(store._query(lambda _: go_on.wait(30))) for _ in range(4)]  # every reader
    await asyncio.sleep(0.02)
    callers = [asyncio.create_task(pipeline.accept("acme", [item])) for item in series(7)]
    await asyncio.sleep(0.02)
    with pytest.raises(Unavailable, match="queue_max_readings"):
        pipeline.refuse_when_full()
    with pytest.raises(Unavailable, match="queue_max_readings"):
        await pipeline.accept("acme", series(2, "u2"))
    callers.pop().cancel()
    go_on.set()
    assert [(await caller).inserted_count for caller in callers] == [1] * 6
    await asyncio.gather(*busy)
    pipeline.refuse_when_full()
    assert (await pipeline.accept("acme", series(20, "u3"))).inserted_count == 20


async def test_outcomes_are_counted(pipeline: Pipeline) -> None:
    outcomes = ("stored", "duplicate", "conflict", "rejected")
    before = [counted(outcome) for outcome in outcomes]
    await pipeline.accept("acme", [*series(4), *series(3), reading(temperature=1.0), reading(battery=3), BAD])
    assert [counted(outcome) - was for outcome, was in zip(outcomes, before, strict=True)] == [4, 3, 2, 1]


async def test_a_reading_that_names_no_site_is_stored_and_streamed_with_its_units_site(
    pipeline: Pipeline, store: SqliteStore, sink: Sink
) -> None:
    await store.put_entry(Unit(organization_id="acme", unit_id="u1", site_id="north", created_at_us=1))
    await pipeline.accept("acme", [reading("u1"), reading("u1", 1, site_id="truck"), reading("u2")])
    assert [each.site_id for each in sink.streamed] == ["north", None, "truck"]
    assert [each.site_id for each in await history(store)] == ["truck", "north"]


async def test_a_new_unit_is_registered_after_it_was_answered(
    pipeline: Pipeline, registry: Registry, store: SqliteStore
) -> None:
    receipt = await pipeline.accept("acme", [reading("u1", device_id="d1")])
    assert receipt.inserted_count == 1
    await registry.stop()
    assert await store.find_entry(Unit, "acme", "u1") is not None


async def test_without_auto_registration_unknown_units_are_rejected_and_their_neighbours_stored(
    strict: Pipeline, store: SqliteStore, sink: Sink
) -> None:
    await store.put_entry(Unit(organization_id="acme", unit_id="known", created_at_us=1))
    await store.put_entry(Unit(organization_id="globex", unit_id="theirs", created_at_us=1))
    receipt = await strict.accept("acme", [reading("theirs"), BAD, reading("known")])
    assert receipt.reading_ids == [None, None, reading("known").id]
    assert [(item.index, item.code) for item in receipt.rejected] == [(0, "unknown_unit"), (1, "out_of_range")]
    assert sink.streamed == [reading("known")]
    assert await history(store, "theirs") == []
