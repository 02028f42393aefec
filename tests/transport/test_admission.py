"""Who sockets are: renewed by the same user, gone when no member any more, cut when revoked, counted by address."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from sensorcast.auth import AuthService, mint_token, new_api_key
from sensorcast.model import Identity, Role, Scope
from sensorcast.settings import Settings
from sensorcast.stream import SensorStream
from sensorcast.transport.gateway import Gateway
from tests.support.identity import SECRET, Credentials
from tests.transport.socketio_peer import IoPeer, IoServer

NOW_S = 1_795_000_000.0


class World:
    """A gateway with real checks of real tokens."""

    def __init__(self, **settings: Any) -> None:
        self.server = IoServer(events_per_s=1e6, handshakes_per_s=1e6)
        self.store = Credentials()
        chosen = Settings(**settings)
        self.now_s = NOW_S
        auth = AuthService(chosen, SECRET, self.store, now_s=lambda: self.now_s, clock_s=lambda: 0.0)
        self.gateway = Gateway(
            self.server,
            stream=SensorStream(),
            authenticator=auth.authenticator,
            settings=chosen,
            clock=lambda: self.now_s,
        )

    def connect(self, token: str, **auth: Any) -> IoPeer:
        return IoPeer(self.server, "0" + json.dumps({"token": token} | auth))


def token(org: Any = "acme", *, subject: str = "me", ttl_s: float = 3_600, role: Role = Role.VIEWER) -> str:
    return mint_token(SECRET, organization_id=org, role=role, subject=subject, ttl_s=ttl_s, now_s=NOW_S)


def ask_refresh(peer: IoPeer, payload: Any) -> None:
    peer.send("21" + json.dumps(["auth:refresh", payload]))


def answer_of(peer: IoPeer) -> Any:
    (text,) = [each for each in peer.received if each.startswith("31")]
    return json.loads(text[2:])[0]


def connected(peer: IoPeer) -> bool:
    return any("connection:ack" in text for text in peer.received)


def code_of(peer: IoPeer) -> str:
    (text,) = peer.received
    assert text.startswith("4")
    return str(json.loads(text[1:])["data"]["code"])


@pytest.fixture
def world() -> World:
    return World()


async def test_a_new_token_moves_the_end(world: World) -> None:
    peer = world.connect(token(ttl_s=60))
    assert connected(peer)
    ask_refresh(peer, {"token": token(ttl_s=7_200, role=Role.ADMIN)})
    assert answer_of(peer) == {"ok": True, "exp": NOW_S + 7_200}
    identity: Identity = peer.socket().data.identity
    assert (identity.role, identity.expires_at_s) == (Role.ADMIN, NOW_S + 7_200)
    world.now_s += 3_600
    world.server.live(3)
    assert not peer.connection.closed


async def test_a_shorter_token_ends_the_socket_sooner(world: World) -> None:
    peer = world.connect(token(ttl_s=7_200))
    ask_refresh(peer, {"token": token(ttl_s=60)})
    world.now_s += 61
    world.server.live(3)
    assert peer.connection.closed


async def test_a_bad_renewal_changes_nothing(world: World) -> None:
    peer = world.connect(token())
    before = peer.socket().data.identity
    assert connected(peer)
    for payload, code in (
        ({"token": "nonsense"}, "unauthenticated"),
        ({"token": token(ttl_s=-60)}, "token_expired"),
        ({"token": token(subject="you")}, "forbidden"),
        ({}, "unauthenticated"),
        (None, "unauthenticated"),
        ([token()], "unauthenticated"),
    ):
        ask_refresh(peer, payload)
        answer = answer_of(peer)
        assert (answer["ok"], answer["error"]["code"]) == (False, code)
    assert peer.socket().data.identity == before
    assert peer.socket().rooms


async def test_who_is_no_member_any_more_leaves_at_once(world: World) -> None:
    peer = world.connect(token(["acme", "globex"]), organizationId="acme")
    assert connected(peer)
    socket = peer.socket()
    ask_refresh(peer, {"token": token("globex")})
    assert socket.rooms == frozenset()
    answer, end = peer.received
    assert json.loads(answer.removeprefix("31"))[0]["error"]["code"] == "forbidden"
    assert end == "1"
    assert peer.connection.closed


async def test_nothing_is_served_any_more_to_who_is_no_member_though_it_came_in_the_same_read(world: World) -> None:
    peer = world.connect(token(["acme", "globex"]), organizationId="acme")
    ask_refresh(peer, {"token": token("globex")})
    peer.send('22["get:latest",{"unitId":"u1"}]', '23["ping"]')
    await asyncio.sleep(0)
    assert [text[:2] for text in peer.received if text.startswith("3")] == ["31"]


async def test_who_asks_for_no_answer_and_is_no_member_any_more_goes_too(world: World) -> None:
    peer = world.connect(token(["acme", "globex"]), organizationId="acme")
    peer.send("2" + json.dumps(["auth:refresh", {"token": token("globex")}]))
    assert peer.connection.closed


async def test_the_end_of_membership_touches_nobody_else(world: World) -> None:
    peers = [world.connect(token(["acme", "globex"]), organizationId="acme") for _ in range(2)]
    ask_refresh(peers[0], {"token": token("globex")})
    assert [peer.connection.closed for peer in peers] == [True, False]
    assert world.gateway.admission.connections == {"acme": 1}


async def test_only_the_revoked_are_cut(world: World) -> None:
    acme, other, globex = (world.connect(each) for each in (token(), token(subject="you"), token("globex")))
    world.gateway.admission.cut_revoked({"acme"}, lambda identity: identity.subject == "me")
    assert [peer.connection.closed for peer in (acme, other, globex)] == [True, False, False]
    assert acme.received[-1] == "1"


async def test_an_api_key_connects_when_it_may_read(world: World) -> None:
    async with world.server:
        for scope, is_let_in in ((Scope.READ, True), (Scope.INGEST, False)):
            key, text = new_api_key("acme", "x", 1, scopes=[scope], expires_at_us=int((NOW_S + 60) * 1e6))
            world.store.keys[key.key_id] = key
            peer = world.connect(text)
            received: list[str] = []
            async with asyncio.timeout(30):
                while not received:
                    await asyncio.sleep(0.001)
                    received = peer.received
            assert any("connection:ack" in each for each in received) is is_let_in
        assert world.gateway.admission.connections == {"acme": 1}


async def test_an_api_key_is_renewed_with_itself(world: World) -> None:
    async with world.server:
        key, text = new_api_key("acme", "x", 1, scopes=[Scope.READ])
        world.store.keys[key.key_id] = key
        peer = world.connect(text)
        async with asyncio.timeout(30):
            while not connected(peer):
                await asyncio.sleep(0.001)
            ask_refresh(peer, {"token": text})
            received: list[str] = []
            while not received:
                await asyncio.sleep(0.001)
                received = peer.received
        assert received == ['31[{"ok":true,"exp":null}]']


async def test_too_many_bad_tokens_of_an_address_are_refused_with_a_time(world: World) -> None:
    world = World(bad_credentials_burst=3)
    for _ in range(3):
        assert code_of(world.connect("nonsense")) == "unauthenticated"
    peer = world.connect(token())
    (text,) = peer.received
    data = json.loads(text[1:])["data"]
    assert data == {"code": "rate_limited", "retryAfterS": 1}
