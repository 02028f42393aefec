"""What a client may ask of the stream: its own organization's, with a token, until the token ends."""

from __future__ import annotations

import gc
import json
from typing import Any

import pytest

from sensorcast.errors import Forbidden, TokenExpired, Unauthenticated
from sensorcast.model import Identity, Role, Room
from sensorcast.settings import Settings
from sensorcast.stream import SensorStream
from sensorcast.transport.gateway import Gateway
from sensorcast.transport.socket import Socket
from sensorcast.wire.engineio import EnginePacket, PacketType
from tests.stream.readings import reading
from tests.transport.socketio_peer import IoPeer, IoServer

NOW_S = 1_795_000_000.25
NOW_TEXT = "2026-11-18T11:06:40.250000Z"
DAY_S = 86_400.0
PONG = EnginePacket(PacketType.PONG, "")


class Tokens:
    """Proves tokens that say in plain text whose they are, and when they end: `acme until 100`."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, float, str, str | None]] = []

    def prove_now(
        self, credential: str, *, now_s: float, address: str, organization_id: str | None = None
    ) -> Identity | None:
        self.asked.append((credential, now_s, address, organization_id))
        owner, _, ends = credential.partition(" until ")
        if owner not in {"acme", "other"}:
            raise Unauthenticated("the token does not hold")
        if organization_id not in {None, owner}:
            raise Forbidden("the token is not for this organization")
        ends_at_s = NOW_S + float(ends) if ends else None
        if ends_at_s is not None and ends_at_s + 30 <= now_s:
            raise TokenExpired("the token has expired")
        return Identity(organization_id=owner, subject="somebody", role=Role.VIEWER, expires_at_s=ends_at_s)

    async def prove(
        self, credential: str, *, now_s: float, address: str, organization_id: str | None = None
    ) -> Identity:
        raise NotImplementedError("every token here is proven at once")


class World:
    """A gateway whose wall clock and lived time pass together."""

    def __init__(self, **settings: Any) -> None:
        self.server = IoServer(events_per_s=1e6, handshakes_per_s=1e6)
        self.stream = SensorStream()
        self.tokens = Tokens()
        self.now_s = NOW_S
        self.gateway = Gateway(
            self.server,
            stream=self.stream,
            authenticator=self.tokens,
            settings=Settings(**settings),
            clock=lambda: self.now_s,
        )

    def live(self, seconds: float, *peers: IoPeer) -> None:
        """Let time pass, while these clients answer their pings."""
        tick_s = self.server.endpoint.wheel.tick_s
        for _ in range(round(seconds / tick_s)):
            self.now_s += tick_s
            self.server.endpoint.wheel.advance()
            for peer in peers:
                peer.connection.receive(PONG)

    def connect(self, token: Any = "acme", **auth: Any) -> IoPeer:
        return IoPeer(self.server, "0" + json.dumps({"token": token} | auth))

    def joined(self, token: str = "acme", **auth: Any) -> IoPeer:
        peer = self.connect(token, **auth)
        assert peer.received[0].startswith("0{")
        return peer

    def publish(self, unit_id: str, organization_id: str = "acme") -> None:
        """Send a word to those who follow a unit or its organization."""
        one = reading(unit_id, org=organization_id)
        self.gateway.namespace.emit("word", rooms=[Room.unit(one, unit_id), Room.organization(one)])


@pytest.fixture
async def world() -> World:
    return World()


def ask(peer: IoPeer, event: str, *args: Any) -> Any:
    """Send an event that wants an answer; give the answer."""
    peer.send("27" + json.dumps([event, *args]))
    [answer] = peer.received
    assert answer.startswith("37[")
    return json.loads(answer[2:])[0]


# CONNECT


async def test_a_token_is_greeted_in_its_organization(world: World) -> None:
    peer = world.connect("acme")
    greeting = f'2["connection:ack",{{"socketId":"i0","timestamp":"{NOW_TEXT}"}}]'
    assert peer.received == ['0{"sid":"i0"}', greeting]
    assert peer.socket().rooms == {"org:acme"}
    assert world.tokens.asked == [("acme", NOW_S, "192.0.2.7", None)]


REFUSALS: dict[str, tuple[dict[str, Any], str]] = {
    "no token": ({}, "unauthenticated"),
    "token null": ({"token": None}, "unauthenticated"),
    "token number": ({"token": 5}, "unauthenticated"),
    "token list": ({"token": ["acme"]}, "unauthenticated"),
    "token empty": ({"token": ""}, "unauthenticated"),
    "token that does not hold": ({"token": "stranger"}, "unauthenticated"),
    "token that has ended": ({"token": "acme until -31"}, "token_expired"),
    "another organization": ({"token": "acme", "organizationId": "other"}, "forbidden"),
    "organization number": ({"token": "acme", "organizationId": 5}, "unauthenticated"),
    "organization that is no id": ({"token": "acme", "organizationId": "a b"}, "unauthenticated"),
    "organization empty": ({"token": "acme", "organizationId": ""}, "unauthenticated"),
}


@pytest.mark.parametrize(("auth", "code"), REFUSALS.values(), ids=REFUSALS.keys())
async def test_who_proves_nothing_is_refused_with_a_code(world: World, auth: dict[str, Any], code: str) -> None:
    peer = IoPeer(world.server, "0" + json.dumps(auth))
    [answer] = peer.received
    assert json.loads(answer.removeprefix("4"))["data"] == {"code": code}
    assert not world.gateway.admission.connections
    assert world.gateway.namespace.sockets == {}


async def test_the_organization_of_a_token_may_be_named(world: World) -> None:
    assert world.joined("acme", organizationId="acme").socket().rooms == {"org:acme"}


async def test_connections_of_one_organization_are_bounded(world: World) -> None:
    world = World(connections_per_organization=2)
    peers = [world.joined() for _ in range(2)]
    refused = world.connect()
    assert '"code":"rate_limited"' in refused.received[0]
    assert world.joined("other")
    peers[0].send("1")
    assert world.joined()


async def test_counts_of_connections_go_back_to_nothing(world: World) -> None:
    peers = [world.joined() for _ in range(3)] + [world.joined("other")]
    assert dict(world.gateway.admission.connections) == {"acme": 3, "other": 1}
    peers[0].send("1")
    peers[1].connection.close("transport close")
    peers[2].socket().disconnect(close=True)
    peers[3].connection.close("ping timeout")
    assert dict(world.gateway.admission.connections) == {}


# Following


async def test_a_client_follows_its_organization_by_itself(world: World) -> None:
    ours, theirs = world.joined("acme"), world.joined("other")
    world.publish("u1")
    assert (ours.received, theirs.received) == (['2["word"]'], [])


async def test_a_client_that_wants_units_follows_only_what_it_asks_for(world: World) -> None:
    peer = world.joined(stream="units")
    world.publish("u1")
    assert peer.received == []
    assert ask(peer, "subscribe:unit", "u1") == {"ok": True}
    world.publish("u1")
    world.publish("u2")
    assert peer.received == ['2["word"]']
    assert ask(peer, "unsubscribe:unit", "u1") == {"ok": True}
    world.publish("u1")
    assert peer.received == []


async def test_a_client_may_come_to_follow_its_organization_later(world: World) -> None:
    peer = world.joined(stream="units")
    assert ask(peer, "subscribe:organization", "acme") == {"ok": True}
    world.publish("u1")
    assert peer.received == ['2["word"]']
    assert ask(peer, "unsubscribe:organization", "acme") == {"ok": True}
    assert peer.socket().rooms == frozenset()


async def test_another_organization_cannot_be_followed(world: World) -> None:
    peer = world.joined()
    answers = [ask(peer, "subscribe:organization", name) for name in ("other", "unknown")]
    assert answers[0] == answers[1]
    assert answers[0]["error"]["code"] == "not_found"


async def test_the_same_unit_of_another_organization_is_another_unit(world: World) -> None:
    peer = world.joined(stream="units")
    ask(peer, "subscribe:unit", "u1")
    world.publish("u1", "other")
    assert peer.received == []


@pytest.mark.parametrize("unit_id", ["u1", "acme:u1", "other:u1", "%3A", "org:other"])
async def test_no_name_of_a_unit_spells_the_room_of_another_organization(world: World, unit_id: str) -> None:
    peer = world.joined(stream="units")
    peer.send("2" + json.dumps(["subscribe:unit", unit_id]), "2" + json.dumps(["subscribe:site", unit_id]))
    world.gateway.namespace.emit("word", rooms=["org:other", "unit:other:u1", "org:acme", "unit:acme:u2"])
    assert peer.received == []


async def test_rooms_of_a_socket_are_bounded() -> None:
    world = World(rooms_per_socket=2)
    peer = world.joined(stream="units")
    for unit_id in ("u1", "u2", "u2"):
        assert ask(peer, "subscribe:unit", unit_id)["ok"]
    refused = ask(peer, "subscribe:unit", "u3")
    assert (refused["ok"], refused["error"]["code"]) == (False, "rate_limited")
    assert "setting rooms_per_socket" in refused["error"]["message"]


# Requests


async def test_the_latest_reading_of_a_unit_is_given(world: World) -> None:
    world.stream.warm([reading("u1", 1, org="acme", temperature=4.5)])
    latest = ask(world.joined(), "get:latest", "u1")
    assert (latest["unitId"], latest["temperature"], latest["humidity"]) == ("u1", 4.5, None)
    assert latest["timestamp"] == latest["recordedAt"]


async def test_another_organizations_unit_answers_like_an_unknown_one(world: World) -> None:
    world.stream.warm([reading("u1", org="other")])
    peer = world.joined()
    assert [ask(peer, "get:latest", unit) for unit in ("u1", "unknown")] == [None, None]
    assert ask(peer, "get:latest:all") == []


async def test_all_latest_readings_of_the_organization_are_given(world: World) -> None:
    world.stream.warm([reading("u1", org="acme"), reading("u2", org="acme"), reading("u1", org="other")])
    peer = world.joined()
    latest = ask(peer, "get:latest:all")
    assert latest == [ask(peer, "get:latest", unit) for unit in ("u1", "u2")]


async def test_a_ping_is_answered_with_the_time(world: World) -> None:
    assert ask(world.joined(), "ping") == round(NOW_S * 1_000)


EVENTS = [
    "get:latest",
    "get:latest:all",
    "ping",
    *(f"{verb}:{kind}" for verb in ("subscribe", "unsubscribe") for kind in ("unit", "site", "organization")),
]
BAD_ARGUMENTS: dict[str, list[Any]] = {
    "none": [],
    "null": [None],
    "number": [5],
    "true": [True],
    "empty": [""],
    "space": ["a b"],
    "too long": ["x" * 129],
    "list": [["u1"]],
    "object": [{"unitId": "u1"}],
    "prototype": [{"__proto__": "u1"}],
    "line break": ["u1\n"],
    "many": list(range(100)),
}


@pytest.mark.parametrize("event", EVENTS)
@pytest.mark.parametrize("args", BAD_ARGUMENTS.values(), ids=BAD_ARGUMENTS.keys())
async def test_no_argument_makes_an_event_do_harm(world: World, event: str, args: list[Any]) -> None:
    peer = world.joined()
    answer = ask(peer, event, *args)
    if "subscribe" in event:
        assert answer["error"]["code"] == "not_found"
    assert peer.socket().rooms == {"org:acme"}
    peer.send("2" + json.dumps([event, *args]))
    assert peer.received == []
    assert not peer.connection.closed


@pytest.mark.parametrize("options", [5, "x", [], {"maxRateHz": 10**400}, {"maxRateHz": "1"}, {"mode": {}}])
@pytest.mark.parametrize("event", ["subscribe:unit", "subscribe:organization"])
async def test_no_options_make_a_subscription_do_harm(world: World, event: str, options: Any) -> None:
    peer = world.joined()
    assert ask(peer, event, "acme", options)["ok"] in {True, False}
    assert not peer.connection.closed


async def test_a_client_that_does_not_keep_up_is_told_from_when_to_when(world: World) -> None:
    peer = world.joined()
    peer.client.slowed()
    world.live(2.0)
    peer.client.restored()
    assert peer.received == [
        f'2["stream:degraded",{{"since":"{NOW_TEXT}","reason":"slow"}}]',
        f'2["stream:restored",{{"since":"{NOW_TEXT}","until":"2026-11-18T11:06:42.250000Z"}}]',
    ]


# The end of a token


@pytest.mark.parametrize("ends_in_s", [0.1, 1.0, 7.0, 33.0, 200.0])
async def test_a_socket_is_cut_within_five_seconds_of_its_tokens_end(world: World, ends_in_s: float) -> None:
    peer = world.joined(f"acme until {ends_in_s}")
    world.live(ends_in_s - 0.3, peer)
    assert not peer.connection.closed
    world.live(5.1, peer)
    assert peer.connection.closed
    assert peer.received[-1] == "1"
    assert not world.gateway.admission.connections


async def test_a_token_taken_within_its_leeway_gets_the_leeway(world: World) -> None:
    peer = world.joined("acme until -10")
    world.live(15.0, peer)
    assert not peer.connection.closed
    world.live(10.0, peer)
    assert peer.connection.closed


async def test_a_socket_without_end_stays(world: World) -> None:
    peer = world.joined("acme")
    world.live(200.0, peer)
    assert not peer.connection.closed


async def test_a_wall_clock_that_jumps_ahead_is_noticed_within_a_minute(world: World) -> None:
    peer = world.joined(f"acme until {30 * DAY_S}")
    world.now_s += 31 * DAY_S
    world.live(60.0, peer)
    assert peer.connection.closed


async def test_sockets_that_have_gone_are_not_kept_for_the_life_of_their_tokens(world: World) -> None:
    def kept() -> int:
        gc.collect()
        return sum(isinstance(each, Socket) for each in gc.get_objects())

    before = kept()
    for _ in range(300):
        world.joined(f"acme until {365 * DAY_S}").connection.close("transport close")
    world.live(60.0)
    assert kept() == before


async def test_a_socket_refused_its_rate_still_ends_with_its_token() -> None:
    world = World(rooms_per_socket=1)
    peer = world.connect("acme until 5", maxRateHz=0.1)
    world.live(10.0)
    assert peer.connection.closed
