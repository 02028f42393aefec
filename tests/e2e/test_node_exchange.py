"""Node processes with the stock npm packages, in the same Redis as two of our nodes: who hears whom, and how often."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from sensorcast.wire.redis_adapter import Broadcast, encode_broadcast
from tests.conftest import StartServer
from tests.support.node import NodeClient
from tests.support.redis import RedisServer
from tests.support.server import Organization, ServerProcess, reading
from tests.support.waiting import wait_until

SCRIPT = Path(__file__).parent.parent / "support" / "node_peer.mjs"
DEADLINE_S = 30.0


class NodePeer:
    """A Node Socket.IO server with the Redis adapter, and an emitter beside it."""

    def __init__(self, redis_url: str) -> None:
        self._process = subprocess.Popen(
            ["node", str(SCRIPT), redis_url], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        assert self._process.stdout is not None
        self.url = f"http://127.0.0.1:{json.loads(self._process.stdout.readline())['port']}"

    def emit(self, sender: str, event: str, *args: Any, rooms: list[str], without: list[str] | None = None) -> None:
        """Emit as the `server` or the `emitter` does."""
        assert self._process.stdin is not None
        command = {"do": sender, "rooms": rooms, "except": without or [], "event": event, "args": args}
        self._process.stdin.write(json.dumps(command) + "\n")
        self._process.stdin.flush()

    def close(self) -> None:
        """End the process."""
        self._process.communicate(timeout=30)


@pytest.fixture
def redis(start_redis: Callable[..., RedisServer]) -> RedisServer:
    """A Redis of one's own: the adapter's channels are the same for all."""
    return start_redis()


@pytest.fixture
def peer(redis: RedisServer) -> Iterator[NodePeer]:
    found = NodePeer(redis.url)
    yield found
    found.close()


@pytest.fixture
def server(start_server: StartServer, redis: RedisServer) -> ServerProcess:
    started = start_server(redis_url=redis.url, node_exchange=True, flush_interval_ms=100)
    wait_until(lambda: redis.command("PUBSUB", "NUMPAT") >= 1, within_s=DEADLINE_S, what="we listen to Node")
    return started


Connect = Callable[..., NodeClient]


@pytest.mark.parametrize("sender", ["server", "emitter"])
def test_node_emits_to_our_rooms_and_to_no_others(
    server: ServerProcess, peer: NodePeer, browser_client: Connect, sender: str
) -> None:
    acme, globex = server.organization(), server.organization()
    ours = browser_client(server.url, token=acme.token()).connected()
    theirs = browser_client(server.url, token=globex.token()).connected()
    peer.emit(sender, "notice", {"text": "é", "n": [1, 2.5, None]}, rooms=[f"org:{acme.name}"])
    assert ours.wait_for_event("notice", within_s=DEADLINE_S)["args"] == [{"text": "é", "n": [1, 2.5, None]}]
    peer.emit(sender, "last", rooms=[f"org:{acme.name}", f"org:{globex.name}"], without=[f"org:{acme.name}"])
    theirs.wait_for_event("last", within_s=DEADLINE_S)
    assert [seen["name"] for seen in theirs.seen if seen["is"] == "event"] == ["connection:ack", "last"]
    assert "last" not in [seen.get("name") for seen in ours.seen]


def test_an_unsound_broadcast_harms_nobody(server: ServerProcess, redis: RedisServer, browser_client: Connect) -> None:
    acme = server.organization()
    client = browser_client(server.url, token=acme.token()).connected()
    for unsound in (b"", b"\xc1", b"{}", b"\x93" * 1000):  # the stock adapter itself would end its process over these
        redis.command("PUBLISH", "socket.io#/#", unsound)
    after = Broadcast(uid="emitter", namespace="/", event="after", rooms=[f"org:{acme.name}"])
    redis.command("PUBLISH", "socket.io#/#", encode_broadcast(after))
    client.wait_for_event("after", within_s=DEADLINE_S)


def follower(peer: NodePeer, connect: Connect, *rooms: str) -> NodeClient:
    client = connect(peer.url, auth={"rooms": list(rooms)})
    client.wait_for_event("joined", within_s=DEADLINE_S)
    return client


def test_sockets_of_node_get_each_reading_once_whichever_of_our_nodes_takes_it_in(
    start_server: StartServer, server: ServerProcess, redis: RedisServer, peer: NodePeer, browser_client: Connect
) -> None:
    other = start_server(redis_url=redis.url, node_exchange=True, flush_interval_ms=100)
    wait_until(lambda: redis.command("CLIENT", "LIST").count(b" psub=1 ") >= 3, within_s=DEADLINE_S, what="all listen")
    owners: list[Organization] = [server.organization("twin"), other.organization("twin")]
    everything = follower(peer, browser_client, "org:twin", "unit:twin:u1")
    unit = follower(peer, browser_client, "unit:twin:u2")
    stranger = follower(peer, browser_client, "org:globex")
    sent = [
        owner.post(reading("u1", temperature=float(number)), reading("u2", temperature=float(number))).json()[
            "readingIds"
        ]
        for number, owner in enumerate(owners * 3)
    ]
    for first, second in sent:
        everything.wait_for_reading(first, within_s=DEADLINE_S)
        everything.wait_for_reading(second, within_s=DEADLINE_S)
        unit.wait_for_reading(second, within_s=DEADLINE_S)
    ids = [item["id"] for item in everything.readings()]
    assert sorted(ids) == sorted(one for pair in sent for one in pair)
    assert {batch["unitId"] for batch in unit.batches()} == {"u2"}
    assert stranger.batches() == []
