"""The bus between worker processes: what is promised to whoever listens, when workers come, go, crash and stall."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from sensorcast.cluster.local import LocalBus
from sensorcast.cluster.mesh import Presence
from sensorcast.errors import ConfigurationError
from tests.contracts.bus import BusContract, NewBus

DEADLINE_S = 30.0
CHANNEL = "organization-a"


class Notes:
    """Ears that remember what they were told, in order."""

    def __init__(self) -> None:
        self.told: list[tuple[str, str, bytes]] = []

    def heard(self, channel: str, message: bytes) -> None:
        self.told.append(("heard", channel, message))

    def listening(self, channel: str) -> None:
        self.told.append(("listening", channel, b""))

    def deaf(self, reason: str) -> None:
        self.told.append(("deaf", reason, b""))

    def messages(self, channel: str = CHANNEL) -> list[bytes]:
        return [message for what, name, message in self.told if what == "heard" and name == channel]

    def count(self, what: str) -> int:
        return sum(told[0] == what for told in self.told)


async def until(probe: Callable[[], object], what: str) -> None:
    """Wait until `probe` gives something truthy."""
    try:
        async with asyncio.timeout(DEADLINE_S):
            while not probe():
                await asyncio.sleep(0.005)
    except TimeoutError:
        raise AssertionError(f"never: {what}") from None


class Mesh:
    """Workers of one machine, all in this process; a `crash` takes the sockets of one away as its death would."""

    def __init__(self, folder: Path, count: int) -> None:
        self.folder = folder
        self.count = count
        self.notes: dict[int, Notes] = {}
        self._buses: dict[int, LocalBus] = {}
        self._stack = AsyncExitStack()

    async def start(self, index: int, *, queue_max_bytes: int = 1024 * 1024, listen: bool = False) -> LocalBus:
        bus = self._buses[index] = LocalBus(self.folder, index, self.count, queue_max_bytes=queue_max_bytes)
        self.notes[index] = Notes()
        if listen:
            bus.listen(CHANNEL)
        await bus.start(self.notes[index])
        return bus

    async def crash(self, index: int) -> None:
        bus = self._buses.pop(index)
        for mouth in bus._mouths:
            mouth.say_bye = mouth.abort  # type: ignore[method-assign]
        await bus.stop()

    async def stop(self, index: int) -> None:
        await self._buses.pop(index).stop()

    async def close(self) -> None:
        for index in list(self._buses):
            await self.stop(index)

    async def is_listening(self, index: int, times: int = 1) -> None:
        await until(lambda: self.notes[index].count("listening") >= times, f"worker {index} listens")


@pytest.fixture
async def mesh() -> AsyncIterator[Callable[[int], Mesh]]:
    made: list[Mesh] = []
    with tempfile.TemporaryDirectory(prefix="sensorcast-test-") as folder:

        def make(count: int) -> Mesh:
            made.append(Mesh(Path(folder), count))
            return made[-1]

        yield make
        for each in made:
            await each.close()


class TestContract(BusContract):
    @pytest.fixture
    def new_bus(self) -> Iterator[NewBus]:
        with tempfile.TemporaryDirectory(prefix="sensorcast-test-") as folder:
            numbers = iter(range(3))
            yield lambda: LocalBus(folder, next(numbers), 3)


async def test_a_worker_alone_listens_at_once_and_is_heard_by_nobody(mesh: Callable[[int], Mesh]) -> None:
    alone = mesh(1)
    bus = await alone.start(0, listen=True)
    await alone.is_listening(0)
    bus.publish(CHANNEL, b"x")
    assert (bus.is_heard(CHANNEL), bus.trouble(), alone.notes[0].messages()) == (False, None, [])
    assert list(alone.folder.iterdir()) == []


async def test_messages_reach_who_listens_in_order_and_nobody_else(mesh: Callable[[int], Mesh]) -> None:
    three = mesh(3)
    first, second, third = [await three.start(index) for index in range(3)]
    second.listen(CHANNEL)
    third.listen("other")
    await three.is_listening(1)
    await three.is_listening(2)
    await until(lambda: first.is_heard(CHANNEL) and first.is_heard("other"), "interests are known")
    assert not first.is_heard("unheard")
    for number in range(500):
        first.publish(CHANNEL, b"%d" % number)
    third.publish(CHANNEL, b"third")
    first.publish("other", b"last")
    await until(lambda: len(three.notes[1].messages()) == 501 and three.notes[2].messages("other"), "all arrived")
    from_first = [message for message in three.notes[1].messages() if message != b"third"]
    assert from_first == [b"%d" % number for number in range(500)]
    assert three.notes[2].messages() == []
    assert three.notes[0].messages() == []


async def test_a_large_message_arrives_whole(mesh: Callable[[int], Mesh]) -> None:
    two = mesh(2)
    first, _ = await two.start(0, queue_max_bytes=8 * 1024 * 1024), await two.start(1, listen=True)
    await two.is_listening(1)
    first.publish(CHANNEL, bytes(range(256)) * 8_192)
    await until(lambda: two.notes[1].messages(), "it arrives")
    assert two.notes[1].messages() == [bytes(range(256)) * 8_192]


async def test_listening_holds_only_once_every_worker_that_is_there_knows(mesh: Callable[[int], Mesh]) -> None:
    two = mesh(2)
    first, second = await two.start(0), await two.start(1)
    await until(lambda: first.trouble() is None and second.trouble() is None, "connected")
    second.listen(CHANNEL)
    second.listen(CHANNEL)
    assert two.notes[1].count("listening") == 0
    await two.is_listening(1)
    assert first.is_heard(CHANNEL)
    assert two.notes[1].count("listening") == 1


async def test_who_listens_no_more_is_sent_nothing(mesh: Callable[[int], Mesh]) -> None:
    two = mesh(2)
    first, second = await two.start(0), await two.start(1, listen=True)
    await two.is_listening(1)
    second.unlisten(CHANNEL)
    second.unlisten(CHANNEL)
    await until(lambda: not first.is_heard(CHANNEL), "the first knows")
    first.publish(CHANNEL, b"x")
    second.listen(CHANNEL)
    await two.is_listening(1, times=2)
    first.publish(CHANNEL, b"y")
    await until(lambda: two.notes[1].messages(), "y arrives")
    assert two.notes[1].messages() == [b"y"]


async def test_listening_again_at_once_waits_for_a_confirmation_of_its_own(mesh: Callable[[int], Mesh]) -> None:
    two = mesh(2)
    first, second = await two.start(0), await two.start(1)
    await until(lambda: first.trouble() is None and second.trouble() is None, "connected")
    second.listen(CHANNEL)
    second.unlisten(CHANNEL)
    second.listen(CHANNEL)
    await two.is_listening(1)
    first.publish(CHANNEL, b"x")
    await until(lambda: two.notes[1].messages() == [b"x"], "it arrives")
    assert two.notes[1].count("listening") == 1


async def test_what_a_worker_publishes_before_the_others_have_found_it_is_not_missed(
    mesh: Callable[[int], Mesh],
) -> None:
    two = mesh(2)
    await two.start(0, listen=True)
    await two.is_listening(0)  # alone: nothing can come from the other, which is not there
    second = await two.start(1)
    assert second.is_heard(CHANNEL)
    second.publish(CHANNEL, b"early")
    second.publish("unheard", b"nothing")
    await until(lambda: two.notes[0].messages() == [b"early"], "what was said early arrives")
    assert two.notes[0].count("deaf") == 0


async def test_what_is_too_much_to_wait_is_told_as_missing(mesh: Callable[[int], Mesh]) -> None:
    two = mesh(2)
    await two.start(0, listen=True)
    await two.is_listening(0)
    second = await two.start(1, queue_max_bytes=10_000)
    for _ in range(3):
        second.publish(CHANNEL, bytes(6_000))
    await two.is_listening(0, times=2)
    assert [what for what, *_ in two.notes[0].told] == ["listening", "heard", "deaf", "listening"]


async def test_a_worker_that_stops_in_good_order_leaves_nobody_deaf(mesh: Callable[[int], Mesh]) -> None:
    two = mesh(2)
    first, _ = await two.start(0, listen=True), await two.start(1)
    await until(lambda: first._peers[1].presence is Presence.THERE, "connected")
    two._buses[1].publish(CHANNEL, b"last")
    await two.stop(1)
    await until(lambda: first._peers[1].presence is Presence.ABSENT, "gone")
    assert two.notes[0].messages() == [b"last"]
    assert two.notes[0].count("deaf") == 0
    assert not first.is_heard(CHANNEL)
    assert first.trouble() is None


async def test_after_a_crash_the_others_were_deaf_and_listen_again(mesh: Callable[[int], Mesh]) -> None:
    two = mesh(2)
    first, _ = await two.start(0, listen=True), await two.start(1, listen=True)
    await two.is_listening(0)
    await until(lambda: first.is_heard(CHANNEL), "connected")
    await until(lambda: first._peers[1].presence is Presence.THERE, "connected")
    await two.crash(1)
    await two.is_listening(0, times=2)
    assert [what for what, *_ in two.notes[0].told] == ["listening", "deaf", "listening"]
    again = await two.start(1, listen=True)
    again.publish(CHANNEL, b"back")
    await until(lambda: two.notes[0].messages() == [b"back"], "the new one is heard")
    await two.is_listening(1)
    first.publish(CHANNEL, b"welcome")
    await until(lambda: two.notes[1].messages() == [b"welcome"], "the new one hears")


async def test_who_does_not_read_misses_something_and_is_told_where(mesh: Callable[[int], Mesh]) -> None:
    two = mesh(2)
    first, second = await two.start(0, queue_max_bytes=100_000), await two.start(1, listen=True)
    await two.is_listening(1)
    ear = second._peers[0].ear
    assert ear is not None
    ear._transport.pause_reading()  # type: ignore[attr-defined]
    for number in range(2_000):
        first.publish(CHANNEL, number.to_bytes(2) + bytes(1_000))
    trouble = first.trouble()
    assert trouble is not None
    assert "worker 1 does not take" in trouble
    ear._transport.resume_reading()  # type: ignore[attr-defined]
    await two.is_listening(1, times=2)
    first.publish(CHANNEL, b"\xff\xffafter")
    await until(lambda: two.notes[1].messages()[-1].endswith(b"after"), "what comes later arrives")
    numbers = [int.from_bytes(message[:2]) for message in two.notes[1].messages()]
    kinds = [what for what, *_ in two.notes[1].told]
    assert numbers == [*range(len(numbers) - 1), 0xFFFF]
    assert len(numbers) < 2_000
    assert kinds[kinds.index("deaf") :] == ["deaf", "listening", "heard"]
    assert first.trouble() is None


async def test_a_message_above_the_limit_is_told_as_missing(mesh: Callable[[int], Mesh]) -> None:
    two = mesh(2)
    first, _ = await two.start(0, queue_max_bytes=10_000), await two.start(1, listen=True)
    await two.is_listening(1)
    first.publish(CHANNEL, bytes(20_000))
    first.publish(CHANNEL, b"after")
    await until(lambda: two.notes[1].messages() == [b"after"], "what comes later arrives")
    assert [what for what, *_ in two.notes[1].told] == ["listening", "deaf", "listening", "heard"]


async def test_a_worker_that_hangs_is_trouble(mesh: Callable[[int], Mesh], monkeypatch: pytest.MonkeyPatch) -> None:
    two = mesh(2)
    await two.start(0)
    second = await two.start(1)
    await until(lambda: second.trouble() is None, "connected")
    (mouth,) = two._buses[0]._mouths
    mouth._transport.pause_reading()
    second.listen(CHANNEL)
    monkeypatch.setattr("sensorcast.cluster.local.ANSWER_S", 0.05)
    await until(lambda: second.trouble() == "worker 0 does not answer", "it is noticed")
    assert two.notes[1].count("listening") == 0
    mouth._transport.resume_reading()
    await two.is_listening(1)


async def test_nonsense_on_the_socket_ends_only_that_connection(mesh: Callable[[int], Mesh]) -> None:
    two = mesh(2)
    first, _ = await two.start(0), await two.start(1, listen=True)
    await two.is_listening(1)
    for nonsense in (b"\0\0\0\0\x63", b"\0\0\0\0\4", b"\0\0\0\4\1\0\0\0\x63", b"\xff" * 9):
        reader, writer = await asyncio.open_unix_connection(two.folder / "bus-0")
        writer.write(nonsense)
        assert await reader.read() == b""
        writer.close()
    first.publish(CHANNEL, b"x")
    await until(lambda: two.notes[1].messages() == [b"x"], "the others go on")


def test_a_folder_with_too_long_a_name_is_a_clear_error() -> None:
    with pytest.raises(ConfigurationError, match="too long a name"):
        LocalBus(Path("/" + "x" * 120), 0, 2)


async def test_a_folder_that_is_not_there_is_a_clear_error() -> None:
    with pytest.raises(ConfigurationError, match="cannot listen on"):
        await LocalBus(Path("/no/such/folder"), 0, 2).start(Notes())
