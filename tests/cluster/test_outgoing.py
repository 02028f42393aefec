"""Readings on their way out: bounded, in their order, in messages of bounded size, never silently given up."""

from __future__ import annotations

import asyncio

from sensorcast.cluster.numbering import Numbering
from sensorcast.cluster.outgoing import READING_BYTES, READINGS_PER_MESSAGE, Outgoing
from sensorcast.metrics import BUS_DROPPED
from sensorcast.wire.bus import Readings
from tests.contracts.bus import Listener
from tests.readings import reading, series
from tests.support.air import Air
from tests.support.cluster import CODEC


class Way:
    """An outgoing queue, and what arrives at the other end."""

    def __init__(self, air: Air, outgoing: Outgoing, ears: Listener) -> None:
        self.air, self.outgoing, self.ears = air, outgoing, ears

    @classmethod
    async def open(cls, *, max_readings: int = 10_000, channels: tuple[str, ...] = ("org:acme",)) -> Way:
        air, ears = Air(), Listener()
        speaker, listener = air.bus(), air.bus()
        await speaker.start(Listener())
        await listener.start(ears)
        for channel in channels:
            listener.listen(channel)
        max_bytes = max_readings * READING_BYTES
        outgoing = Outgoing(
            speaker, CODEC, Numbering(), sender=("x", 1), max_bytes=max_bytes, now_us=lambda: 1_700_000_000_000_000
        )
        return cls(air, outgoing, ears)

    async def publish(self) -> list[Readings]:
        await self.outgoing.publish(lambda: 1.0)
        await asyncio.sleep(0.01)
        decoded = [CODEC.decode(channel, message) for channel, message in self.ears.messages]
        self.ears.messages.clear()
        return [each for each in decoded if isinstance(each, Readings)]


async def test_what_waits_goes_out_once_by_organization() -> None:
    way = await Way.open(channels=("org:acme", "org:b"))
    way.outgoing.add("org:acme", [reading()])
    way.outgoing.add("org:b", [reading(org="b")])
    way.outgoing.add("org:acme", [reading("u2")])
    assert [(each.organization_id, each.readings) for each in await way.publish()] == [
        ("acme", [reading(), reading("u2")]),
        ("b", [reading(org="b")]),
    ]
    assert await way.publish() == []


async def test_a_message_names_its_sender_and_when_it_was_sent() -> None:
    way = await Way.open()
    way.outgoing.add("org:acme", [reading()])
    [message] = await way.publish()
    assert (message.origin, message.epoch, message.sent_us) == ("x", 1, 1_700_000_000_000_000)


async def test_only_the_first_that_waits_is_news() -> None:
    way = await Way.open()
    assert [way.outgoing.add("org:acme", [each]) for each in series(3)] == [True, False, False]
    await way.publish()
    assert way.outgoing.add("org:acme", [reading()])


async def test_what_nobody_listens_to_does_not_wait() -> None:
    way = await Way.open()
    assert not way.outgoing.add("org:other", [reading(org="other")])
    assert await way.publish() == []
    assert way.air.said == []


async def test_what_turns_out_to_be_heard_by_nobody_is_dropped_and_takes_a_number() -> None:
    way = await Way.open()
    way.air.question_s = 0.0
    way.outgoing.add("org:other", [reading(org="other")])
    way.outgoing.add("org:acme", [reading()])
    assert [each.seq for each in await way.publish()] == [1]
    assert [channel for channel, _ in way.air.said] == ["org:acme"]
    way.air.question_s = None
    way.air.buses[1].listen("org:other")
    way.outgoing.add("org:other", [reading(org="other")])
    assert [(each.seq, each.since_ms) for each in await way.publish()] == [(2, 0)]


async def test_what_comes_in_while_it_is_asked_who_listens_is_sent() -> None:
    way = await Way.open(channels=())
    way.air.question_s = 0.02
    first, second = series(2)
    way.outgoing.add("org:acme", [first])
    publishing = asyncio.create_task(way.outgoing.publish(lambda: 1.0))
    await asyncio.sleep(0)
    way.outgoing.add("org:acme", [second])
    await publishing
    [(channel, message)] = way.air.said
    sent = CODEC.decode(channel, message)
    assert isinstance(sent, Readings)
    assert (sent.seq, sent.readings) == (2, [second])
    assert way.outgoing.add("org:acme", [first])


async def test_a_lot_goes_out_in_several_messages_in_order() -> None:
    way = await Way.open()
    readings = series(2 * READINGS_PER_MESSAGE + 5)
    for each in readings:
        way.outgoing.add("org:acme", [each])
    messages = await way.publish()
    assert [len(each.readings) for each in messages] == [READINGS_PER_MESSAGE, READINGS_PER_MESSAGE, 5]
    assert [one for each in messages for one in each.readings] == readings
    assert [each.seq for each in messages] == [1, 2, 3]


async def test_what_is_too_much_is_counted_and_leaves_a_gap_in_the_numbers() -> None:
    way = await Way.open(max_readings=10)
    before = BUS_DROPPED._value.get()
    for each in series(15):
        way.outgoing.add("org:acme", [each])
    assert BUS_DROPPED._value.get() == before + 5
    [first] = await way.publish()
    assert len(first.readings) == 10
    way.outgoing.add("org:acme", [reading()])
    [second] = await way.publish()
    assert (first.seq, second.seq) == (1, 3)


async def test_a_reading_that_cannot_be_encoded_leaves_a_gap_and_the_others_alone() -> None:
    way = await Way.open()
    for each in (reading("u1"), reading("u2", source="\ud800"), reading("u3")):
        way.outgoing.add("org:acme", [each])
    messages = await way.publish()
    assert [one.unit_id for each in messages for one in each.readings] == ["u1", "u3"]
    way.outgoing.add("org:acme", [reading("u4")])
    [later] = await way.publish()
    assert later.seq == len(messages) + 2


async def test_what_a_cancelled_publish_has_not_sent_still_waits() -> None:
    way = await Way.open(max_readings=100_000)
    readings = series(30 * READINGS_PER_MESSAGE)
    for each in readings:
        way.outgoing.add("org:acme", [each])
    publishing = asyncio.create_task(way.outgoing.publish(lambda: 1.0))
    await asyncio.sleep(0)
    publishing.cancel()
    await asyncio.wait({publishing})
    assert [one for each in await way.publish() for one in each.readings] == readings
