"""Two real `sensorcast` processes on one PostgreSQL and one Redis: a cluster as it is run."""

from __future__ import annotations

import asyncio
import uuid
from collections import Counter
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

from tests.support.node import NodeClient
from tests.support.postgres import PostgresServer
from tests.support.server import Organization, ServerProcess
from tests.support.waiting import wait_until

JWT_SECRET = "the same secret of at least thirty-two bytes"
FLUSH_MS = 200


def shared_settings(database_url: str, redis_url: str) -> dict[str, object]:
    """What the nodes of one cluster have in common, with a prefix of their own in Redis."""
    return {
        "database_url": database_url,
        "redis_url": redis_url,
        "redis_prefix": f"test-{uuid.uuid4().hex[:8]}",
        "jwt_secret": JWT_SECRET,
        "flush_interval_ms": FLUSH_MS,
        "bus_silence_s": 1.0,
    }


@dataclass
class TwoNodes:
    """Nodes that share everything but their clients."""

    nodes: list[ServerProcess]

    @classmethod
    def start(cls, folder: Path, postgres: PostgresServer, redis_url: str, **settings: object) -> TwoNodes:
        """Start both."""
        shared = shared_settings(asyncio.run(postgres.new_database()), redis_url) | settings
        nodes = [ServerProcess(folder / name, {**shared, "node_name": name}) for name in ("one", "two")]
        for node in nodes:
            node.start()
        return cls(nodes)

    def another(self, folder: Path, name: str = "three") -> ServerProcess:
        """Start one more."""
        return ServerProcess(folder / name, {**self.nodes[0].settings, "node_name": name}).start()

    def organization(self) -> list[Organization]:
        """An organization as each node sees it."""
        name = f"org-{uuid.uuid4().hex[:8]}"
        return [node.organization(name) for node in self.nodes]

    def close(self) -> None:
        """Stop both."""
        for node in self.nodes:
            node.close()


def readiness(server: ServerProcess) -> tuple[int, list[str]]:
    """What `/readyz` says."""
    answer = server.http.get("/readyz")
    return answer.status_code, answer.json()["reasons"]


def wait_ready(*servers: ServerProcess, within_s: float = 30) -> None:
    """Wait until all are."""
    for server in servers:
        wait_until(lambda server=server: readiness(server)[0] == 200, within_s=within_s, what="ready again")


def wait_degraded(*servers: ServerProcess, within_s: float = 30) -> None:
    """Wait until all say that they are not ready, and that the bus is why."""
    for server in servers:
        wait_until(
            lambda server=server: readiness(server)[0] == 503 and any("Redis" in each for each in readiness(server)[1]),
            within_s=within_s,
            what="not ready, because of Redis",
        )


def latest_of(client: NodeClient) -> dict[str, str]:
    """What a dashboard's `get:latest:all` answers: the id of each unit's newest reading."""
    return {item["unitId"]: item["id"] for item in client.call("get:latest:all")}


def stored_latest(organization: Organization) -> dict[str, str]:
    """The same as the store has it."""
    units: list[dict[str, Any]] = organization.get("units?limit=1000").json()["units"]
    return {unit["unitId"]: unit["latest"]["id"] for unit in units}


def shown(client: NodeClient) -> dict[str, str]:
    """What a dashboard shows that goes by the batches alone: the id of each unit's newest reading."""
    newest: dict[str, tuple[str, str]] = {}
    for batch in client.batches():
        for item in batch["readings"]:
            newest[batch["unitId"]] = max(newest.get(batch["unitId"], ("", "")), (item["recordedAt"], item["id"]))
    return {unit_id: reading_id for unit_id, (_, reading_id) in newest.items()}


def assert_once_and_in_order(client: NodeClient, sent: list[str]) -> None:
    """Every reading that was sent came exactly once, each unit's oldest first, and none was called late."""
    assert Counter(item["id"] for item in client.readings()) == Counter(sent)
    times: dict[str, list[str]] = {}
    for batch in client.batches():
        times.setdefault(batch["unitId"], []).extend(item["recordedAt"] for item in batch["readings"])
        assert not any("late" in item for item in batch["readings"])
    for each in times.values():
        assert all(before < after for before, after in pairwise(each))
