"""Stock npm socket.io-clients in one Node process, as Python objects.

Owns the process and its two pipes. Everything a client tells arrives in `NodeClient.seen`, in order, with the time it
arrived in Node; tests wait on it with a deadline and never sleep.
"""

from __future__ import annotations

import itertools
import json
import subprocess
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

SCRIPT = Path(__file__).with_name("node_client.mjs")
BATCH = "sensor:readings:batch"
ANSWER_DEADLINE_S = 30.0

Occurrence = dict[str, Any]


class NodeDriver:
    """The Node process. Use as a context manager."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            ["node", str(SCRIPT)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, encoding="utf-8"
        )
        self._clients: dict[str, NodeClient] = {}
        self._numbers = itertools.count(1)
        self.news = threading.Condition()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def __enter__(self) -> NodeDriver:
        return self

    def __exit__(self, *_: object) -> None:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        self._process.wait(30)
        self._reader.join(30)
        self._process.stdout.close()

    def connect(self, url: str, *, token: str | None = None, asks: Sequence[str] = (), **options: Any) -> NodeClient:
        """Begin to connect a new client; `options` are those of socket.io-client, websocket only unless given.

        It emits the events in `asks` at each connect; the answers are acks whose id is the event.
        """
        client = NodeClient(self, f"client-{next(self._numbers)}")
        self._clients[client.name] = client
        if token is not None:
            options["auth"] = {"token": token, **options.get("auth", {})}
        self.send("connect", client.name, url=url, options={"transports": ["websocket"], **options}, asks=list(asks))
        return client

    def send(self, do: str, client: str, **more: Any) -> None:
        """Give the process one command."""
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps({"do": do, "client": client, **more}) + "\n")
        self._process.stdin.flush()

    def next_id(self) -> int:
        """Give a number for an ack."""
        return next(self._numbers)

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            occurrence = json.loads(line)
            with self.news:
                self._clients[occurrence["client"]].seen.append(occurrence)
                self.news.notify_all()


@dataclass
class NodeClient:
    """One stock client, and all that happened to it."""

    driver: NodeDriver
    name: str
    seen: list[Occurrence] = field(default_factory=list)

    def wait(self, matches: Callable[[Occurrence], bool], *, within_s: float, what: str, after: int = 0) -> Occurrence:
        """Wait for the first occurrence that matches, from index `after` on, and give it."""
        deadline = time.monotonic() + within_s
        with self.driver.news:
            while True:
                for occurrence in self.seen[after:]:
                    if matches(occurrence):
                        return occurrence
                left_s = deadline - time.monotonic()
                if left_s <= 0:
                    raise AssertionError(f"{self.name}: no {what} within {within_s:g} s; seen: {self.seen[-5:]}")
                self.driver.news.wait(left_s)

    def wait_for(self, kind: str, *, within_s: float = ANSWER_DEADLINE_S, after: int = 0) -> Occurrence:
        """Wait for an occurrence of a kind: connect, connect_error, disconnect, ..."""
        return self.wait(lambda seen: seen["is"] == kind, within_s=within_s, what=kind, after=after)

    def wait_for_event(self, name: str, *, within_s: float = ANSWER_DEADLINE_S, after: int = 0) -> Occurrence:
        """Wait for an event from the server; its arguments are under `args`."""
        return self.wait(
            lambda seen: seen["is"] == "event" and seen["name"] == name, within_s=within_s, what=name, after=after
        )

    def wait_for_reading(self, reading_id: str, *, within_s: float = ANSWER_DEADLINE_S) -> Occurrence:
        """Wait for the batch that carries a reading; gives the reading itself with `atMs` of the batch."""
        found = self.wait(
            lambda seen: any(item["id"] == reading_id for item in readings_of(seen)),
            within_s=within_s,
            what=f"reading {reading_id}",
        )
        return next({**item, "atMs": found["atMs"]} for item in readings_of(found) if item["id"] == reading_id)

    def connected(self) -> NodeClient:
        """Wait until the server has accepted and greeted this client."""
        self.wait_for_event("connection:ack")
        return self

    def emit(self, *args: Any) -> None:
        """Emit without an ack callback."""
        self.driver.send("emit", self.name, args=args, ack=None)

    def call(self, *args: Any, within_s: float = ANSWER_DEADLINE_S) -> Any:
        """Emit with an ack callback and give its first argument."""
        number = self.driver.next_id()
        self.driver.send("emit", self.name, args=args, ack=number)
        answer = self.wait(
            lambda seen: seen["is"] == "ack" and seen["id"] == number, within_s=within_s, what=f"ack of {args[0]}"
        )
        return answer["args"][0]

    def disconnect(self) -> None:
        """Disconnect as a page does that is left."""
        self.driver.send("disconnect", self.name)

    def batches(self) -> list[dict[str, Any]]:
        """Every batch received so far, in order of arrival."""
        return [seen["args"][0] for seen in list(self.seen) if _is_batch(seen)]

    def readings(self) -> list[dict[str, Any]]:
        """Every reading received so far, in order of arrival."""
        return [item for seen in list(self.seen) for item in readings_of(seen)]


def _is_batch(seen: Occurrence) -> bool:
    return seen["is"] == "event" and seen["name"] == BATCH


def readings_of(seen: Occurrence) -> list[dict[str, Any]]:
    """The readings of a batch, none of anything else."""
    return seen["args"][0]["readings"] if _is_batch(seen) else []
