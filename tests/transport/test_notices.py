"""What the sockets of an organization are told when this node is cut off, and the gateway's part in a cluster."""

from __future__ import annotations

import asyncio
import json
from typing import Any

from sensorcast.settings import Settings
from sensorcast.stream import SensorStream
from sensorcast.stream.outgoing import time_text
from sensorcast.transport.gateway import Gateway
from tests.broadcasting import run_in_virtual_time
from tests.contracts.bus import eventually
from tests.stream.readings import reading
from tests.transport.socketio_peer import IoPeer, IoServer
from tests.transport.test_gateway import NOW_S, Tokens

SINCE_US, UNTIL_US = 1_795_000_000_000_000, 1_795_000_005_000_000
SINCE, UNTIL = time_text(SINCE_US), time_text(UNTIL_US)
DEGRADED = f'2["stream:degraded",{{"since":"{SINCE}","reason":"bus"}}]'
RESTORED = f'2["stream:restored",{{"since":"{SINCE}","until":"{UNTIL}"}}]'


class FollowedByHand:
    """A cluster that is whole when the test says so."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, str]] = []
        self.whole = asyncio.Event()

    def follow(self, organization_id: str) -> None:
        self.calls.append(("follow", organization_id))

    def unfollow(self, organization_id: str) -> None:
        self.calls.append(("unfollow", organization_id))

    def is_whole(self, _organization_id: str) -> bool:
        return self.whole.is_set()

    async def followed(self, _organization_id: str) -> None:
        await self.whole.wait()


class ClusterWorld:
    """A gateway that is part of a cluster."""

    def __init__(self) -> None:
        self.server = IoServer(events_per_s=1e6, handshakes_per_s=1e6)
        self.stream = SensorStream()
        self.cluster = FollowedByHand()
        self.gateway = Gateway(
            self.server,
            stream=self.stream,
            authenticator=Tokens(),
            settings=Settings(),
            clock=lambda: NOW_S,
            cluster=self.cluster,
        )

    def joined(self, token: str = "acme") -> IoPeer:
        peer = IoPeer(self.server, "0" + json.dumps({"token": token}))
        assert peer.received[0].startswith("0{")
        return peer


async def passed(seconds: float) -> None:
    await asyncio.sleep(seconds)


def test_an_organization_is_told_of_the_fault_and_of_its_end_after_a_flush_and_no_other_is() -> None:
    async def run() -> None:
        world = ClusterWorld()
        ours, theirs = world.joined("acme"), world.joined("other")
        world.gateway.notices.degraded("acme", SINCE_US)
        await passed(0.2)
        assert ours.received == [DEGRADED]
        world.gateway.notices.restored("acme", UNTIL_US)
        await passed(1.8)
        assert ours.received == []
        await passed(0.5)
        assert ours.received == [RESTORED]
        assert theirs.received == []

    run_in_virtual_time(run())


def test_who_comes_in_the_midst_of_it_is_told_at_once() -> None:
    async def run() -> None:
        world = ClusterWorld()
        world.gateway.notices.degraded("acme", SINCE_US)
        await passed(5)
        peer = IoPeer(world.server, '0{"token":"acme"}')
        assert peer.received[-1] == DEGRADED
        world.gateway.notices.restored("acme", UNTIL_US)
        await passed(3)
        assert peer.received == [RESTORED]
        assert world.joined().received == []

    run_in_virtual_time(run())


def test_who_comes_right_after_the_fault_is_told_once() -> None:
    async def run() -> None:
        world = ClusterWorld()
        world.gateway.notices.degraded("acme", SINCE_US)
        peer = IoPeer(world.server, '0{"token":"acme"}')
        await passed(1)
        assert peer.received.count(DEGRADED) == 1

    run_in_virtual_time(run())


def test_a_second_fault_before_the_end_of_the_first_was_told_is_one_long_fault() -> None:
    async def run() -> None:
        world = ClusterWorld()
        peer = world.joined()
        world.gateway.notices.degraded("acme", SINCE_US)
        await passed(1)
        world.gateway.notices.restored("acme", UNTIL_US - 1_000_000)
        world.gateway.notices.degraded("acme", UNTIL_US - 500_000)
        await passed(5)
        assert peer.received == [DEGRADED]
        world.gateway.notices.restored("acme", UNTIL_US)
        await passed(5)
        assert peer.received == [RESTORED]

    run_in_virtual_time(run())


def test_the_end_of_what_nobody_was_told_of_is_told_to_nobody() -> None:
    async def run() -> None:
        world = ClusterWorld()
        peer = world.joined()
        world.gateway.notices.restored("acme", UNTIL_US)
        await passed(5)
        assert peer.received == []

    run_in_virtual_time(run())


def test_who_is_slow_as_well_is_left_with_the_truth() -> None:
    async def run() -> None:
        world = ClusterWorld()
        peer = world.joined()
        peer.client.slowed()
        slow = peer.received[0]
        world.gateway.notices.degraded("acme", SINCE_US)
        await passed(1)
        world.gateway.notices.restored("acme", UNTIL_US)
        await passed(3)
        assert peer.received == [DEGRADED, RESTORED, slow]
        world.gateway.notices.degraded("acme", SINCE_US)
        await passed(1)
        peer.client.restored()
        assert [text[:20] for text in peer.received] == [
            '2["stream:degraded",',
            '2["stream:restored",',
            '2["stream:degraded",',
        ]

    run_in_virtual_time(run())


async def test_an_organization_is_followed_from_its_first_connection_to_its_last() -> None:
    world = ClusterWorld()
    first, second, other = world.joined(), world.joined(), world.joined("other")
    first.socket().disconnect()
    other.socket().disconnect()
    assert world.cluster.calls == [("follow", "acme"), ("follow", "other"), ("unfollow", "other")]
    second.socket().disconnect()
    assert world.cluster.calls[-1] == ("unfollow", "acme")


async def test_questions_wait_until_the_organization_is_whole_and_never_again() -> None:
    world = ClusterWorld()
    async with world.server:
        peer = world.joined()
        peer.send('21["get:latest","u1"]', '22["get:latest:all"]', '23["get:latest","nonsense!"]')
        assert peer.received == ["33[null]"]
        world.stream.warm([reading("u1", org="acme")])
        world.cluster.whole.set()
        answers: list[str] = []
        await eventually(lambda: bool(answers.extend(peer.received) or len(answers) == 2))
        assert sorted(text[:2] for text in answers) == ["31", "32"]
        assert [unit(text) for text in answers] == ["u1", "u1"]
        peer.send('24["get:latest","u1"]')
        assert [unit(text) for text in peer.received] == ["u1"]


def unit(answer: str) -> Any:
    [found] = json.loads(answer[2:])
    return (found[0] if isinstance(found, list) else found)["unitId"]
