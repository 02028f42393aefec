"""One end of a connection between workers, without a socket: what it keeps, gives up, asks and answers."""

from __future__ import annotations

from typing import Any

import pytest

from sensorcast.cluster.mesh import Ear, Mouth, Peer, Presence
from sensorcast.wire.mesh import Kind, MeshFrame, MeshReader, encode, encode_message, encode_number, encode_unlisten


class Pipe:
    """The transport below an end; `waiting_bytes` is what the other side has not taken."""

    def __init__(self) -> None:
        self.written = b""
        self.waiting_bytes = 0
        self.aborted = False

    def write(self, data: bytes) -> None:
        self.written += data

    def get_write_buffer_size(self) -> int:
        return self.waiting_bytes

    def set_write_buffer_limits(self, high: int) -> None:
        self.high = high

    def abort(self) -> None:
        self.aborted = True

    def close(self) -> None:
        self.aborted = True

    def frames(self) -> list[MeshFrame]:
        written, self.written = self.written, b""
        return MeshReader().receive(written)


class Bus:
    """Notes what its connections tell it."""

    def __init__(self) -> None:
        self.told: list[tuple[Any, ...]] = []
        self.peer = Peer(1, "nowhere", 1_000)

    def greeted(self, mouth: Mouth, index: int) -> None:
        self.told.append(("greeted", index))
        self.peer.mouth, mouth.peer = mouth, self.peer

    def __getattr__(self, name: str) -> Any:
        return lambda *_args, **_named: self.told.append((name,))


@pytest.fixture
async def bus() -> Bus:
    return Bus()


def connected(end: Any) -> Any:
    pipe = Pipe()
    end.connection_made(pipe)
    return end, pipe


def greeting(*channels: str) -> bytes:
    listens = (encode_number(Kind.LISTEN, number, channel) for number, channel in enumerate(channels, 1))
    return encode_number(Kind.HELLO, 1) + b"".join(listens) + encode(Kind.READY)


async def test_a_mouth_speaks_only_of_what_is_listened_to(bus: Bus) -> None:
    mouth, pipe = connected(Mouth(bus, 1_000))
    mouth.data_received(greeting("a", "b"))
    mouth.data_received(encode_unlisten("b"))
    assert [frame.kind for frame in pipe.frames()] == [Kind.CONFIRM, Kind.CONFIRM]
    for channel in "abc":
        bus.peer.publish(channel, encode_message(channel, b"x"))
    assert pipe.frames() == [MeshFrame(Kind.MESSAGE, 0, "a", b"x")]
    assert (bus.peer.hears("a"), bus.peer.hears("b")) == (True, False)


async def test_what_was_published_early_follows_the_greeting(bus: Bus) -> None:
    bus.peer.publish("a", encode_message("a", b"early"))
    bus.peer.publish("b", encode_message("b", b"for nobody"))
    mouth, pipe = connected(Mouth(bus, 1_000))
    mouth.data_received(greeting("a"))
    assert pipe.frames()[1:] == [MeshFrame(Kind.MESSAGE, 0, "a", b"early")]


async def test_what_is_known_to_be_owed_to_nobody_is_forgotten(bus: Bus) -> None:
    bus.peer.publish("a", encode_message("a", b"early"))
    bus.peer.forget_waiting()
    assert not bus.peer.hears("a")
    mouth, pipe = connected(Mouth(bus, 1_000))
    mouth.data_received(greeting("a"))
    assert [frame.kind for frame in pipe.frames()] == [Kind.CONFIRM]


async def test_a_mouth_that_chokes_says_once_where_something_is_missing(bus: Bus) -> None:
    mouth, pipe = connected(Mouth(bus, 1_000))
    mouth.data_received(greeting("a"))
    pipe.frames()
    mouth.pause_writing()
    pipe.waiting_bytes = 990
    for _ in range(3):
        mouth.speak(encode_message("a", b"too much"))
    pipe.waiting_bytes = 600
    mouth.speak(encode_message("a", b"would fit, but is behind a gap"))
    assert (pipe.frames(), mouth.is_choking) == ([], True)
    mouth.resume_writing()
    mouth.speak(encode_message("a", b"y"))
    assert pipe.frames() == [MeshFrame(Kind.LOST), MeshFrame(Kind.MESSAGE, 0, "a", b"y")]


@pytest.mark.parametrize(
    "data",
    [encode(Kind.READY), encode(Kind.BYE), encode_message("a", b""), greeting() + greeting(), b"\0\0\0\0\x63"],
    ids=["before hello", "bye", "message", "hello twice", "nonsense"],
)
async def test_what_is_out_of_place_ends_a_mouth(bus: Bus, data: bytes) -> None:
    mouth, pipe = connected(Mouth(bus, 1_000))
    mouth.data_received(data)
    assert pipe.aborted


async def test_an_ear_asks_and_believes_only_the_answer_to_its_last_question(bus: Bus) -> None:
    ear, pipe = connected(Ear(bus, bus.peer))
    bus.peer.ear, bus.peer.presence = ear, Presence.THERE
    ear.greet(5, ["a"])
    ear.unask("a")
    ear.ask("a")
    asked = [(frame.kind, frame.number) for frame in pipe.frames()]
    assert asked == [(Kind.HELLO, 5), (Kind.LISTEN, 1), (Kind.READY, 0), (Kind.UNLISTEN, 0), (Kind.LISTEN, 2)]
    ear.data_received(encode_number(Kind.CONFIRM, 1))
    assert not bus.peer.is_settled("a")
    assert ear.unanswered_s(float("inf")) > 0
    ear.data_received(encode_number(Kind.CONFIRM, 2))
    assert bus.peer.is_settled("a")
    assert ear.unanswered_s(float("inf")) == 0
    assert bus.told == [("confirmed",)]


async def test_an_ear_tells_what_it_hears_and_how_it_ended(bus: Bus) -> None:
    ear, pipe = connected(Ear(bus, bus.peer))
    ear.greet(0, ["a"])
    ear.data_received(encode_message("a", b"x") + encode_message("left", b"x") + encode(Kind.LOST) + encode(Kind.BYE))
    ear.connection_lost(None)
    assert bus.told == [("heard",), ("missed",), ("ear_closed",)]
    assert ear.closed.done()
    ear.data_received(b"\xff" * 5)
    assert pipe.aborted


async def test_a_worker_that_is_not_there_can_be_missed_nothing_of(bus: Bus) -> None:
    assert not bus.peer.is_settled("a")
    bus.peer.presence = Presence.ABSENT
    assert bus.peer.is_settled("a")
