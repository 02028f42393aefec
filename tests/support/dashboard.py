"""What a dashboard shows that does nothing but what the documentation tells it to: latest readings, then batches."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from tests.support.node import BATCH, NodeClient, NodeDriver, Occurrence
from tests.support.server import Organization

LATEST = "get:latest:all"


@dataclass
class Dashboard:
    """A stock client that asks for the latest readings at each connect, and keeps the newest of each unit."""

    organization: Organization
    client: NodeClient

    @classmethod
    def open(
        cls, node: NodeDriver, url: str, organization: Organization, *transports: str, address: str = ""
    ) -> Dashboard:
        """Connect one; transports are the library's own choice unless some are given.

        `address` is what it tells a proxy that believes it.
        """
        options = {
            "transports": list(transports or ("polling", "websocket")),
            "extraHeaders": {"X-Forwarded-For": address} if address else {},
        }
        return cls(organization, node.connect(url, token=organization.viewer_token, asks=[LATEST], **options))

    def shown(self) -> dict[str, str]:
        """The id of each unit's newest reading."""
        newest: dict[str, tuple[str, str]] = {}
        for _, unit_id, reading in self._readings():
            newest[unit_id] = max(newest.get(unit_id, ("", "")), (reading["recordedAt"], reading["id"]))
        return {unit_id: reading_id for unit_id, (_, reading_id) in newest.items()}

    def units(self) -> set[str]:
        """Every unit it ever heard of."""
        return {unit_id for _, unit_id, _ in self._readings()}

    def connects(self) -> int:
        """How often it has connected."""
        return sum(seen["is"] == "connect" for seen in list(self.client.seen))

    def disconnect_reasons(self) -> set[str]:
        """Why it was disconnected."""
        return {seen["reason"] for seen in list(self.client.seen) if seen["is"] == "disconnect"}

    def repeated(self) -> int:
        """Readings that came in more than one batch of one connection."""
        streamed = [(connection, each["id"]) for connection, _, each in self._readings(answers=False)]
        return len(streamed) - len(set(streamed))

    def _readings(self, *, answers: bool = True) -> Iterator[tuple[int, str, dict[str, Any]]]:
        """(number of the connection, unit, reading) of every batch, and of every answer."""
        connection = 0
        for seen in list(self.client.seen):
            connection += seen["is"] == "connect"
            for reading in _batch(seen):
                yield connection, seen["args"][0]["unitId"], reading
            for reading in _answer(seen) if answers else ():
                yield connection, reading["unitId"], reading


def _batch(seen: Occurrence) -> Iterable[dict[str, Any]]:
    return seen["args"][0]["readings"] if seen["is"] == "event" and seen["name"] == BATCH else ()


def _answer(seen: Occurrence) -> Iterable[dict[str, Any]]:
    return seen["args"][0] if seen["is"] == "ack" and seen["id"] == LATEST else ()
